"""Which program a completion holds, and which outputs are the same."""

import pytest

from rewards.code_answer import extract_code
from rewards.code_compare import same_output


@pytest.mark.parametrize(
    ("printed", "expected", "tolerance", "same"),
    [
        ("1\n2\n", "1\n2", None, True),
        ("1  2", "1 2", None, True),
        ("1", "1\n2", None, False),
        ("1\n\n2", "1\n2", None, False),
        ("1.0", "1", None, False),
        ("1.0000001", "1", 1e-6, True),
        ("1.1", "1", 1e-6, False),
        ("nan", "nan", 1e-6, True),  # the same word, where it is the expected one
        ("nan", "1", 1e-6, False),
        ("inf", "1e308", 1e-6, False),
        ("1e999", "1", 1e-6, False),
        ("1_0", "10", 1e-6, False),
        ("١", "1", 1e-6, False),
        ("", "", None, True),
    ],
)
def test_same_output(printed: str, expected: str, tolerance: float | None, same: bool) -> None:
    assert same_output(printed, expected, tolerance) is same


def test_the_time_to_judge_is_linear_in_the_text() -> None:
    """Each takes hours if a pattern tries every split of the run of characters."""
    assert not same_output("1" * 4_000_000 + "x", "1", 1e-6)
    assert extract_code("``` " + " " * 4_000_000 + "!") is None
    assert extract_code(" " * 4_000_000 + "!") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<answer>x = 1</answer>", "x = 1"),
        ("<think>```python\na\n```</think> <answer>\n```python\nb\n```\n</answer>", "b\n"),
        ("```\na\n```\n\n```py\nb\n```", "b\n"),
        ("<think>\n```\na\n```\n</think>", None),
        ("```python\na", None),
        ("```\na\n```\n```\nb", None),
        ("<answer>a</answer><answer>b</answer>", None),
        ("<answer>a", None),
        ("no code", None),
        ("```\n\n```", None),
    ],
)
def test_extract_code(text: str, code: str | None) -> None:
    assert extract_code(text) == code
