"""From a task's config to the task: its kind's builder, and the further judges that the reward names."""

import dataclasses

from transformers import PreTrainedTokenizerBase

from r1zero.config.checks import check_pays, pay_by_default
from r1zero.config.kinds import imported
from r1zero.config.schema import Config, RewardConfig
from r1zero.tasks.own_judges import own_judge
from r1zero.tasks.recipes import RECIPES, with_recipes
from r1zero.tasks.task import Task


def build_task(config: Config, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task that ``config.task`` describes.

    Raises:
        ValueError: Bad data, a reward weight for a judge that the task does not have, or a builder or judge that cannot
            be imported or is something else.
    """
    build = imported(config.task.builder, f"{type(config.task).__name__}.builder")
    task = build(config.task, config.reward, tokenizer)
    if not isinstance(task, Task):
        raise ValueError(
            f"task.kind = {config.task.kind}: {config.task.builder} must return an r1zero.tasks.task.Task; "
            f"it returned {task!r:.100}."
        )
    task = with_recipes(with_own_judges(task, config.reward), config)
    pay_by_default(config.reward, task.accuracy_judge)  # kinds outside the package say only now which it is
    check_pays(config.reward)
    for name in config.reward.weights:
        if name not in task.judges:
            known = [*task.judges, *(recipe for recipe in RECIPES if recipe not in task.judges)]
            raise ValueError(f"reward.weights.{name}: task {task.name!r} has no such judge; it has {', '.join(known)}.")
    return task


def with_own_judges(task: Task, reward: RewardConfig) -> Task:
    """The task with the judges that ``reward.judges`` names, and the accuracy that ``reward.accuracy`` names.

    Raises:
        ValueError: A judge cannot be imported, or has a name that is taken, or there is none for the accuracy.
    """
    if taken := sorted(reward.judges.keys() & {*task.judges, *RECIPES}):
        raise ValueError(f"reward.judges.{taken[0]}: there is a judge of this name; call yours otherwise.")
    columns = {"completion_ids", *(task.train or task.test)[0]}
    own = {name: own_judge(name, path, columns) for name, path in reward.judges.items()}
    judges = task.judges | own
    accuracy = reward.accuracy or task.accuracy_judge
    if accuracy not in judges:
        raise ValueError(f"reward.accuracy = {accuracy}: must be one of {', '.join(judges)}.")
    ballot = task.ballot if accuracy == task.accuracy_judge else None  # its answers are another judge's
    return dataclasses.replace(task, judges=judges, accuracy_judge=accuracy, ballot=ballot)
