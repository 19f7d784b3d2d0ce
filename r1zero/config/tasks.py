"""The keys of ``task:``, a dataclass for each kind of task"""

from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING


@dataclass
class TaskConfig:
    """What every task has.

    Attributes:
        name: Task name, used in metric names.
        template: A key of ``r1zero.config.templates.TEMPLATES``.
        num_train, num_test: Rows in the training and in the held-out set; without training rows, it is for evaluation.
    """

    name: str = MISSING
    template: str = MISSING
    num_train: int = MISSING
    num_test: int = MISSING


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


@dataclass
class CodeConfig(TaskConfig):
    """Programming problems, judged by tests in a sandbox.

    Attributes:
        source: A .parquet, .json or .jsonl file or a Hub data set in the shape of HumanEval, MBPP, APPS or
            LiveCodeBench, or with columns ``question`` and ``tests``; null generates rows for the embedded model.
        source_split: Split of a Hub data set.
        score: ``all`` pays for passing every test, ``fraction`` the share of tests passed.
        timeout_s, memory_mb: Limits of each test.
        backend: ``local`` (sandbox/), ``bubblewrap``, or ``http`` for a server with SandboxFusion's protocol.
        endpoint: Address of that server.
        num_workers: Programs at a time; null for this process's share of the CPU cores.
        min_level: Lowest level of confinement that the local sandbox may start with, see sandbox/README.md.
        max_infrastructure_errors: Share of completions that the sandbox may fail to judge before the run stops.
    """

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


@dataclass
class GymConfig(TaskConfig):
    """A data set of reasoning-gym, whose name in that library is ``name``.

    Attributes:
        options: Further arguments of ``reasoning_gym.create_dataset``, such as ``{max_terms: 3}``.
        seed: Seed of the generator. It is not the run's ``seed``: all runs share one held-out set.
    """

    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


def read_task(values: dict[str, Any]) -> TaskConfig:
    """The task's config, of the class that has its keys."""
    for kind in (CountdownConfig, MathConfig, CodeConfig, GymConfig):
        if {field.name for field in fields(kind)} == values.keys():
            return kind(**values)
    raise TypeError(f"no task has the keys {', '.join(sorted(values))}")
