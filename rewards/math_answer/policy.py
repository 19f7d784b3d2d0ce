"""What counts as the same answer (`Policy`), why a verdict fell (`Reason`), and the verdict that carries it."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rewards.verdict import Outcome, Verdict

# Where an answer may stand, in the order in which they are looked for.
SOURCES = ("box", "tag", "hash", "phrase", "bare")


@dataclass(frozen=True)
class Policy:
    r"""The choices on which reasonable judges differ. The defaults are the project's label policy (README.md).

    Attributes:
        answer_in: Where an answer is looked for, in this order; the first place that has one decides. ``box`` is the
            last ``\boxed{}``, ``tag`` the last ``<answer>``, ``hash`` GSM8K's ``####``, ``phrase`` "the answer is",
            ``bare`` a response that is nothing but an answer or ends in one.
        percent_sign_optional: ``50`` also answers ``50\%``, and the other way round; not for values below 1, where the
            sign makes another answer of a probability.
        plain_arithmetic: ``17\times24`` answers 408. Powers, roots, factorials and binomials always may stand.
        relative_tolerance: Two numbers this close are equal, when the gold is written with a decimal point.
        check_units: A unit that differs from the gold's is wrong. A unit may always be added or left out.
        inequality_as_interval: ``x > 3`` and ``(3, \infty)`` are one answer.
        join_boxes: ``\boxed{1}, \boxed{2}`` is the list 1, 2; otherwise the last box counts.
        next_question: How a next question would begin, such as "Question:" on a line of its own; nothing behind it is
            looked at.
        deadline_s: Limit of the symbolic step, in seconds; the steps before it are bounded by the size of the answer.

    Raises:
        ValueError: An unknown place, or a number that cannot be a limit.
    """

    answer_in: tuple[str, ...] = SOURCES
    percent_sign_optional: bool = False
    plain_arithmetic: bool = False
    relative_tolerance: float = 0.0
    check_units: bool = True
    inequality_as_interval: bool = True
    join_boxes: bool = True
    next_question: tuple[str, ...] = ()
    deadline_s: float = 2.0

    def __post_init__(self) -> None:
        unknown = [place for place in self.answer_in if place not in SOURCES]
        if unknown or not self.answer_in:
            raise ValueError(f"answer_in = {list(self.answer_in)}: name one or more of {', '.join(SOURCES)}")
        if not 0.0 <= self.relative_tolerance < 1.0:
            raise ValueError(f"relative_tolerance = {self.relative_tolerance}: must be in [0, 1); 0 compares exactly")
        if not self.deadline_s > 0.0:
            raise ValueError(f"deadline_s = {self.deadline_s}: must be above 0")


DEFAULT = Policy()


class Reason(enum.Enum):
    """The step that decided."""

    STRING = "string"  # the same text, up to what LaTeX does not show
    EXACT = "exact"  # exact rational arithmetic
    PROBE = "probe"  # values at fixed points, to 40 digits and more
    SYMPY = "sympy"
    DIFFERS = "differs"
    SHAPE = "shape"  # a list against a number, a text against an expression
    UNIT = "unit"
    UNEVALUATED = "unevaluated"  # a sum, a product or an equation that is written down and not worked out
    NO_ANSWER = "no_answer"
    TOO_BIG = "too_big"
    TIMEOUT = "timeout"
    BAD_GOLD = "bad_gold"
    NO_WORKER = "no_worker"  # the symbolic step could not be run


OUTCOMES = {
    Reason.STRING: Outcome.CORRECT,
    Reason.EXACT: Outcome.CORRECT,
    Reason.PROBE: Outcome.CORRECT,
    Reason.SYMPY: Outcome.CORRECT,
    Reason.NO_ANSWER: Outcome.NO_ANSWER,
    Reason.TIMEOUT: Outcome.TIMEOUT,
    Reason.BAD_GOLD: Outcome.UNGRADEABLE,
    Reason.NO_WORKER: Outcome.UNGRADEABLE,
}
_STRENGTH = (Reason.STRING, Reason.EXACT, Reason.PROBE, Reason.SYMPY)  # the reasons to accept, cheapest step first
SCORES: dict[Outcome, float | None] = {Outcome.CORRECT: 1.0, Outcome.UNGRADEABLE: None}


@dataclass(frozen=True)
class MathVerdict(Verdict):
    """A verdict that also says which step decided; ``detail`` starts with the same word."""

    reason: Reason = Reason.DIFFERS


@lru_cache(maxsize=1024)
def verdict(reason: Reason, detail: str = "") -> MathVerdict:
    """The verdict that ``reason`` stands for."""
    outcome = OUTCOMES.get(reason, Outcome.WRONG)
    text = f"{reason.value}: {detail}" if detail else reason.value
    return MathVerdict(SCORES.get(outcome, 0.0), outcome, text, reason)


def accepted(reason: Reason) -> bool:
    """Whether the reason makes an answer correct."""
    return OUTCOMES.get(reason) is Outcome.CORRECT


def combined(reasons: Sequence[Reason]) -> Reason:
    """The reason for all parts together: the first one against; without any, the hardest step that was needed."""
    for reason in reasons:
        if not accepted(reason):
            return reason
    return max(reasons, key=_STRENGTH.index, default=Reason.STRING)
