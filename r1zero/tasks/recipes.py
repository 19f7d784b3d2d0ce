"""The judges of ``rewards.recipes`` on any task: added when ``reward.weights`` names them, and not run otherwise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.tasks.task import Judge, Task
from rewards import Outcome, Verdict
from rewards.recipes import (
    judge_cosine_length,
    judge_language,
    judge_repetition,
    judge_soft_overlong,
    judge_tag_count,
)

RECIPES = ("language", "cosine_length", "repetition", "soft_overlong", "tag_count")


def with_recipes(task: Task, config: Config) -> Task:
    """The task with the recipe judges that ``config.reward.weights`` names."""
    reward, solved = config.reward, task.judges[task.accuracy_judge]
    max_tokens = trainer_value(config.trainer, "max_completion_length")

    def cosine_length(text: str, row: Mapping[str, Any]) -> Verdict:
        verdict = solved(text, row)
        if verdict.score is None:
            return verdict
        return judge_cosine_length(len(row["completion_ids"]), max_tokens, verdict.outcome is Outcome.CORRECT)

    def soft_overlong(text: str, row: Mapping[str, Any]) -> Verdict:
        return judge_soft_overlong(len(row["completion_ids"]), max_tokens, reward.overlong_buffer_tokens)

    judges: dict[str, Judge] = {
        "language": lambda text, row: judge_language(text, reward.language),
        "cosine_length": cosine_length,
        "repetition": lambda text, row: judge_repetition(text, reward.repetition_ngram),
        "soft_overlong": soft_overlong,
        "tag_count": lambda text, row: judge_tag_count(text),
    }
    named = {name: judges[name] for name in RECIPES if name in reward.weights}
    if "soft_overlong" in named and reward.overlong_buffer_tokens > max_tokens:
        raise ValueError(
            f"reward.overlong_buffer_tokens = {reward.overlong_buffer_tokens}: must be at most "
            f"trainer.max_completion_length = {max_tokens}; DAPO uses a fifth of it."
        )
    return dataclasses.replace(task, judges=task.judges | named)
