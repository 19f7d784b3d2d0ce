"""Metrics of a step's completions, worked by hand."""

import pandas as pd
import pytest

from r1zero.measuring.step_metrics import behaviour_rates, step_metrics

# Two groups of two: the first mixed, the second all wrong with one that could not be judged.
FRAME = pd.DataFrame(
    {
        "toy/outcome": ["CORRECT", "WRONG", "NO_ANSWER", "UNGRADEABLE"],
        "length_tokens": [10, 30, 40, 20],
        "truncated": [False, False, True, False],
        "tries": [1, 3, 8, 0],
    }
)


def test_rates_by_split() -> None:
    metrics = step_metrics(FRAME, "toy", num_generations=2)
    assert metrics["emergence/tries/all"] == 3.0  # (1 + 3 + 8 + 0) / 4
    assert metrics["emergence/tries/correct"] == 1.0
    assert metrics["emergence/tries/wrong"] == 5.5  # (3 + 8) / 2: what could not be judged is neither
    assert metrics["emergence/tries/terminated"] == pytest.approx(4 / 3)
    assert metrics["emergence/tries/truncated"] == 8.0
    assert metrics["emergence_per_100_tokens/tries/all"] == 12.0  # 100 * 12 / 100 tokens
    assert metrics["emergence_per_100_tokens/tries/wrong"] == pytest.approx(100 * 11 / 70)


def test_the_interval_resamples_groups() -> None:
    """Two groups with means 2 and 4: every bootstrap mean is 2, 3 or 4, and the 95% interval is all of it."""
    metrics = step_metrics(FRAME, "toy", num_generations=2)
    assert (metrics["emergence/tries/all_low"], metrics["emergence/tries/all_high"]) == (2.0, 4.0)


def test_accuracy_groups_and_lengths() -> None:
    metrics = step_metrics(FRAME, "toy", num_generations=2)
    assert metrics["train/accuracy"] == pytest.approx(1 / 3)  # one of three that were judged
    assert metrics["groups/mixed"] == 0.5 and metrics["groups/all_wrong"] == 0.5 and metrics["groups/all_correct"] == 0
    assert metrics["completions/mean_length_correct"] == 10
    assert metrics["completions/mean_length_wrong"] == 35


def test_a_split_without_rows_is_absent() -> None:
    frame = FRAME.assign(**{"toy/outcome": "UNGRADEABLE"})
    metrics = step_metrics(frame, "toy", num_generations=2)
    assert "train/accuracy" not in metrics and "groups/mixed" not in metrics
    assert not [key for key in metrics if key.endswith(("/correct", "/wrong", "_correct", "_wrong"))]
    assert ("emergence", "tries", "all") in behaviour_rates(frame, "toy/outcome", pd.Series([0, 0, 1, 1]))
