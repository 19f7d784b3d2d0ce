"""From a task's config to the task: its kind's builder, and the recipe judges that the reward names."""

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import Config
from r1zero.config.tasks import imported
from r1zero.tasks.recipes import RECIPES, with_recipes
from r1zero.tasks.task import Task


def build_task(config: Config, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task that ``config.task`` describes.

    Raises:
        ValueError: Bad data, a reward weight for a judge that the task does not have, or a builder that cannot be
            imported or makes something else.
    """
    build = imported(config.task.builder, f"{type(config.task).__name__}.builder")
    task = build(config.task, config.reward, tokenizer)
    if not isinstance(task, Task):
        raise ValueError(
            f"task.kind = {config.task.kind}: {config.task.builder} must return an r1zero.tasks.task.Task; "
            f"it returned {task!r:.100}."
        )
    task = with_recipes(task, config)
    for name in config.reward.weights:
        if name not in task.judges:
            known = [*task.judges, *(recipe for recipe in RECIPES if recipe not in task.judges)]
            raise ValueError(f"reward.weights.{name}: task {task.name!r} has no such judge; it has {', '.join(known)}.")
    return task
