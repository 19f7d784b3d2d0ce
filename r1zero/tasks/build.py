"""From a task's config to the task."""

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import Config
from r1zero.config.tasks import CodeConfig, CountdownConfig, GymConfig, MathConfig
from r1zero.tasks.code import build_code
from r1zero.tasks.countdown import build_countdown
from r1zero.tasks.gym import build_gym
from r1zero.tasks.math import build_math
from r1zero.tasks.recipes import RECIPES, with_recipes
from r1zero.tasks.task import Task


def build_task(config: Config, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task that ``config.task`` describes; the type of its config says which.

    Raises:
        ValueError: Bad data, or a reward weight for a judge that the task does not have.
    """
    if isinstance(config.task, CountdownConfig):
        task = build_countdown(config.task, config.reward, tokenizer)
    elif isinstance(config.task, MathConfig):
        task = build_math(config.task, config.reward, tokenizer)
    elif isinstance(config.task, CodeConfig):
        task = build_code(config.task, config.reward, tokenizer)
    elif isinstance(config.task, GymConfig):
        task = build_gym(config.task, config.reward, tokenizer)
    else:
        raise ValueError(f"task: no builder for {type(config.task).__name__}.")
    task = with_recipes(task, config)
    for name in config.reward.weights:
        if name not in task.judges:
            known = [*task.judges, *(recipe for recipe in RECIPES if recipe not in task.judges)]
            raise ValueError(f"reward.weights.{name}: task {task.name!r} has no such judge; it has {', '.join(known)}.")
    return task
