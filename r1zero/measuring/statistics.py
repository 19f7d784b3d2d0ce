"""Statistics of pass rates: intervals, pass@k, maj@k, paired differences. Pure functions of counts and arrays.

Student's t is scipy's. Estimators that scipy does not have (pass@k, expected maj@k) are written here, and so is what
draws random numbers (bootstrap, sign flips): the same seed gives the same numbers whatever scipy is installed.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from scipy.special import stdtr, stdtrit

MAX_SUBSETS = 1000  # of one problem's samples, in ``expected_maj_at_k``


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval for a proportion, 95% by default (Wilson 1927, equation 4)."""
    share = successes / trials
    denominator = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that k of the samples, drawn without replacement, hold a correct one.

    1 - C(n - c, k) / C(n, k), unbiased for k fresh samples (Chen et al. 2021, arXiv 2107.03374, equation 1).

    Raises:
        ValueError: Not 1 <= k <= ``num_samples``, or not 0 <= ``num_correct`` <= ``num_samples``.
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"k = {k}: must be between 1 and the number of samples, {num_samples}.")
    if not 0 <= num_correct <= num_samples:
        raise ValueError(f"num_correct = {num_correct}: must be between 0 and the number of samples, {num_samples}.")
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def maj_at_k(answers: Sequence[Hashable | None], correct: Sequence[bool]) -> float:
    """Whether the most frequent answer is correct (Wang et al. 2022, arXiv 2203.11171).

    Samples without an answer (None) do not vote; with no votes the value is 0. Answers that tie for the lead share the
    vote: the value is the share of them that is correct, which is the expectation of a fair draw. Of an answer judged
    differently in different samples, the share judged correct counts.
    """
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    leaders = {answer for answer, count in votes.items() if count == most}
    right = [ok for answer, ok in zip(answers, correct, strict=True) if answer in leaders]
    return sum(right) / len(right)


def expected_maj_at_k(answers: Sequence[Hashable | None], correct: Sequence[bool], k: int, seed: int = 0) -> float:
    """``maj_at_k`` of k of the samples, drawn without replacement: its mean over all subsets of size k.

    Unbiased for k fresh samples, as ``pass_at_k`` is. Beyond ``MAX_SUBSETS`` subsets, so many are drawn by ``seed``.

    Raises:
        ValueError: Not 1 <= k <= the number of samples.
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"k = {k}: must be between 1 and the number of samples, {len(answers)}.")
    subsets: list[tuple[int, ...]]
    if math.comb(len(answers), k) <= MAX_SUBSETS:
        subsets = list(itertools.combinations(range(len(answers)), k))
    else:
        generator = np.random.default_rng(seed)
        subsets = [tuple(generator.permutation(len(answers))[:k].tolist()) for _ in range(MAX_SUBSETS)]
    values = [maj_at_k([answers[i] for i in subset], [correct[i] for i in subset]) for subset in subsets]
    return sum(values) / len(values)


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[..., np.ndarray] = np.mean,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron 1979) of ``statistic`` over ``values``, each an independent unit.

    ``statistic`` takes ``axis``, as NumPy's do. A single value gives (value, value): nothing is known of its spread.

    Raises:
        ValueError: No values.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("bootstrap_interval: no values.")
    picks = np.random.default_rng(seed).integers(0, len(data), (num_resamples, len(data)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(data[picks], axis=1), [tail, 1 - tail])
    return float(low), float(high)


def paired_difference(
    first: Sequence[float], second: Sequence[float], num_resamples: int = 10000, seed: int = 0
) -> tuple[float, float, float, float]:
    """Mean of ``second - first`` over pairs, its 95% bootstrap interval, and a two-sided p-value.

    The p-value is that of a sign-flip permutation test (Fisher 1935): under no effect each difference is as likely with
    either sign. With up to 13 pairs all sign patterns are counted, so p is exact; with few pairs it cannot be small.

    Raises:
        ValueError: No pairs, or not as many first as second values.
    """
    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    if len(first) != len(second) or differences.size == 0:
        raise ValueError(f"paired_difference: {len(first)} and {len(second)} values do not make pairs.")
    low, high = bootstrap_interval(differences.tolist(), num_resamples=num_resamples, seed=seed)
    count = len(differences)
    if count <= 13:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (num_resamples, count))
    means = ((1 - 2 * bits) * differences).mean(axis=1)
    as_extreme = int((np.abs(means) >= abs(differences.mean()) - 1e-12).sum())
    # Sampled patterns add the one that was seen, so that p is never 0 (Phipson and Smyth 2010).
    p = as_extreme / len(means) if count <= 13 else (as_extreme + 1) / (len(means) + 1)
    return float(differences.mean()), low, high, float(p)


def sampling_spread(accuracy: float, num_problems: float) -> float:
    """Standard error of an accuracy on ``num_problems`` problems, by Agresti and Coull (1998).

    They add two right answers and two wrong ones, so that none right, or all, is no certainty.
    """
    share = (accuracy * num_problems + 2) / (num_problems + 4)
    return math.sqrt(share * (1 - share) / (num_problems + 4))


def t_interval(values: Sequence[float], least_spread: float = 0.0) -> tuple[float, float]:
    """The 95% interval of the mean of few values, such as one for each seed (Student 1908).

    It takes the values as normal. A single value gives (NaN, NaN): nothing is known of its spread. So do equal ones,
    unless something else says how far they scatter at least: that two seeds agree is no certainty.

    Args:
        values: One or more.
        least_spread: A standard deviation of one value that chance alone gives, see ``sampling_spread``.

    Raises:
        ValueError: No values.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("t_interval: no values.")
    spread = spread_of(data, least_spread)
    if data.size == 1 or spread == 0:
        return math.nan, math.nan
    half = stdtrit(data.size - 1, 0.975) * spread / math.sqrt(data.size)
    return float(data.mean() - half), float(data.mean() + half)


def spread_of(data: np.ndarray, least_spread: float) -> float:
    """The standard deviation of two or more values, at least ``least_spread``; 0 for what differs by rounding alone."""
    spread = float(data.std(ddof=1)) if data.size > 1 else 0.0
    return max(least_spread, spread if spread > 1e-9 else 0.0)


def paired_t_test(
    first: Sequence[float], second: Sequence[float], least_spread: float = 0.0
) -> tuple[float, float, float, float]:
    """Mean of ``second - first`` over pairs, its 95% interval, and the p-value of the paired t-test (Student 1908).

    For a handful of pairs, where ``paired_difference`` has no power: with 3 pairs its p is never below 0.25. Equal
    differences have neither interval nor p (NaN) without a ``least_spread``, as in ``t_interval``.

    Raises:
        ValueError: Fewer than two pairs, or not as many first as second values.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"paired_t_test: {len(first)} and {len(second)} values; two pairs are the least.")
    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    mean, spread = float(differences.mean()), spread_of(differences, least_spread)
    low, high = t_interval(differences.tolist(), least_spread)
    if spread == 0:
        return mean, low, high, math.nan
    t = mean / (spread / math.sqrt(len(differences)))
    return mean, low, high, float(2 * stdtr(len(differences) - 1, -abs(t)))
