"""A task: training and held-out problems, and the judges that score completions of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rewards import Verdict

Row = dict[str, Any]

# (prefill + completion, row) -> verdict
Judge = Callable[[str, Mapping[str, Any]], Verdict]

# (prefill + completion, row, its verdict) -> what the completion votes for; None without an answer
Ballot = Callable[[str, Mapping[str, Any], Verdict], str | None]


@dataclass(frozen=True)
class Task:
    """Problems and judges.

    Attributes:
        name: Used in metric names, e.g. ``eval/countdown/accuracy``.
        train, test: Rows with ``prompt`` (the whole text the model continues), ``prefill`` (the part of the prompt that
            judges read in front of the completion) and the ground truth columns of the judges. All rows have the
            same columns.
        judges: By reward name.
        accuracy_judge: The judge whose CORRECT counts as solved.
        ballot: The canonical form of a completion's answer: equal answers have equal forms, so that they vote together
            in maj@k. None for a task without maj@k.
        as_source: The columns of a row that ``task.source`` reads, so that chosen rows can be a file. None for problems
            that have no file form.
    """

    name: str
    train: list[Row]
    test: list[Row]
    judges: dict[str, Judge]
    accuracy_judge: str
    ballot: Ballot | None = None
    as_source: Callable[[Row], Row] | None = None

    def __post_init__(self) -> None:
        if self.accuracy_judge not in self.judges:
            raise ValueError(f"accuracy_judge = {self.accuracy_judge}: must be one of {', '.join(self.judges)}.")
