"""What to evaluate, from the command line of ``python -m r1zero.evaluate``: one config for each task.

The config of an evaluation is that of a training run, so that prompts, judges and sampling have one source. Nothing is
loaded or written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from r1zero.config.checks import check_eval, check_rollout, check_task
from r1zero.config.compose import register_schema, typed
from r1zero.config.schema import Config
from r1zero.config.shorthand import CONF, expand
from r1zero.config.tasks import TaskConfig
from r1zero.config.trainer_checks import check_trainer_values
from r1zero.config.trainer_keys import check_trainer_keys
from r1zero.runs.checkpoints import checkpoint_path
from r1zero.runs.directory import load_config
from r1zero.runs.layout import EVALUATIONS, FINAL

OWN_KEYS = ("run", "checkpoint", "model", "task", "name", "output", "compare")
CONFIG_DIR = "--config-dir"  # as Hydra has it for training: a folder like conf/ with more files
GROUPS_WITH_RUN = ("rollout",)  # what else may be swapped when the config comes from a run


@dataclass(frozen=True)
class Plan:
    """What to evaluate and where results go.

    Attributes:
        configs: One for each task; all have the same model.
        output: Folder with a folder for each task.
    """

    configs: list[Config]
    output: Path


def plan(arguments: Sequence[str], train_rows: bool = False) -> Plan:
    """The evaluations that the command line asks for; ``train_rows`` keeps the training rows, which they do not need.

    Raises:
        ValueError: An argument cannot work; says which, why and what to set.
    """
    own, rest = split(arguments)
    if "run" in own and "model" in own:
        raise ValueError(
            "run and model: give one of them; run=DIR checkpoint=base evaluates the model that it began with."
        )
    if "checkpoint" in own and "run" not in own:
        raise ValueError(f"checkpoint = {own['checkpoint']}: needs run=DIR. For a folder with a model, set model=PATH.")
    config_dir = Path(own[CONFIG_DIR]).resolve() if CONFIG_DIR in own else None
    if config_dir and not config_dir.is_dir():
        raise ValueError(f"{CONFIG_DIR} {own[CONFIG_DIR]}: no such folder.")
    tasks: list[str | None] = tasks_of(own["task"]) if "task" in own else [None]
    if "name" in own:  # the data set of task=reasoning_gym
        rest.append(f"task.name={own['name']}")
    if "run" in own:
        run, checkpoint = Path(own["run"]), own.get("checkpoint", FINAL)
        configs = [config_of_run(run, checkpoint, task, rest, config_dir) for task in tasks]
        output = run / EVALUATIONS / checkpoint
    else:
        configs = [config_of_model(own.get("model", "nano"), task, rest, config_dir) for task in tasks]
        output = Path("evaluations") / configs[0].model.name
    for config in configs:
        if not train_rows and not config.task.needs_train_rows():
            config.task.num_train = 0
        check(config)
    names = [config.task.name for config in configs]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"task = {own['task']}: {', '.join(sorted(doubled))} comes twice.")
    return Plan(configs, Path(own.get("output", output)))


def tasks_of(value: str) -> list[str | None]:
    """The tasks of ``task=a,b``; a mixture, ``[a,b]``, is one."""
    return [value] if value.startswith("[") else [name for name in value.split(",") if name]


def split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Our own ``key=value`` arguments, and those for Hydra."""
    own: dict[str, str] = {}
    rest = []
    remaining = iter(arguments)
    for argument in remaining:
        key, equals, value = argument.partition("=")
        if key == CONFIG_DIR:
            own[key] = value if equals else next(remaining, "")
            continue
        if not equals or argument.startswith("-"):
            raise ValueError(
                f"{argument}: arguments are key=value, such as run=runs/... task=gsm8k eval.num_samples=16."
            )
        if key in OWN_KEYS:
            own[key] = value
        else:
            rest.append(argument)
    return own, rest


def config_of_model(model: str, task: str | None, rest: Sequence[str], config_dir: Path | None) -> Config:
    """The config of a training run with this model: a name in ``conf/model``, a folder, a run or a Hub name."""
    return composed([*rest, *([f"task={task}"] if task else []), f"model={model}"], config_dir)


def config_of_run(run: Path, checkpoint: str, task: str | None, rest: Sequence[str], config_dir: Path | None) -> Config:
    """The config that the run was trained with, its model being the checkpoint; ``rest`` is put on top."""
    trained = load_config(run)
    overrides = OverridesParser.create().parse_overrides(list(rest))
    for override in overrides:
        if is_group(override) and override.key_or_group not in GROUPS_WITH_RUN:
            raise ValueError(f"{override.input_line}: with run=DIR the {override.key_or_group} is the run's.")
    groups = [str(override.input_line) for override in overrides if is_group(override)]
    asked = composed([*groups, *([f"task={task}"] if task else [])], config_dir)
    if groups:
        trained.rollout = asked.rollout
    if task:
        trained.task = as_trained(asked.task, trained.task)
    if checkpoint != "base":
        path = checkpoint_path(run, checkpoint)
        trained.model = replace(trained.model, path=str(path), gguf_package=None)
    values = OmegaConf.structured(trained)
    for override in overrides:
        if not is_group(override):
            OmegaConf.update(values, override.key_or_group, override.value(), merge=True)
    return OmegaConf.to_object(values)  # type: ignore[return-value]


def composed(overrides: list[str], config_dir: Path | None) -> Config:
    """The config of a training command line, its values not checked; ``config_dir`` has more files than ``conf/``."""
    register_schema()
    overrides = expand(overrides, config_dir)
    if config_dir:
        overrides = [f'hydra.searchpath=["file://{config_dir}"]', *overrides]
    with initialize_config_module(version_base="1.3", config_module="conf"):
        return typed(compose("train", overrides=overrides))


def is_group(override: Override) -> bool:
    """Whether it chooses a file of ``conf/``, as ``rollout=transformers`` does."""
    return "." not in override.key_or_group and (CONF / override.key_or_group).is_dir()


def as_trained(asked: TaskConfig, trained: TaskConfig) -> TaskConfig:
    """The asked task in the form in which the run learnt its own, where both are of one kind."""
    if type(asked) is not type(trained):
        return asked
    return replace(asked, **{key: getattr(trained, key) for key in asked.as_trained})


def check(config: Config) -> None:
    """Every check of a training config that matters without training; no reward is needed."""
    config.reward.weights = {}
    config.deepspeed = {}
    check_trainer_keys(config.trainer)
    check_trainer_values(config.trainer)
    check_task(config)
    check_rollout(config)
    check_eval(config.eval)
