"""What every kind of task has: its keys, and the answers that a kind may override."""

from dataclasses import dataclass
from typing import ClassVar

from omegaconf import MISSING


@dataclass
class TaskConfig:
    """The keys that every task has, and the answers that a kind may override.

    Attributes:
        kind: A name in ``KINDS``, or the import path ``module:Class`` of a kind outside the package.
        name: Task name, used in metric names.
        template: A key of ``r1zero.config.templates.TEMPLATES``.
        num_train, num_test: Rows in the training and in the held-out set; without training rows, it is for evaluation.
        builder: Import path ``module:function`` of what makes a ``Task`` of (task config, RewardConfig, tokenizer).
        open_keys: Keys that hold a table of any keys.
        example: The answer that templates show as an example of where the answer goes.
        as_trained: Keys that ``evaluate run=...`` takes from training, even for another task of this kind: a policy is
            judged in the form that it learnt.
    """

    builder: ClassVar[str] = ""
    open_keys: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = "42"
    as_trained: ClassVar[tuple[str, ...]] = ("template",)

    kind: str = MISSING
    name: str = MISSING
    template: str = MISSING
    num_train: int = MISSING
    num_test: int = MISSING

    def check(self) -> None:
        """Raise a ValueError for values of this kind's keys that cannot work; it says what to set."""

    def needs_train_rows(self) -> bool:
        """Whether the held-out rows depend on how many training rows there are, so that evaluations need both."""
        return True
