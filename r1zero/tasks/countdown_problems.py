"""Solvable Countdown problems: reach a target from a few numbers with + - * /.

A problem is a pure function of (seed, split, index): no state, no files, the same on every machine.
The splits are disjoint by construction: a hash of (sorted numbers, target) assigns each problem to
one of them, and a draw that belongs to the other is redrawn.
"""

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Split = Literal["train", "test"]

# One key in eight is held out: enough problems to evaluate on, few enough to leave the training set rich.
HELD_OUT_BUCKETS = 8

# So many draws in a row without a new problem mean that the space is as good as exhausted.
MAX_REPEATS = 1000


@dataclass(frozen=True)
class Problem:
    """The given numbers in the order shown to the model, and the target."""

    nums: tuple[int, ...]
    target: int

    @property
    def compact(self) -> str:
        """The problem in the only words that the embedded model knows, see ``r1zero.nano.tokenizer``.

        >>> Problem((3, 5, 7), 22).compact
        'Numbers: 3 5 7 Target: 22'
        """
        return f"Numbers: {' '.join(map(str, self.nums))} Target: {self.target}"

    @property
    def split(self) -> Split:
        """The split this problem belongs to, whichever order its numbers are shown in."""
        key = f"{sorted(self.nums)}={self.target}"
        bucket = hashlib.sha256(key.encode()).digest()[0] % HELD_OUT_BUCKETS
        return "test" if bucket == 0 else "train"


@dataclass(frozen=True)
class ProblemSpace:
    """Which problems exist.

    Attributes:
        num_numbers: How many numbers a problem may have; one count is drawn for each problem.
        number_min, number_max: Inclusive range of the given numbers.
        target_min, target_max: Inclusive range of the target.
        operators: Any of ``+ - * /``.
        use_all_numbers: The hidden solution uses every number; otherwise any two or more of them.
        max_intermediate: Every step of the hidden solution is a whole number in [1, max_intermediate];
            None allows fractions and negatives on the way.
    """

    num_numbers: tuple[int, ...] = (3,)
    number_min: int = 1
    number_max: int = 20
    target_min: int = 1
    target_max: int = 100
    operators: str = "+-*/"
    use_all_numbers: bool = True
    max_intermediate: int | None = 200

    def __post_init__(self) -> None:
        if not self.num_numbers or min(self.num_numbers) < 2:
            raise ValueError(f"num_numbers = {list(self.num_numbers)}: a problem needs at least 2 numbers.")
        if not 1 <= self.number_min <= self.number_max:
            raise ValueError(
                f"number_min = {self.number_min}, number_max = {self.number_max}: need 1 <= number_min <= number_max."
            )
        if self.target_min > self.target_max:
            raise ValueError(f"target_min = {self.target_min} is above target_max = {self.target_max}.")
        if not self.operators or set(self.operators) - set("+-*/"):
            raise ValueError(f"operators = {self.operators!r}: use one or more of '+-*/'.")


def apply(operator: str, left: Fraction, right: Fraction) -> Fraction | None:
    """``left operator right``; None for a division by zero."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return left / right if right else None


def draw_target(rng: random.Random, nums: tuple[int, ...], space: ProblemSpace) -> int | None:
    """The value of one random expression over ``nums``; None when it breaks a limit of ``space``."""
    count = len(nums) if space.use_all_numbers else rng.randint(2, len(nums))
    values = [Fraction(n) for n in rng.sample(nums, count)]
    while len(values) > 1:
        left, right = (values.pop(rng.randrange(len(values))) for _ in range(2))
        value = apply(rng.choice(space.operators), left, right)
        if value is None:
            return None
        if space.max_intermediate is not None and not (value.denominator == 1 and 1 <= value <= space.max_intermediate):
            return None
        values.append(value)
    total = values[0]
    if total.denominator != 1 or not space.target_min <= total <= space.target_max:
        return None
    return int(total)


def problem(seed: int, split: Split, index: int, space: ProblemSpace) -> Problem:
    """The ``index``-th problem of ``split``; the same arguments always give the same problem.

    Raises:
        ValueError: No solvable problem was found in 10,000 draws, so the ranges of ``space`` contradict each other.
    """
    rng = random.Random(f"countdown/{seed}/{split}/{index}")
    for _ in range(10_000):
        nums = tuple(rng.randint(space.number_min, space.number_max) for _ in range(rng.choice(space.num_numbers)))
        target = draw_target(rng, nums, space)
        if target is None or target in nums:
            continue
        drawn = Problem(nums, target)
        if drawn.split == split:
            return drawn
    raise ValueError(f"No solvable problem in 10,000 draws from {space}: widen the target or number range.")


def problems(seed: int, split: Split, count: int, space: ProblemSpace) -> Iterator[Problem]:
    """``count`` problems of ``split`` with distinct (sorted numbers, target).

    Raises:
        ValueError: The space holds too few distinct problems.
    """
    seen: set[tuple[tuple[int, ...], int]] = set()
    last_new = 0
    for index in itertools.count():
        if len(seen) == count:
            return
        if index - last_new > MAX_REPEATS:
            raise ValueError(
                f"Only {len(seen)} distinct {split} problems found for {count} wanted in {space}: "
                "ask for fewer or widen the ranges."
            )
        drawn = problem(seed, split, index, space)
        key = (tuple(sorted(drawn.nums)), drawn.target)
        if key not in seen:
            seen.add(key)
            last_new = index
            yield drawn
