"""The keys of multiple-choice tasks."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from r1zero.config.tasks import TaskConfig
from r1zero.config.templates import TEMPLATES


@dataclass
class ChoiceConfig(TaskConfig):
    """Multiple choice, judged by ``rewards.choice``. Rows without one right option among 2 to 10 are left out.

    Attributes:
        source: A .parquet, .json or .jsonl file or a Hub data set in a shape that ``r1zero.tasks.choice_data`` knows.
        source_config, source_split: Configuration and split of a Hub data set.
        test_source, test_config, test_split: The same for the held-out problems; without a ``test_source`` they are
            the rows after the training rows.
        shuffle: Show the options in an order of the row's own, so that no letter is right more often than others. Rows
            whose options speak of each other ("all of the above") keep theirs.
        seed: Seed of that order. It is not the run's ``seed``: all runs share one held-out set.
        answer_in: Where the judge looks for an answer: any of box, tag, hash, phrase, bare; empty for where the
            template asks for it, or everywhere but hash if it does not say.
    """

    builder = "r1zero.tasks.choice:build_choice"
    accuracy_judge = "choice"
    example = "B"
    as_trained = ("template", "answer_in")

    kind: str = "choice"
    source: str = MISSING
    source_config: str | None = None
    source_split: str = "train"
    test_source: str | None = None
    test_config: str | None = None
    test_split: str = "test"
    shuffle: bool = True
    seed: int = 0
    answer_in: list[str] = field(default_factory=list)

    def check(self) -> None:
        """The judge looks at places that there are, and where the template tells the model to write."""
        known = ("box", "tag", "hash", "phrase", "bare")
        if unknown := [place for place in self.answer_in if place not in known]:
            raise ValueError(f"task.answer_in = {list(self.answer_in)}: {unknown[0]} is none of {', '.join(known)}.")
        asked = TEMPLATES[self.template].answer_in
        if asked is not None and asked not in self.places():
            raise ValueError(
                f"task.answer_in = {list(self.answer_in)}: task.template = {self.template} asks for the answer in a "
                f"{asked}, where it would not be found. Set task.answer_in=[{asked}]."
            )

    def places(self) -> tuple[str, ...]:
        """Where the judge looks for an answer, in this order."""
        asked = TEMPLATES[self.template].answer_in
        return tuple(self.answer_in) or (("box", "tag", "phrase", "bare") if asked is None else (asked,))

    def needs_train_rows(self) -> bool:
        """Without a source of their own, the held-out rows come after the training rows."""
        return self.test_source is None
