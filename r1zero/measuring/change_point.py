"""Emergence, defined so that it can be tested: when a curve changed, and whether it left what the base model did.

A behaviour (or the accuracy of training completions) has *emerged* when

1. its curve has a change point: of all splits of the steps in two, one separates the means better than 99% of curves
   with the same values in shuffled order do at their best (p < 0.01), and
2. the mean after that step lies above the 95% interval of the base model, measured at step 1, whose completions are
   sampled before the first update.

It has *declined* when the mean lies below. The step of the change is that of the best split. Blocks of neighbouring
steps are shuffled together, since neighbours are alike; a slow drift still has a best split, so the step of a gradual
change is its middle. When it began is said apart: the first step from which on every mean of three steps lies outside
the base model's interval. One change is looked for, not several.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r1zero.runs.metrics import Row, number

MIN_SEGMENT = 3  # a mean of fewer steps is mostly noise
MIN_BLOCKS = 16
NUM_SHUFFLES = 999
MAX_P = 0.01


@dataclass(frozen=True)
class Change:
    """What became of one curve.

    Attributes:
        name: ``accuracy`` or a behaviour.
        kind: ``rose``, ``fell``, or ``unchanged`` when the definition above is not met.
        step: First step after the change point; None when there are too few steps to look for one.
        base, low, high: The value at the first step and its 95% interval.
        before, after: Means before and after the change point; both the mean of all when there is none.
        p: Of the change point, by permutation.
        left: First step from which on every mean of ``MIN_SEGMENT`` steps lies outside the interval on the side of the
            change; None when there is no change, or when it came back.
    """

    name: str
    kind: str
    step: int | None
    base: float
    low: float
    high: float
    before: float
    after: float
    p: float
    left: int | None = None


def best_splits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of ``values`` (rows, n): where its best split starts the second part, and how good that is.

    The measure is the sum of squares between the two means, the likelihood ratio for one shift in the mean of normal
    noise (Hinkley 1970).
    """
    n = values.shape[1]
    left = np.arange(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    sums = np.cumsum(values, axis=1)
    left_mean = sums[:, left - 1] / left
    right_mean = (sums[:, [-1]] - sums[:, left - 1]) / (n - left)
    between = left * (n - left) / n * (left_mean - right_mean) ** 2
    best = between.argmax(axis=1)
    return left[best], between[np.arange(len(values)), best]


def change_point(values: Sequence[float], seed: int = 0) -> tuple[int, float] | None:
    """Index of the first value after the change, and its p-value; None with fewer than two shortest segments.

    The p-value shuffles blocks of n^(1/3) neighbours, the rate of block bootstraps (Politis and Romano 1994), in short
    runs shorter ones: with fewer than ``MIN_BLOCKS`` even a perfect split would not reach ``MAX_P``.
    """
    data = np.asarray(values, dtype=float)
    n = len(data)
    if n < 2 * MIN_SEGMENT:
        return None
    at, gain = best_splits(data[None])
    if gain[0] <= 1e-12:  # a flat line
        return int(at[0]), 1.0
    length = max(1, min(round(n ** (1 / 3)), n // MIN_BLOCKS))
    blocks = np.array_split(np.arange(n), n // length)
    rng = np.random.default_rng(seed)
    orders = [np.concatenate([blocks[i] for i in rng.permutation(len(blocks))]) for _ in range(NUM_SHUFFLES)]
    _, shuffled = best_splits(data[np.stack(orders)])
    return int(at[0]), float((1 + (shuffled >= gain[0]).sum()) / (1 + NUM_SHUFFLES))


def departure(values: np.ndarray, limit: float, upwards: bool) -> int | None:
    """Index of the first of ``MIN_SEGMENT`` values from which on every such mean lies beyond ``limit``."""
    means = np.convolve(values, np.ones(MIN_SEGMENT) / MIN_SEGMENT, mode="valid")
    inside = np.flatnonzero(means <= limit if upwards else means >= limit)
    first = 0 if len(inside) == 0 else int(inside[-1]) + 1
    return first if first < len(means) else None


def describe_change(name: str, rows: Sequence[Row], key: str) -> Change | None:
    """What became of ``key``, whose interval is at ``key_low`` and ``key_high``; None if no row has all three."""
    known = [row for row in rows if number(row, key) is not None]
    first = next((row for row in known if number(row, f"{key}_low") is not None), None)
    if first is None:
        return None
    values = np.array([row[key] for row in known], dtype=float)
    base, low, high = (float(first[f"{key}{end}"]) for end in ("", "_low", "_high"))
    found = change_point(values.tolist())
    if found is None:
        mean = float(values.mean())
        return Change(name, "unchanged", None, base, low, high, mean, mean, 1.0)
    at, p = found
    before, after = float(values[:at].mean()), float(values[at:].mean())
    kind = "unchanged"
    if p < MAX_P and not low <= after <= high:
        kind = "rose" if after > high else "fell"
    left = None if kind == "unchanged" else departure(values, high if kind == "rose" else low, kind == "rose")
    left_step = None if left is None else int(known[left]["step"])
    return Change(name, kind, int(known[at]["step"]), base, low, high, before, after, p, left_step)


def changes(rows: Sequence[Row], behaviours: Sequence[str]) -> list[Change]:
    """What became of the training accuracy and of each behaviour a completion, those without a value left out."""
    keys = {"accuracy": "train/accuracy"} | {name: f"emergence/{name}/all" for name in behaviours}
    found = (describe_change(name, rows, key) for name, key in keys.items())
    return [change for change in found if change is not None]


def first_departure(evaluations: Sequence[Row], key: str) -> int | None:
    """Step of the first evaluation from which on every 95% interval of ``key`` lies outside the first one's.

    Evaluations are too few to look for a change point, so intervals are compared. None when they overlap.
    """
    rows = [row for row in evaluations if number(row, f"{key}_low") is not None]
    if len(rows) < 2:
        return None
    low, high = rows[0][f"{key}_low"], rows[0][f"{key}_high"]
    departed = None
    for row in reversed(rows[1:]):
        if row[f"{key}_low"] <= high and row[f"{key}_high"] >= low:
            break
        departed = int(row["step"])
    return departed
