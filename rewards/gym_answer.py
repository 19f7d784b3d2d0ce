"""Judges answers to reasoning-gym's generated problems with that library's own scoring functions.

Some of those evaluate the answer: ``eval``, or sympy's ``parse_expr``, which is ``eval`` too. So they run in worker
processes with a deadline (`rewards.pool`); ``eval`` is replaced by a reader of literals; and for ``parse_expr`` an
answer must be a formula: numbers, signs, brackets, one-letter names and known functions. Which data sets need it was
found by reading version 0.1.25, which the extra pins. What the functions accept is up to the library: some give
partial scores for form, and some are lenient.
"""

import ast
import base64
import importlib
import importlib.util
import math
import pickle
import re
from functools import lru_cache
from typing import Any

from rewards.pool import Pool, Status
from rewards.tags import extract_answer
from rewards.verdict import Outcome, Verdict

DEADLINE_S = 5.0  # the slowest scores, of integrals, take a second
MAX_ANSWER_CHARS = 10_000
WORKERS = 2

# Data sets whose scoring calls eval() on the answer, and the module that does.
EVALUATING = {
    "binary_matrix": "reasoning_gym.algorithmic.binary_matrix",
    "n_queens": "reasoning_gym.games.n_queens",
    "spiral_matrix": "reasoning_gym.algorithmic.spiral_matrix",
    "string_insertion": "reasoning_gym.algorithmic.string_insertion",
}
# Data sets whose scoring gives the answer to sympy's parse_expr.
PARSING = ("countdown", "puzzle24", "polynomial_multiplication", "simple_integration", "intermediate_integration")
FUNCTIONS = frozenset("sin cos tan sec csc cot asin acos atan sinh cosh tanh exp log ln sqrt pi Abs".split())
_FORMULA = re.compile(r"[0-9A-Za-z+\-*/^(). ]*")
_NAME = re.compile(r"[A-Za-z_]+[0-9A-Za-z_]*")
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]")

_POOL = Pool("rewards.gym_answer:score_encoded", preload=("reasoning_gym",), size=WORKERS, memory_mb=4096)


def judge_gym(text: str, dataset: str, options: dict[str, Any], entry: str) -> Verdict:
    """The library's score of the answer in ``text``: CORRECT for 1, WRONG below, with the partial score it gives.

    Args:
        text: Prefilled tail of the prompt, and the completion.
        dataset, options: The name and the arguments of ``reasoning_gym.create_dataset``.
        entry: The problem, from `packed`.

    Returns:
        NO_ANSWER without an answer in tags; BAD_FORMAT for one that must be a formula and is none; TIMEOUT; UNGRADEABLE
        when the library fails or gives no number in [0, 1].
    """
    answer = extract_answer(text)
    if answer is None:
        return Verdict(0.0, Outcome.NO_ANSWER, "no answer, or more than one")
    if len(answer) > MAX_ANSWER_CHARS:
        return Verdict(0.0, Outcome.BAD_FORMAT, f"{len(answer)} characters, limit {MAX_ANSWER_CHARS}")
    if dataset in PARSING and not is_formula(answer):
        return Verdict(0.0, Outcome.BAD_FORMAT, "not a formula")
    result = _POOL.call([dataset, options, entry, answer], DEADLINE_S)
    if result.status is Status.TIMEOUT:
        return Verdict(0.0, Outcome.TIMEOUT, f"scoring took more than {DEADLINE_S:.0f} s")
    if result.status is Status.CRASH:
        return Verdict(0.0, Outcome.WRONG, "scoring ran out of memory")
    if result.status is not Status.OK:
        return Verdict(None, Outcome.UNGRADEABLE, f"{result.status.value}: {result.value}")
    score = result.value
    if not isinstance(score, int | float) or not math.isfinite(score) or not 0.0 <= score <= 1.0:
        return Verdict(None, Outcome.UNGRADEABLE, f"the library's score is {score!r}")
    return Verdict(float(score), Outcome.CORRECT if score == 1.0 else Outcome.WRONG, f"score {score:.3g}")


def is_formula(answer: str) -> bool:
    """Whether ``answer`` can do nothing but arithmetic when sympy parses it.

    >>> is_formula("2*x**2 + sin(x)/3 - C"), is_formula("().__class__"), is_formula("open(x)")
    (True, False, False)
    """
    if not _FORMULA.fullmatch(answer) or _ATTRIBUTE.search(answer):
        return False
    return all(len(name) == 1 or name in FUNCTIONS for name in _NAME.findall(answer))


def score_encoded(request: list[Any]) -> float:
    """The library's score of an answer. Called in a worker."""
    dataset, options, entry, answer = request
    problems = problems_of(dataset, tuple(sorted(options.items())))
    return float(problems.score_answer(answer, pickle.loads(base64.b64decode(entry))))


def packed(entry: dict[str, Any]) -> str:
    """A problem as text, whatever its metadata holds.

    The worker reads what this process wrote. It cannot generate the problem again: some data sets depend on Python's
    hash seed, which differs between processes.
    """
    return base64.b64encode(pickle.dumps(entry)).decode("ascii")


@lru_cache(maxsize=4)
def problems_of(dataset: str, options: tuple[tuple[str, Any], ...]) -> Any:
    """The data set, its scoring kept from evaluating anything but literals."""
    import reasoning_gym

    if dataset in EVALUATING:
        importlib.import_module(EVALUATING[dataset]).__dict__["eval"] = ast.literal_eval
    return reasoning_gym.create_dataset(dataset, **dict(options))


def is_installed() -> bool:
    """Whether the optional package is there."""
    return importlib.util.find_spec("reasoning_gym") is not None
