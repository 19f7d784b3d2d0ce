"""Accuracy and its interval; behaviours counted in text."""

import pandas as pd
import pytest

from r1zero.evaluating.accuracy import summarise
from r1zero.measuring.behaviours import BEHAVIOURS, count_checks, count_repeated_tries, count_tries
from r1zero.measuring.statistics import wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Worked from the formula: p = 0.2, n = 10, z = 1.96: centre (0.2 + 0.19207) / 1.38415 = 0.28326, half 0.22658.
        (2, 10, 0.0567, 0.5098),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (256, 512, 0.4569, 0.5431),
    ],
)
def test_wilson_interval_by_hand(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_ungradeable_problems_leave_the_accuracy_and_are_counted() -> None:
    frame = pd.DataFrame(
        {
            "index": range(4),
            "outcome": ["CORRECT", "WRONG", "UNGRADEABLE", "NO_ANSWER"],
            "length_tokens": [10, 20, 30, 40],
            "truncated": [False, False, False, True],
            **{name: [0, 0, 0, 4] for name in BEHAVIOURS},
        }
    )
    metrics = summarise("toy", frame)
    assert metrics["eval/toy/accuracy"] == pytest.approx(1 / 3)
    assert metrics["eval/toy/num_problems"] == 3
    assert metrics["eval/toy/num_ungradeable"] == 1
    assert metrics["eval/toy/outcome/NO_ANSWER"] == 0.25
    assert metrics["eval/toy/truncated"] == 0.25
    assert metrics["eval/toy/mean_length"] == 25
    assert metrics["eval/toy/behaviour/checks"] == 1


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
def test_behaviours(text: str, tries: int, checks: int, repeated: int) -> None:
    assert (count_tries(text, {}), count_checks(text, {}), count_repeated_tries(text, {})) == (tries, checks, repeated)
