"""The kinds of task: the keys of ``task:`` for each, and what can be said of a kind from its keys alone.

A kind is a dataclass derived from ``TaskConfig``; ``r1zero.config.kinds`` finds it by name. No data is read here: the
function that makes rows and judges is named by its import path, and belongs to ``r1zero.tasks`` or to a module outside
the package.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

from r1zero.config.templates import TEMPLATES


@dataclass
class TaskConfig:
    """The keys that every task has, and the answers that a kind may override.

    Attributes:
        kind: A name in ``r1zero.config.kinds``, or the import path ``module:Class`` of a kind outside the package.
        name: Task name, used in metric names.
        template: A key of ``r1zero.config.templates.TEMPLATES``.
        num_train, num_test: Rows in the training and in the held-out set; without training rows, it is for evaluation.
        builder: Import path ``module:function`` of what makes a ``Task`` of (task config, RewardConfig, tokenizer).
        open_keys: Keys that hold a table of any keys.
        accuracy_judge: Name of the judge whose CORRECT counts as solved, if all tasks of the kind have the same; it
            pays where the reward says nothing else.
        example: The answer that templates show as an example of where the answer goes.
        as_trained: Keys that ``evaluate run=...`` takes from training, even for another task of this kind: a policy is
            judged in the form that it learnt.
    """

    builder: ClassVar[str] = ""
    open_keys: ClassVar[tuple[str, ...]] = ()
    accuracy_judge: ClassVar[str] = ""
    example: ClassVar[str] = "42"
    as_trained: ClassVar[tuple[str, ...]] = ("template",)

    kind: str = MISSING
    name: str = MISSING
    template: str = MISSING
    num_train: int = MISSING
    num_test: int = MISSING

    def check(self) -> None:
        """Raise a ValueError for values of this kind's keys that cannot work; it says what to set."""

    def needs_train_rows(self) -> bool:
        """Whether the held-out rows depend on how many training rows there are, so that evaluations need both."""
        return True


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
    accuracy_judge = "countdown"
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
    accuracy_judge = "math"
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
    accuracy_judge = "code"
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
    accuracy_judge = "reasoning_gym"
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
