"""Estimators against numbers worked by hand and against enumeration."""

import math
from itertools import combinations, product

import numpy as np
import pytest

from r1zero.measuring.statistics import (
    bootstrap_interval,
    expected_maj_at_k,
    maj_at_k,
    paired_difference,
    paired_t_test,
    pass_at_k,
    sampling_spread,
    t_interval,
    wilson_interval,
)


@pytest.mark.parametrize("num_samples", range(1, 8))
def test_pass_at_k_equals_enumeration(num_samples: int) -> None:
    for num_correct, k in product(range(num_samples + 1), range(1, num_samples + 1)):
        draws = list(combinations([i < num_correct for i in range(num_samples)], k))
        assert pass_at_k(num_samples, num_correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_large_numbers_is_exact() -> None:
    # 1 - C(9999, 100) / C(10000, 100) = 100 / 10000
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01, abs=1e-12)


@pytest.mark.parametrize(("num_samples", "num_correct", "k"), [(4, 2, 0), (4, 2, 5), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_the_impossible(num_samples: int, num_correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="must be between"):
        pass_at_k(num_samples, num_correct, k)


@pytest.mark.parametrize(
    ("answers", "correct", "expected", "why"),
    [
        (["7", "7", "5"], [True, True, False], 1.0, "two of three"),
        (["5", "5", "7"], [False, False, True], 0.0, "the majority is wrong"),
        (["5", "7"], [False, True], 0.5, "a tie is a fair draw"),
        (["1", "2", "3"], [False, True, False], 1 / 3, "three ways"),
        ([None, None, "7"], [False, False, True], 1.0, "no answer, no vote"),
        ([None, None], [False, False], 0.0, "nobody votes"),
        (["7", "7", "7", "5"], [True, True, False, False], 2 / 3, "one answer judged two ways"),
    ],
)
def test_maj_at_k(answers: list[str | None], correct: list[bool], expected: float, why: str) -> None:
    assert maj_at_k(answers, correct) == pytest.approx(expected), why


def test_bootstrap_interval_covers_the_mean_of_coin_throws() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.integers(0, 2, 100).tolist(), num_resamples=500, seed=seed)
        covered += low <= 0.5 <= high
    assert 180 <= covered <= 198  # 190 expected; 3 standard deviations are 9


def test_bootstrap_interval_of_nothing_and_of_one() -> None:
    assert bootstrap_interval([0.25]) == (0.25, 0.25)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])


def test_paired_difference_by_hand() -> None:
    # Differences 1, 1, 2: only the patterns +++ and --- are as extreme, 2 of 8.
    mean, low, high, p = paired_difference([0.0, 1.0, 2.0], [1.0, 2.0, 4.0])
    assert mean == pytest.approx(4 / 3)
    assert p == pytest.approx(2 / 8)
    assert low == pytest.approx(1.0)
    assert high == pytest.approx(2.0)


def test_paired_difference_of_many_pairs() -> None:
    first = np.random.default_rng(0).normal(size=200)
    assert paired_difference(first.tolist(), (first + 0.5).tolist())[3] < 0.001
    noise = np.random.default_rng(1).normal(size=200)
    assert paired_difference(first.tolist(), (first + noise - noise.mean()).tolist())[3] > 0.9
    with pytest.raises(ValueError, match="pairs"):
        paired_difference([1.0], [1.0, 2.0])


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


def test_t_statistics_by_hand() -> None:
    # Of n values with mean 0 and sd s the interval is t * s / sqrt n to either side; tables have t for n - 1 degrees.
    for values, t in (([-1.0, 1.0], 12.706), ([-1.0, 0.0, 1.0], 4.303), ([-1.0] * 5 + [0.0] + [1.0] * 5, 2.228)):
        low, high = t_interval(values)
        assert high * len(values) ** 0.5 / np.std(values, ddof=1) == pytest.approx(t, abs=1e-3)
        assert low == -high
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert all(map(math.isnan, t_interval([0.5])))
    # Differences 1, 2, 3: mean 2, sd 1, t = 2 / (1 / sqrt 3) = 3.4641 with 2 degrees; p = 1 - t / sqrt(t^2 + 2) = 0.074
    mean, low, high, p = paired_t_test([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert (mean, p) == pytest.approx((2.0, 0.07418), abs=1e-4)
    assert low < 0 < high
    assert math.isnan(paired_t_test([1.0, 1.0], [1.0, 1.0])[3])
    with pytest.raises(ValueError, match="two pairs are the least"):
        paired_t_test([1.0], [2.0])


def test_equal_seeds_are_no_certainty() -> None:
    """Two accuracies of 0.1 on 96 problems: (9.6 + 2) / 100 = 0.116, sd = sqrt(0.116 * 0.884 / 100) = 0.03202."""
    assert all(map(math.isnan, t_interval([0.1, 0.1])))
    assert all(map(math.isnan, t_interval([0.4, 0.1 + 0.3])))  # equal but for rounding
    spread = sampling_spread(0.1, 96)
    assert spread == pytest.approx(0.03202, abs=1e-5)
    low, high = t_interval([0.1, 0.1], spread)
    assert high - low == pytest.approx(2 * 12.7062 * 0.03202 / 2**0.5, abs=1e-3)
    assert t_interval([0.0, 1.0], spread) == t_interval([0.0, 1.0])  # what was seen is larger
    assert sampling_spread(0.0, 100) > 0 and sampling_spread(1.0, 100) > 0
    # The same difference twice: t = 0.1 / (0.05 / sqrt 2) = 2.83 with 1 degree, p = 1 - 2 atan(t) / pi = 0.216
    mean, _, _, p = paired_t_test([0.1, 0.2], [0.2, 0.3], least_spread=0.05)
    assert (mean, p) == pytest.approx((0.1, 0.2163), abs=1e-3)
    assert all(map(math.isnan, paired_t_test([0.1, 0.2], [0.2, 0.3])[1:]))


def test_maj_at_k_of_subsets_by_hand() -> None:
    # Pairs of (7 right, 7 right, 5 wrong): 77 -> 1; 75 twice, a tie -> 1/2 each.
    assert expected_maj_at_k(["7", "7", "5"], [True, True, False], 2) == pytest.approx(2 / 3)
    assert expected_maj_at_k(["7", "7", "5"], [True, True, False], 1) == pytest.approx(2 / 3)
    votes = ["7", None, "5", "5", "7", "7"]
    right = [vote == "7" for vote in votes]
    assert expected_maj_at_k(votes, right, 6) == maj_at_k(votes, right)
    many = ["7"] * 20 + ["5"] * 10
    assert 0.9 < expected_maj_at_k(many, [vote == "7" for vote in many], 15) <= 1.0
    with pytest.raises(ValueError, match="between 1 and"):
        expected_maj_at_k(["7"], [True], 2)
