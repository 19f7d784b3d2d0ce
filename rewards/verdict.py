"""What a judge returns: a score, the outcome that explains it, and a detail for a person to read.

A wrong completion scores a number; a judge that could not do its work scores None. Nothing here turns one into the
other.
"""

import enum
from dataclasses import dataclass


class Outcome(enum.Enum):
    """Why a verdict has its score."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    BAD_FORMAT = "bad_format"
    TIMEOUT = "timeout"
    UNGRADEABLE = "ungradeable"


@dataclass(frozen=True)
class Verdict:
    """One judge's opinion of one completion.

    Attributes:
        score: In [0, 1]; None exactly when the outcome is UNGRADEABLE (bad ground truth, sandbox down).
        outcome: Why.
        detail: For the log, not for programs: "value 7/2, target 3".

    Raises:
        ValueError: The score contradicts the outcome or lies outside [0, 1].
    """

    score: float | None
    outcome: Outcome
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.score is None) != (self.outcome is Outcome.UNGRADEABLE):
            raise ValueError(
                f"score = {self.score} with outcome = {self.outcome.name}: None means UNGRADEABLE and nothing else; "
                "give a number to every other outcome"
            )
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score = {self.score}: a score lies in [0, 1]; scale it in reward.weights instead")
