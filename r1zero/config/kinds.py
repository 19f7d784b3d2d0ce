"""The kinds of task by name, those outside the package by import path, and the kind that is made of others."""

import importlib
import math
import re
from dataclasses import dataclass, field
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r1zero.config.choice import ChoiceConfig
from r1zero.config.tasks import CodeConfig, CountdownConfig, GymConfig, MathConfig, TaskConfig
from r1zero.config.templates import TEMPLATES


@dataclass
class MixtureConfig(TaskConfig):
    """Several tasks in one run.

    Attributes:
        parts: The keys of each task, by its name here; ``task=[a,b]`` fills them in.
        weights: How often rows of a task come, relative to the others; 1 for those that are not named.
    """

    builder = "r1zero.tasks.mixture:build_mixture"
    accuracy_judge = "solved"
    open_keys = ("parts", "weights")

    kind: str = "mixture"
    parts: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """At least two parts, each of which can work, and weights above 0 for some of them."""
        if len(self.parts) < 2:
            raise ValueError(f"task.parts = {list(self.parts)}: name at least two tasks, task=[gsm8k,countdown].")
        for name, weight in self.weights.items():
            if name not in self.parts:
                raise ValueError(f"task.weights.{name}: no such part; there are {', '.join(self.parts)}.")
            if not 0 < weight < math.inf:
                raise ValueError(f"task.weights.{name} = {weight}: must be above 0; leave the task out instead.")
        for name, part in self.part_configs().items():
            if part.template not in TEMPLATES:
                raise ValueError(
                    f"task.parts.{name}.template = {part.template}: must be one of {', '.join(TEMPLATES)}."
                )
            if isinstance(part, MixtureConfig):
                raise ValueError(f"task.parts.{name}: a mixture cannot be a part of another.")
            part.check()

    def part_configs(self) -> dict[str, TaskConfig]:
        """The parts as configs of their kinds.

        Raises:
            ValueError: A value cannot be what its key holds, or is missing.
        """
        found: dict[str, TaskConfig] = {}
        for name, values in self.parts.items():
            try:
                merged = OmegaConf.merge(OmegaConf.structured(class_of(values["kind"])), values)
                found[name] = cast(TaskConfig, OmegaConf.to_object(merged))
            except OmegaConfBaseException as error:
                raise ValueError(f"task.parts.{name}: {str(error).splitlines()[0]}.") from error
        return found

    def needs_train_rows(self) -> bool:
        """As soon as one part does."""
        return any(part.needs_train_rows() for part in self.part_configs().values())


KINDS: dict[str, type[TaskConfig]] = {
    "countdown": CountdownConfig,
    "math": MathConfig,
    "code": CodeConfig,
    "reasoning_gym": GymConfig,
    "choice": ChoiceConfig,
    "mixture": MixtureConfig,
}


def class_of(kind: str) -> type[TaskConfig]:
    """The dataclass of a kind: one of ``KINDS``, or what its import path names.

    Raises:
        ValueError: There is no such kind, or what the path names is none.
    """
    if kind in KINDS:
        return KINDS[kind]
    if ":" not in kind:
        raise ValueError(
            f"task.kind = {kind}: must be one of {', '.join(KINDS)}, or the import path module:Class of your own."
        )
    found = imported(kind, "task.kind")
    is_kind = isinstance(found, type) and issubclass(found, TaskConfig) and "__dataclass_fields__" in vars(found)
    if not is_kind or not found.builder:
        raise ValueError(
            f"task.kind = {kind}: must name a dataclass derived from r1zero.config.tasks.TaskConfig, with `builder` "
            f"set to the path of the function that makes the task; found {found!r:.100}."
        )
    return found


def imported(path: str, key: str) -> Any:
    """What the import path ``module:name`` names; the current folder and ``PYTHONPATH`` are searched for the module.

    Raises:
        ValueError: It is no import path, or there is no such module or name. The message calls the path ``key``.
    """
    if not re.fullmatch(r"[A-Za-z_][\w.]*:\w+", path):
        raise ValueError(f"{key} = {path}: must be an import path, module:name.")
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(
            f"{key} = {path}: {module_name} cannot be imported ({error}). Start the command in the folder that holds "
            "it, or add that folder to PYTHONPATH."
        ) from error
    if not hasattr(module, name):
        raise ValueError(f"{key} = {path}: module {module_name} has no {name}.")
    return getattr(module, name)


def read_task(values: dict[str, Any]) -> TaskConfig:
    """The task's config as ``config.yaml`` has it.

    Raises:
        TypeError: The keys are not those of its kind.
        ValueError: A kind outside the package cannot be imported.
    """
    if "kind" not in values:
        raise TypeError(f"task has no kind; below `task:`, write `kind: ` and one of {', '.join(KINDS)}")
    return class_of(values["kind"])(**values)
