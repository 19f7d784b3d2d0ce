"""Emergence as a statement: found where it was put, absent from noise."""

import numpy as np
import pytest

from r1zero.measuring.change_point import change_point, changes, first_departure


def rows_of(values: np.ndarray, key: str = "train/accuracy", low: float = 0.05, high: float = 0.15) -> list[dict]:
    """Training rows of steps 1, 2, ...; the first carries the base model's interval."""
    rows = [{"step": step, key: float(value)} for step, value in enumerate(values, 1)]
    rows[0] |= {f"{key}_low": low, f"{key}_high": high}
    return rows


def test_a_step_in_noise_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.1, 0.02, 60) + np.where(np.arange(60) >= 23, 0.3, 0.0)
    change = changes(rows_of(values), [])[0]
    assert (change.kind, change.step) == ("rose", 24)  # index 23 is step 24
    assert change.left == 22  # the mean of steps 22, 23, 24 is the first with the raised one among its three
    assert change.p == pytest.approx(0.001)  # none of 999 shufflings is as good
    assert (change.before, change.after) == pytest.approx((0.1, 0.4), abs=0.02)


def test_noise_has_no_change_point() -> None:
    found = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(0.1, 0.02, 50)
        found += change_point(list(values))[1] < 0.01
    assert found <= 4  # one in a hundred is what p < 0.01 means; five or more would have a chance of 0.4%


def test_a_change_within_the_base_interval_is_none() -> None:
    values = np.concatenate([np.full(20, 0.08), np.full(20, 0.12)]) + np.random.default_rng(1).normal(0, 0.001, 40)
    change = changes(rows_of(values), [])[0]
    assert change.kind == "unchanged" and change.p < 0.01


def test_a_fall_is_called_a_fall() -> None:
    values = np.concatenate([np.full(15, 0.1), np.full(15, 0.01)])
    assert changes(rows_of(values), [])[0].kind == "fell"


def test_too_few_steps_and_flat_lines_say_nothing() -> None:
    few = changes(rows_of(np.array([0.1, 0.1, 0.9, 0.9, 0.9])), [])[0]
    assert (few.kind, few.step) == ("unchanged", None)
    assert changes(rows_of(np.full(30, 0.5)), [])[0].kind == "unchanged"
    assert changes([{"step": 0}], ["tries"]) == []


def test_behaviours_have_their_own_curve() -> None:
    values = np.concatenate([np.full(10, 1.0), np.full(10, 5.0)])
    rows = rows_of(values, "emergence/tries/all", 0.8, 1.2)
    (change,) = changes(rows, ["tries", "checks"])
    assert (change.name, change.kind, change.step) == ("tries", "rose", 11)


def evaluated(*ends: tuple[float, float]) -> list[dict]:
    return [{"step": 10 * i, "a": low, "a_low": low, "a_high": high} for i, (low, high) in enumerate(ends)]


@pytest.mark.parametrize(
    ("ends", "step"),
    [
        ([(0.1, 0.2), (0.15, 0.3), (0.25, 0.4), (0.3, 0.5)], 20),
        ([(0.1, 0.2), (0.25, 0.4), (0.15, 0.3), (0.3, 0.5)], 30),  # it came back once
        ([(0.1, 0.2), (0.25, 0.4), (0.15, 0.3)], None),
        ([(0.1, 0.2)], None),
    ],
)
def test_departure_of_held_out_accuracy(ends: list[tuple[float, float]], step: int | None) -> None:
    assert first_departure(evaluated(*ends), "a") == step
