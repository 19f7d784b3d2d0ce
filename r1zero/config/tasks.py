"""The kinds of task: the keys of ``task:`` for each, and what can be said of a kind from its keys alone.

A kind is a dataclass derived from ``TaskConfig``. No data is read here: the function that makes rows and judges is
named by its import path, and belongs to ``r1zero.tasks`` or to a module outside the package.
"""

import importlib
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from r1zero.config.choice import ChoiceConfig
from r1zero.config.task import TaskConfig
from r1zero.config.templates import TEMPLATES


@dataclass
class CountdownConfig(TaskConfig):
    """Countdown problems: generated, or from a data set when ``source`` is set.

    Attributes:
        use_all_numbers: Every number exactly once, or each at most once; prompt and judge both follow it.
        source: A .parquet, .json or .jsonl file or a Hub data set with columns ``nums`` and ``target``.
        source_split: Split of a Hub data set.
        seed: Seed of the generator. It is not the run's ``seed``: all runs share one held-out set.
        num_numbers, number_min, number_max, target_min, target_max, operators, max_intermediate: The generator's
            ranges, see ``ProblemSpace``.
    """

    builder = "r1zero.tasks.countdown:build_countdown"
    example = "(1 + 2) / 3"
    as_trained = ("template", "use_all_numbers")

    kind: str = "countdown"
    use_all_numbers: bool = MISSING
    source: str | None = None
    source_split: str = "train"
    seed: int = 0
    num_numbers: list[int] = MISSING
    number_min: int = MISSING
    number_max: int = MISSING
    target_min: int = MISSING
    target_max: int = MISSING
    operators: str = "+-*/"
    max_intermediate: int | None = None

    def check(self) -> None:
        """The prompt can say the rule that the judge applies."""
        if self.template == "nano" and not self.use_all_numbers:
            raise ValueError(
                "task.use_all_numbers = False with task.template = nano: the embedded model's prompt has no words for "
                "this rule. Set task.use_all_numbers=true, or another model and template."
            )

    def needs_train_rows(self) -> bool:
        """In a file the held-out rows come after the training rows; generated sets are apart."""
        return self.source is not None


@dataclass
class MathConfig(TaskConfig):
    r"""Problems whose final answer is compared with a gold answer by ``rewards.math_answer``.

    ``num_train`` and ``num_test`` are at most so many: rows whose gold cannot be judged are left out.

    Attributes:
        source: A .parquet, .json or .jsonl file or a Hub data set.
        source_config, source_split: Configuration and split of a Hub data set.
        test_source, test_config, test_split: The same for the held-out problems; without a ``test_source`` they are
            the rows after the training rows.
        prompt_field, answer_field: Columns of the question and the gold; null takes the usual ones (see
            ``r1zero.tasks.math_data``).
        answer_in: Where the judge looks for an answer: any of box, tag, hash, phrase, bare.
        percent_sign_optional, relative_tolerance: As in ``rewards.math_answer.Policy``.
    """

    builder = "r1zero.tasks.math:build_math"
    as_trained = ("template", "answer_in")

    kind: str = "math"
    source: str = MISSING
    source_config: str | None = None
    source_split: str = "train"
    test_source: str | None = None
    test_config: str | None = None
    test_split: str = "test"
    prompt_field: str | None = None
    answer_field: str | None = None
    answer_in: list[str] = field(default_factory=lambda: ["box"])
    percent_sign_optional: bool = False
    relative_tolerance: float = 0.0

    def check(self) -> None:
        """The judge's policy can work, and looks where the template tells the model to write."""
        from rewards.math_answer import Policy  # loads the judge's mathematics, which other tasks do not need

        try:
            Policy(answer_in=tuple(self.answer_in), relative_tolerance=self.relative_tolerance)
        except ValueError as error:
            raise ValueError(f"task.{error}.") from error
        asked = TEMPLATES[self.template].answer_in
        if asked is not None and asked not in self.answer_in:
            raise ValueError(
                f"task.answer_in = {list(self.answer_in)}: task.template = {self.template} asks for the answer in a "
                f"{asked}, where it would not be found. Set task.answer_in=[{asked}]."
            )

    def needs_train_rows(self) -> bool:
        """Without a source of their own, the held-out rows come after the training rows."""
        return self.test_source is None


@dataclass
class CodeConfig(TaskConfig):
    """Programming problems, judged by tests in a sandbox.

    ``num_train`` and ``num_test`` are at most so many: rows that no program could be judged by are left out.

    Attributes:
        source: A .parquet, .json or .jsonl file or a Hub data set in a shape that ``r1zero.tasks.code_data`` knows, or
            with columns ``question`` and ``tests``; null generates rows for the embedded model.
        source_split: Split of a Hub data set.
        score: ``all`` pays for passing every test, ``fraction`` the share of tests passed.
        timeout_s, memory_mb: Limits of each test.
        backend: ``local`` (sandbox/), ``bubblewrap``, or ``http`` for a server with SandboxFusion's protocol.
        endpoint: Address of that server.
        num_workers: Programs at a time; null for this process's share of the CPU cores.
        min_level: Lowest level of confinement that the local sandbox may start with, see sandbox/README.md.
        max_infrastructure_errors: Share of completions that the sandbox may fail to judge before the run stops.
    """

    builder = "r1zero.tasks.code:build_code"
    example = "```python\nprint(sum(map(int, input().split())))\n```"

    kind: str = "code"
    source: str | None = None
    source_split: str = "train"
    score: str = "all"
    timeout_s: float = MISSING
    memory_mb: int = MISSING
    backend: str = "local"
    endpoint: str | None = None
    num_workers: int | None = None
    min_level: int = 2
    max_infrastructure_errors: float = 0.01

    def check(self) -> None:
        """Choices that exist, limits above 0, and an address where one is needed."""
        choices = {"score": ("all", "fraction"), "backend": ("local", "bubblewrap", "http"), "min_level": (1, 2, 3)}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise ValueError(f"task.{key} = {getattr(self, key)}: must be one of {', '.join(map(str, known))}.")
        for key in ("timeout_s", "memory_mb", "num_workers"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ValueError(f"task.{key} = {value}: must be above 0.")
        if self.backend == "http" and not self.endpoint:
            raise ValueError(
                "task.endpoint = null with task.backend = http: give the server's address, such as http://host:8080."
            )
        if not 0 <= self.max_infrastructure_errors <= 1:
            raise ValueError(f"task.max_infrastructure_errors = {self.max_infrastructure_errors}: must be in [0, 1].")
        if self.source is None and self.template != "nano":
            raise ValueError(
                "task.source = null: generated code rows are for the embedded model. Name a file or a Hub data set."
            )


@dataclass
class GymConfig(TaskConfig):
    """A data set of reasoning-gym, whose name in that library is ``name``.

    Attributes:
        options: Further arguments of ``reasoning_gym.create_dataset``, such as ``{max_terms: 3}``.
        max_floor: How much an answer that ignores the problem may earn on average on a data set that is trained on; 1
            allows all of them.
        seed: Seed of the generator. It is not the run's ``seed``: all runs share one held-out set.
    """

    builder = "r1zero.tasks.gym:build_gym"
    open_keys = ("options",)  # they differ by data set; the library refuses unknown ones

    kind: str = "reasoning_gym"
    options: dict[str, Any] = field(default_factory=dict)
    max_floor: float = 0.1
    seed: int = 0

    def check(self) -> None:
        """Raise a ValueError for a ``max_floor`` that is no share."""
        if not 0.0 <= self.max_floor <= 1.0:
            raise ValueError(f"task.max_floor = {self.max_floor}: it is a mean score; set it between 0 and 1.")

    def needs_train_rows(self) -> bool:
        """The two sets have seeds of their own."""
        return False


KINDS: dict[str, type[TaskConfig]] = {
    "countdown": CountdownConfig,
    "math": MathConfig,
    "code": CodeConfig,
    "reasoning_gym": GymConfig,
    "choice": ChoiceConfig,
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
