"""A task that is not part of the package: begin with the largest of three numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import RewardConfig
from r1zero.config.tasks import TaskConfig
from r1zero.tasks.prompts import prompt_columns
from r1zero.tasks.task import Row, Task
from rewards import Outcome, Verdict


@dataclass
class Largest(TaskConfig):
    """The keys of the task, besides those that every task has."""

    builder = "largest:build"

    highest: int = 20

    def check(self) -> None:
        """The embedded model knows the integers up to 200."""
        if not 3 <= self.highest <= 200:
            raise ValueError(f"task.highest = {self.highest}: must be between 3 and 200.")


def build(config: Largest, reward: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The problems as rows, and what judges them."""
    rows = [row(index, config, tokenizer) for index in range(config.num_train + config.num_test)]
    return Task(
        name=config.name,
        train=rows[: config.num_train],
        test=rows[config.num_train :],
        judges={"largest": judge},
        accuracy_judge="largest",
    )


def row(index: int, config: Largest, tokenizer: PreTrainedTokenizerBase) -> Row:
    """Prompt and ground truth of a problem."""
    nums = [(index * stride + 5) % config.highest for stride in (3, 5, 7)]
    question = f"Numbers: {' '.join(map(str, nums))} Target: {sum(nums) % config.highest}"
    return prompt_columns(question, config, tokenizer) | {"largest": max(nums)}


def judge(text: str, truth: Mapping[str, Any]) -> Verdict:
    """Whether the completion begins with the largest number."""
    words = text.removeprefix(truth["prefill"]).split()
    right = words[:1] == [str(truth["largest"])]
    return Verdict(float(right), Outcome.CORRECT if right else Outcome.WRONG)
