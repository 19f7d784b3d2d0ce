"""Estimators against numbers worked by hand and against enumeration."""

from itertools import combinations, product

import numpy as np
import pytest

from r1zero.measuring.statistics import bootstrap_interval, maj_at_k, paired_difference, pass_at_k


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
