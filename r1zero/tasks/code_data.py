"""Programming problems of files and Hub data sets, in the shapes in which the usual sets are published.

A row that no program can be judged by leaves the data; it is counted, and the first ones are named.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from r1zero.tasks.code_contests import (
    from_code_contests,
    from_codeforces,
    from_deepcoder,
    from_livecodebench,
    from_prime_rl,
    from_verifiable,
    private_cases,
)
from r1zero.tasks.code_shapes import (
    Problem,
    from_apps,
    from_bigcodebench,
    from_humaneval,
    from_kodcode,
    from_leetcode,
    from_mbpp,
    from_own,
)
from r1zero.tasks.rows import read_rows, without_held_out
from rewards.code_tests import CodeTests

__all__ = ["Problem", "checked_problem", "load_code_problems", "private_cases"]

log = logging.getLogger(__name__)

MAX_EXAMPLES = 3  # of each fault, in the report

# The columns that tell a shape, the more special ones first.
SHAPES = (
    ({"complete_prompt", "test", "entry_point"}, from_bigcodebench),
    ({"starter_code", "prompt", "test", "entry_point"}, from_leetcode),
    ({"prompt", "test", "entry_point"}, from_humaneval),
    ({"test_list"}, from_mbpp),
    ({"question", "test", "test_info"}, from_kodcode),
    ({"question", "solution", "test"}, from_kodcode),
    ({"question", "tests"}, from_own),
    ({"question", "input_output"}, from_apps),
    ({"question_content", "public_test_cases"}, from_livecodebench),
    ({"description", "public_tests"}, from_code_contests),
    ({"description", "official_tests"}, from_codeforces),
    ({"verification_info"}, from_verifiable),
    ({"prompt", "reward_model"}, from_prime_rl),
    ({"problem", "tests"}, from_deepcoder),
)


def load_code_problems(source: str, split: str, num_train: int, num_test: int) -> tuple[list[Problem], list[Problem]]:
    """The first ``num_train`` usable rows as training set and the next ``num_test`` as held-out set, in file order.

    Rows that cannot be used are left out, so that there may be fewer than wanted. Problems that are held out too, with
    the same question, are not trained on.

    Raises:
        ValueError: The source is missing or too short, has no shape we know, or no row of it can be used.
    """
    wanted = num_train + num_test
    rows = read_rows(source, split)
    found, num_rows = usable(source, rows, wanted)
    if num_rows < wanted:
        raise ValueError(
            f"task.source = {source} has {num_rows} rows, and task.num_train + task.num_test = {num_train} + "
            f"{num_test} = {wanted} are wanted: lower one of them."
        )
    if not found:
        raise ValueError(f"task.source = {source}: none of its {num_rows} rows can be used, see above.")
    # Where rows were left out at the end, the held-out set keeps its size and training gets fewer.
    train, test = found[: max(len(found) - num_test, 0)], found[max(len(found) - num_test, 0) :]
    kept = without_held_out(train, test, lambda problem: problem.question, source)
    if num_train and not kept:
        raise ValueError(f"task.source = {source}: every training row is also held out; nothing is left to train on.")
    return kept, test


def usable(source: str, rows: Iterator[tuple[str, Any]], wanted: int) -> tuple[list[Problem], int]:
    """As many problems as are ``wanted`` of the rows, and how many rows that took; reports those that are left out."""
    found: list[Problem] = []
    faults, examples, num_rows = Counter[str](), dict[str, list[str]](), 0
    while len(found) < wanted:
        part = list(islice(rows, wanted - len(found)))
        if not part:
            break
        num_rows += len(part)
        for place, row in part:
            try:
                found.append(checked_problem(place, row))
            except UnknownShapeError:
                raise
            except ValueError as error:
                fault = str(error.__cause__ or error)[:200]
                faults[fault] += 1
                if faults[fault] <= MAX_EXAMPLES:
                    examples.setdefault(fault, []).append(place)
    for fault, number in faults.most_common(10):
        log.warning(
            "%s: %d of %d rows cannot be judged and are left out (%s): %s",
            *(source, number, num_rows, fault, "; ".join(examples[fault])),
        )
    if faults:
        log.warning("%s: %d of %d rows left out in all.", source, faults.total(), num_rows)
    return found, num_rows


class UnknownShapeError(ValueError):
    """A row of no data set that is known here."""


def checked_problem(place: str, row: Any) -> Problem:
    """The row as a problem whose tests can be judged.

    Raises:
        UnknownShapeError: No set of columns is known.
        ValueError: Names the place and what is wrong.
    """
    if not isinstance(row, Mapping):
        raise UnknownShapeError(f"{place}: needs an object with columns; found {type(row).__name__}.")
    for columns, convert in SHAPES:
        if columns <= row.keys():
            try:
                problem = convert(row)
                CodeTests.parse(problem.tests)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, RecursionError) as error:
                raise ValueError(f"{place}: cannot be judged: {error}.") from error
            return problem
    shapes = "; ".join(" ".join(sorted(columns)) for columns, _ in SHAPES)
    raise UnknownShapeError(f"{place}: none of the known sets of columns ({shapes}); found {', '.join(sorted(row))}.")
