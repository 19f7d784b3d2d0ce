"""Generated problems: deterministic, solvable, within their ranges, and split without overlap."""

from fractions import Fraction

import pytest

from r1zero.tasks.countdown_problems import Problem, ProblemSpace, apply, problem, problems


def reachable(values: list[Fraction], operators: str) -> set[Fraction]:
    """Every value of an expression over all of ``values``, by brute force."""
    if len(values) == 1:
        return set(values)
    found = set()
    for i, left in enumerate(values):
        for j, right in enumerate(values):
            if i == j:
                continue
            rest = [value for k, value in enumerate(values) if k not in (i, j)]
            for operator in operators:
                value = apply(operator, left, right)
                if value is not None:
                    found |= reachable([*rest, value], operators)
    return found


@pytest.mark.parametrize(
    "space",
    [
        ProblemSpace(),
        ProblemSpace(num_numbers=(3, 4), number_max=100, target_max=1000, max_intermediate=None),
        ProblemSpace(operators="+-"),
    ],
)
def test_every_problem_is_solvable_and_in_range(space: ProblemSpace) -> None:
    for index in range(30):
        given = problem(0, "train", index, space)
        assert given.target in reachable([Fraction(n) for n in given.nums], space.operators)
        assert len(given.nums) in space.num_numbers
        assert all(space.number_min <= n <= space.number_max for n in given.nums)
        assert space.target_min <= given.target <= space.target_max
        assert given.target not in given.nums


def test_a_problem_depends_on_seed_split_and_index_only() -> None:
    space = ProblemSpace()
    assert problem(0, "train", 7, space) == problem(0, "train", 7, space)
    drawn = {problem(seed, "train", index, space) for seed in range(3) for index in range(20)}
    assert len(drawn) > 55
    # Written down once: a change of the generator would silently change every published curve.
    assert problem(0, "test", 0, space) == Problem((9, 11, 13), 2)


def test_splits_are_disjoint_whatever_the_order_of_the_numbers() -> None:
    space = ProblemSpace(number_max=6, target_max=20)  # a small space, where an overlap would be certain
    train = {(tuple(sorted(p.nums)), p.target) for p in problems(0, "train", 200, space)}
    test = {(tuple(sorted(p.nums)), p.target) for p in problems(1, "test", 20, space)}
    assert not train & test
    assert Problem((1, 2, 3), 6).split == Problem((3, 1, 2), 6).split


def test_problems_are_distinct() -> None:
    drawn = list(problems(0, "train", 500, ProblemSpace()))
    assert len({(tuple(sorted(p.nums)), p.target) for p in drawn}) == 500


def test_a_space_that_is_too_small_says_so() -> None:
    with pytest.raises(ValueError, match=r"Only \d+ distinct train problems found for 1000"):
        list(problems(0, "train", 1000, ProblemSpace(number_max=3, target_max=9)))


def test_a_space_without_solutions_says_so() -> None:
    with pytest.raises(ValueError, match="No solvable problem"):
        problem(0, "train", 0, ProblemSpace(number_max=3, target_min=5000, target_max=5001))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_numbers", (1,), "at least 2 numbers"),
        ("number_min", 0, "1 <= number_min"),
        ("target_min", 200, "above target_max"),
        ("operators", "+%", "use one or more"),
    ],
)
def test_bad_ranges_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProblemSpace(**{field: value})
