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
        ("\n1\n", "1", None, True),
        ("1\n", "\n\n1", None, True),
        ("0.50", "0.5", 1e-5, True),
        ("007", "7", 1e-5, True),
        ("-0", "0", 1e-5, True),
        ("1000000001", "1000000000", 1e-5, False),  # whole numbers have no tolerance
        ("9" * 5000, "9" * 4999 + "8", 1e-5, False),
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


ADD = "def add(a, b):\n    return a + b\n"
MAIN = "a = int(input())\nprint(a)\n"
METHOD = "class Solution:\n    def g(self): pass\n"


@pytest.mark.parametrize(
    ("text", "entry", "code"),
    [
        (f"```python\n{ADD}```\nOutput:\n```\n3\n```", "", ADD),
        (f"```python\n{ADD}```\nUse it:\n```python\nprint(add(1, 2))\n```", "add", ADD),
        (f"```python\n{MAIN}```\nRun it:\n```bash\npython main.py\n```", "", MAIN),
        (f"```python\n{MAIN}```\n```output\n3\n```\n```text\n4\n```", "", MAIN),
        (f"```\n{ADD}```\nsays\n```\n3\n```", "", ADD),
        (f"```python\n{ADD}```\nthen\n```python\nprint(add(1, 2))\n```", "", f"{ADD}\nprint(add(1, 2))\n"),
        ("```python\nx = 1\n```\nbetter\n```python\nx = 2\n```", "", "x = 2\n"),
        (f"```python\nimport os\n```\n```\n{ADD}```\n```python\nprint(1)\n```", "add", ADD),
        (f"```python\n{METHOD}```\n```python\nSolution().g()\n```", "g", METHOD),
        ("```pycon\n>>> 1\n```", "", None),
    ],
)
def test_which_block_is_the_program(text: str, entry: str, code: str | None) -> None:
    assert extract_code(text, entry) == code
    assert extract_code(f"<think>no</think> <answer>{text}</answer>", entry) == code


FENCES = [
    "```python\r\n{}\r\n```\r\n",
    "```Python\n{}\n```",
    "```python3.12\n{}\n```",
    "```py title='a.py' linenums\n{}\n```",
    "```python:main.py\n{}\n```",
    "```{{.python .numberLines}}\n{}\n```",
    "~~~\n{}\n~~~",
    "~~~~py\n{}\n~~~~~",
    "`````\n{}\n`````",
    "````markdown\n```python\n{}\n```\n````",
    "```\nnever closed\n\n```python\n{}\n```",
    "Here it is: ```python\n{}\n```",
    "- so:\n\n    ```python\n    {}\n    ```",
    "> ```python\n> {}\n> ```",
    "\t```\n\t{}\n\t```",
]


@pytest.mark.parametrize("form", FENCES)
def test_forms_of_a_fence(form: str) -> None:
    assert extract_code(form.format("print(6)")) == "print(6)\n"


def test_indentation_that_all_lines_share_is_dropped() -> None:
    listed = "1. So\n\n   ```python\n   a = 1\n   if a:\n       b = 2\n   ```"
    assert extract_code(listed) == "a = 1\nif a:\n    b = 2\n"
    assert extract_code("<answer>\n    a = 1\n    b = 2\n</answer>") == "a = 1\nb = 2"
    assert extract_code("<answer>  a = 1\n  b = 2</answer>") == "a = 1\nb = 2"


def test_a_fence_within_a_longer_fence_is_content() -> None:
    lines = "a = 1\n```\nb = 2\n"
    assert extract_code(f"````python\n{lines}````") == lines
    assert extract_code(f"```python\n{lines}```") is None  # it closes the block, and the last fence opens another
