"""Judges answers to reasoning-gym's generated problems with that library's own scoring functions.

Some of those evaluate the answer: ``eval``, or sympy's ``parse_expr``, which is ``eval`` too. So they run in worker
processes with a deadline (`rewards.pool`); ``eval`` is replaced by a reader of literals; and for ``parse_expr`` an
answer must be a formula: numbers, signs, brackets, one-letter names and known functions. Which data sets need it was
found by reading version 0.1.25, which the extra pins. What the functions accept is up to the library; what a score
is worth says a `Rule`, because some are paid for nothing.
"""

import ast
import base64
import contextlib
import importlib
import importlib.util
import json
import pickle
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from rewards.countdown import judge_expression
from rewards.pool import Pool, Status
from rewards.tags import extract_answer
from rewards.verdict import Outcome, Verdict

DEADLINE_S = 5.0  # the slowest scores, of integrals, take a second
MAX_ANSWER_CHARS = 10_000
WORKERS = 2
ROUNDED = Fraction(1, 10**6)

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
_DECIMAL_OR_RATIO = re.compile(r"[-+]?[0-9]{1,100}(\.[0-9]{0,100})?(e[-+]?[0-9]{1,2}|/[0-9]{1,100})?")
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]")

_POOL = Pool("rewards.gym_answer:score_encoded", preload=("reasoning_gym",), size=WORKERS, memory_mb=4096)


@dataclass(frozen=True)
class Rule:
    """What a data set's scores are worth, after the probe of ``r1zero.tasks.gym_probe``.

    Attributes:
        kind: "partial": the library's score above ``floor``; "full": its full score alone; "strict": its full score,
            and only for an answer that equals the gold.
        floor: Mean score of the best answer that ignores the problem, in [0, 1].
    """

    kind: Literal["partial", "full", "strict"]
    floor: float = 0.0


def paid(score: float, equal: bool, rule: Rule) -> float:
    """What an answer earns: 1 for the full score; otherwise the share of what lies between the floor and it.

    Args:
        score: The library's, in [0, 1].
        equal: Whether the answer equals the gold; read by "strict".

    >>> paid(0.75, False, Rule("partial", 0.5)), paid(0.4, False, Rule("partial", 0.5)), paid(0.75, False, Rule("full"))
    (0.5, 0.0, 0.0)
    """
    if score == 1.0:
        return 1.0 if rule.kind != "strict" or equal else 0.0
    if rule.kind != "partial" or rule.floor >= 1.0:
        return 0.0
    return max(0.0, (score - rule.floor) / (1.0 - rule.floor))


def same(answer: str, gold: str) -> bool:
    """Whether the two are one text up to spaces, case, the form of numbers and a full stop at the end.

    A gold that is no integer is rounded, so a number next to it is taken for it.

    >>> same(" true.", "True"), same("5/16", "0.3125"), same("1,000", "1e3"), same("1.0 2", "1 2"), same("0", "0.5")
    (True, True, True, True, False)
    >>> same("29,426,734.96", "29426734.958"), same("1", "0.99975"), same("1000001", "1000000")
    (True, False, False)
    """
    answers, golds = _words(answer), _words(gold)
    return len(answers) == len(golds) and all(map(_is_same_word, answers, golds))


def _words(text: str) -> list[str]:
    return text.casefold().strip().removesuffix(".").split()


def _is_same_word(answer: str, gold: str) -> bool:
    if answer == gold:
        return True
    number, right = _number(answer), _number(gold)
    if number is None or right is None or right.denominator == 1:
        return number is not None and number == right
    return abs(number - right) <= abs(right) * ROUNDED


def _number(text: str) -> Fraction | None:
    text = text.replace(",", "")
    if not _DECIMAL_OR_RATIO.fullmatch(text):
        return None
    with contextlib.suppress(ZeroDivisionError, ValueError):  # ValueError: 1.5/2
        return Fraction(text)
    return None


def judge_gym(text: str, dataset: str, options: dict[str, Any], entry: str, gold: str, rule: Rule) -> Verdict:
    """What the answer in ``text`` earns under ``rule``: CORRECT for 1, WRONG below.

    Args:
        text: Prefilled tail of the prompt, and the completion.
        dataset, options: The name and the arguments of ``reasoning_gym.create_dataset``.
        entry: The problem, from `packed`.
        gold: The library's own answer.
        rule: How the data set is judged.

    Returns:
        NO_ANSWER without an answer in tags; BAD_FORMAT for one that must be a formula and is none, and for one on which
        the scoring fails although it can score the problem's gold; TIMEOUT; UNGRADEABLE when it fails on the gold too.
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
    if isinstance(result.value, str):
        return Verdict(0.0, Outcome.BAD_FORMAT, result.value)
    earned = paid(result.value, same(answer, gold), rule)
    return Verdict(earned, Outcome.CORRECT if earned == 1.0 else Outcome.WRONG, f"score {result.value:.3g}")


def is_formula(answer: str) -> bool:
    """Whether ``answer`` can do nothing but arithmetic when sympy parses it.

    >>> is_formula("2*x**2 + sin(x)/3 - C"), is_formula("().__class__"), is_formula("open(x)")
    (True, False, False)
    """
    if not _FORMULA.fullmatch(answer) or _ATTRIBUTE.search(answer):
        return False
    return all(len(name) == 1 or name in FUNCTIONS for name in _NAME.findall(answer))


def score_encoded(request: list[Any]) -> float | str:
    """The library's score of an answer, or why it has none although the gold of the problem has. Called in a worker.

    Raises:
        Exception: Scoring fails on the gold too.
    """
    dataset, options, packed_entry, answer = request
    scorer, entry = problems_of(dataset, options), unpacked(packed_entry)
    try:
        return score(scorer, dataset, answer, entry)
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # the text's fault if the gold can be scored; if not, this raises, and it is the library's
        score(scorer, dataset, entry["answer"], entry)
        return f"scoring raised {type(error).__name__}: {error}"[:200]


def score(scorer: Any, dataset: str, answer: str, entry: dict[str, Any]) -> float:
    """The score of ``answer``, by the library (``scorer`` is its data set) or by a rule of ours.

    Raises:
        ValueError: The score is no number in [0, 1].
        Exception: Whatever the library raises.
    """
    if dataset in PARSING and answer is not None and not is_formula(answer):
        return 0.0
    if dataset == "puzzle24":  # the library pays four numbers that make 24, whatever the given ones are
        return float(judge_expression(answer, entry["metadata"]["numbers"], 24, use_all_numbers=True).score or 0.0)
    value = float(scorer.score_answer(answer, entry))
    if not 0.0 <= value <= 1.0:  # true of NaN as well
        raise ValueError(f"the library's score is {value!r}")
    return value


def packed(entry: dict[str, Any]) -> str:
    """A problem as text, whatever its metadata holds."""
    return base64.b64encode(pickle.dumps(entry)).decode("ascii")


def unpacked(text: str) -> dict[str, Any]:
    """The problem of `packed`, which must have written ``text``."""
    return pickle.loads(base64.b64decode(text))


def problems_of(dataset: str, options: dict[str, Any]) -> Any:
    """The library's data set, its scoring kept from evaluating anything but literals."""
    return _problems_of(dataset, json.dumps(options, sort_keys=True))


@lru_cache(maxsize=4)
def _problems_of(dataset: str, options: str) -> Any:
    import reasoning_gym

    if dataset in EVALUATING:
        importlib.import_module(EVALUATING[dataset]).__dict__["eval"] = ast.literal_eval
    return reasoning_gym.create_dataset(dataset, **json.loads(options))


def is_installed() -> bool:
    """Whether the optional package is there."""
    return importlib.util.find_spec("reasoning_gym") is not None
