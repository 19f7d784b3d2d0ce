"""Behaviour probes: their agreement with hand labels, counts worked by hand, and texts made to upset them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.behaviours import DEGENERATE, LABEL_OF, agreement, read_table
from r1zero.measuring.behaviours import (
    BEHAVIOURS,
    count_behaviours,
    count_checks,
    count_repeated_tries,
    count_tries,
)

TABLE = read_table()

# The lowest precision and recall on the whole table that are still called good. docs/watching.md states the measured
# ones; the keyword lists are kept as published, so their recall is what it is.
LOWEST = {
    "verification": (0.95, 0.8),
    "checks": (0.95, 0.85),
    "backtracking": (0.9, 0.8),
    "subgoals": (0.9, 0.8),
    "backward_chaining": (0.95, 0.8),
    "repeated_ngrams": (0.9, 0.95),
    "foreign_words": (0.95, 0.9),
    "unthought_answer": (0.95, 0.95),
    "loops": (0.95, 0.95),
    "oat_keywords": (0.8, 0.2),
    "orz_keywords": (0.55, 0.05),
}


def test_the_table_is_large_and_every_label_is_known() -> None:
    assert len(TABLE) >= 150
    assert {label for row in TABLE for label in row["labels"]} <= set(LABEL_OF.values())
    assert len({row["text"] for row in TABLE}) == len(TABLE)
    unlabelled = [row for row in TABLE if not row["labels"]]
    assert len(unlabelled) >= 50  # texts in which nothing is to be found


@pytest.mark.parametrize("probe", LABEL_OF)
def test_agreement_with_the_labels(probe: str) -> None:
    both, only_probe, only_person = agreement(probe, TABLE)
    precision, recall = LOWEST[probe]
    assert both / (both + only_probe) >= precision
    assert both / (both + only_person) >= recall


def test_tries_are_counted_as_a_person_counts_them() -> None:
    counted = [row for row in TABLE if "tries" in row]
    assert len(counted) >= 40
    assert [BEHAVIOURS["tries"](row["text"], row) for row in counted] == [row["tries"] for row in counted]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Two misses are noticed, and each is followed by another try.
        (
            "3 + 4 = 7 (too low)\n3 * 4 = 12 (too low)\n4 * 5 = 20 (yes)",
            {"tries": 3, "checks": 3, "backtracking": 2, "verification": 3},
        ),
        # The last miss is noticed and nothing follows: no change of course.
        ("3 + 4 = 7 (too low)\n3 * 4 = 12 (too low)", {"checks": 2, "backtracking": 1}),
        # 14 words and signs, "a b c d e f g" twice: 9 sixes of which "a..f" and "b..g" come again.
        ("a b c d e f g a b c d e f g", {"repeated_ngrams": 2, "loops": 0}),
        ("x" * 600, {"loops": 1}),
        ("Let me recheck and rethink, then check again.", {"oat_keywords": 3}),
        ("so wait, recheck, retry", {"orz_keywords": 3}),
        ("Wait, Recheck", {"orz_keywords": 0}),  # their list is case-sensitive
        ("", dict.fromkeys(BEHAVIOURS, 0)),
    ],
)
def test_counts_by_hand(text: str, expected: dict[str, int]) -> None:
    counts = count_behaviours(text, {})
    assert {name: counts[name] for name in expected} == expected


def test_truth_decides_what_is_backward() -> None:
    count = BEHAVIOURS["backward_chaining"]
    assert count("24 = 6 * 4", {"target": 24}) == 1
    assert count("24 = 6 * 4", {"target": 25}) == 0
    assert count("24 = 6 * 4", {"target": 24, "nums": [24, 2]}) == 0  # a given number may start an equation
    assert count("3 * 8 = 24 , 24 - 5 = 19", {"target": 24}) == 0  # goes on from a result


def test_the_prompt_decides_which_script_is_foreign() -> None:
    count = BEHAVIOURS["foreign_words"]
    assert count("等于 five", {}) == 2
    assert count("等于 five", {"prompt": "请计算下面的题目"}) == 1


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab 1+=.\n(,)wait!<>/三é\\")) | st.characters(), max_size=300))
def test_any_text_has_counts(text: str) -> None:
    assert all(isinstance(count, int) and count >= 0 for count in count_behaviours(text, {"target": 7}).values())


@pytest.mark.parametrize("unit", DEGENERATE)
def test_degenerate_text_does_not_hold_up_a_step(unit: str) -> None:
    """A newline 16,000 times over used to take minutes. No clock here: it would not come back."""
    counts = count_behaviours((unit * 16_000)[:16_000], {"target": 1})
    assert counts["loops"] == (0 if unit.isspace() else 1)


@pytest.mark.parametrize(
    ("text", "tries", "checks", "repeated"),
    [
        ("3 + 4 = 7 , 7 * 2 = 14 (too low)\n3 * 4 = 12 , 12 + 2 = 14 (yes)\n", 2, 2, 0),
        ("3 + 4 = 7\n3 + 4 = 7\n", 2, 0, 1),
        ("I would guess 12.", 0, 0, 0),
        ("(1 + 2) * 3 = 9, which is too small. Let me check: 1 + 2 = 3", 2, 1, 0),
        ("", 0, 0, 0),
    ],
)
def test_tries_and_checks_of_traces(text: str, tries: int, checks: int, repeated: int) -> None:
    assert (count_tries(text, {}), count_checks(text, {}), count_repeated_tries(text, {})) == (tries, checks, repeated)
