"""The typed schema of ``conf/``, and every check that one value makes on another.

``trainer`` holds the keys of TRL's ``GRPOConfig``, 1:1; an unknown key is refused with the nearest real one. Everything
here runs when the config is composed: a run that cannot work ends in its first second, not its first hour.
"""

import dataclasses
import difflib
import math
import re
from dataclasses import dataclass, field
from typing import Any, cast, get_args, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from trl import GRPOConfig

from r1zero.prompts import TEMPLATES
from rewards.math_answer import Policy
from rewards.recipes import LANGUAGES


@dataclass
class TaskConfig:
    """What every task has.

    Attributes:
        name: Task name, used in metric names.
        template: A key of ``r1zero.prompts.TEMPLATES``.
        num_train, num_test: Rows in the training and in the held-out set.
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
class ModelConfig:
    """The base model.

    Attributes:
        name: Label for reports.
        path: ``nano`` (the embedded model), a local folder, or a Hub name.
        gguf_package: A Python package that carries the same model as GGUF, used when the Hub cannot be reached.
        dtype: Type of the trained weights. An AdamW step at lr 1e-6 is below the resolution of bfloat16 weights, so
            keep float32 (with ``trainer.bf16=true`` for speed) unless DeepSpeed holds float32 master weights.
        attn_implementation: As in ``from_pretrained``; null lets transformers choose.
    """

    name: str = MISSING
    path: str = MISSING
    gguf_package: str | None = None
    dtype: str = "float32"
    attn_implementation: str | None = None


@dataclass
class RewardConfig:
    """How verdicts become a reward.

    Attributes:
        weights: Weight of each judge in the reward; a judge with weight 0 is logged but pays nothing.
        format_partial_credit: The format judge's score in [0, 1] for one answer without the full format.
        language, repetition_ngram, overlong_buffer_tokens: Of the judges ``language``, ``repetition`` and
            ``soft_overlong`` of ``rewards.recipes``, which run when ``weights`` names them.
    """

    weights: dict[str, float] = field(default_factory=dict)
    format_partial_credit: float = 0.1
    language: str = "en"
    repetition_ngram: int = 3
    overlong_buffer_tokens: int = 512


@dataclass
class RolloutConfig:
    """How completions are sampled.

    Attributes:
        backend: ``native`` (our decode loop), ``transformers`` (the model's ``generate``) or ``continuous`` (the
            library's continuous batching).
        max_rows: Most completions decoded at once, on each rank; others wait for a place. Bounds the memory of keys and
            values, in training and in evaluation.
    """

    backend: str = MISSING
    max_rows: int = 512


@dataclass
class EvalConfig:
    """Held-out evaluation; how often is ``trainer.eval_steps``.

    Attributes:
        greedy: Also evaluate greedy decoding.
    """

    greedy: bool = True


@dataclass
class TrackerConfig:
    """Where metrics go besides ``metrics.jsonl``.

    Attributes:
        wandb: Log to Weights & Biases: online when logged in, else offline.
        project, entity, group, tags: As in ``wandb.init``.
    """

    wandb: bool = MISSING
    project: str = "r1zero"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Config:
    """The root of ``conf/``.

    Attributes:
        seed: Seed of the run: data order and sampling.
        run_name: Label for reports and W&B.
        task, model, reward, rollout, eval, tracker: See their classes.
        trainer: Keys of TRL's ``GRPOConfig``.
        deepspeed: A DeepSpeed config; empty for none.
    """

    seed: int = 0
    run_name: str = MISSING
    task: TaskConfig = MISSING
    model: ModelConfig = MISSING
    reward: RewardConfig = MISSING
    rollout: RolloutConfig = MISSING
    eval: EvalConfig = field(default_factory=EvalConfig)
    tracker: TrackerConfig = MISSING
    trainer: dict[str, Any] = field(default_factory=dict)
    deepspeed: dict[str, Any] = field(default_factory=dict)


def register_schema() -> None:
    """Make the dataclasses known to Hydra as ``schema`` (root) and ``schema/*``, which the YAML files build on."""
    store = ConfigStore.instance()
    root = OmegaConf.structured(Config)
    OmegaConf.set_struct(root.trainer, False)  # GRPOConfig's keys need no `+`; check_trainer_keys knows them all
    store.store(name="schema", node=root)
    store.store(group="schema/task", name="countdown", node=CountdownConfig)
    store.store(group="schema/task", name="math", node=MathConfig)
    store.store(group="schema/task", name="code", node=CodeConfig)
    store.store(group="schema", name="model", node=ModelConfig)
    reward = OmegaConf.structured(RewardConfig)
    OmegaConf.set_struct(reward.weights, False)  # judges differ by task, which refuses those it does not have
    store.store(group="schema", name="reward", node=reward)
    store.store(group="schema", name="rollout", node=RolloutConfig)
    store.store(group="schema", name="tracker", node=TrackerConfig)


# Keys of GRPOConfig that this project sets itself, and where the user sets them instead.
RESERVED_TRAINER_KEYS = {
    "output_dir": "hydra.run.dir",
    "seed": "seed",
    "data_seed": "seed",
    "run_name": "run_name",
    "report_to": "tracker",
    "project": "tracker.project",
    "reward_weights": "reward.weights",
    "deepspeed": "deepspeed",
    "disable_tqdm": "the terminal (the bar hides when there is none)",
    "gradient_checkpointing": "trainer.activation_checkpointing, its new name in transformers,",
    "gradient_checkpointing_kwargs": "trainer.activation_checkpointing_kwargs, its new name in transformers,",
    "log_completions": "nothing: all completions are always written",
    "logging_steps": "nothing: every step is always written",
    "resume_from_checkpoint": "nothing: resuming is not built yet",
    "load_best_model_at_end": "nothing: the last weights are saved",
    "metric_for_best_model": "nothing: the last weights are saved",
    "use_vllm": "rollout",
    "use_transformers_continuous_batching": "rollout",
    "cache_implementation": "rollout",
}

LOSS_TYPES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo")  # of TRL 1.16

# Keys of GRPOConfig that change sampling in a way our rollouts do not know; better refused than passed over.
UNSUPPORTED_TRAINER_KEYS = ("repetition_penalty",)

ROLLOUT_BACKENDS = ("native", "transformers", "continuous")


def resolve(composed: DictConfig) -> Config:
    """The typed config, checked.

    Raises:
        ValueError: A value cannot work; the message gives key = value, why, and what to set.
    """
    config = cast(Config, OmegaConf.to_object(composed))
    refuse_leftovers(OmegaConf.to_container(composed, resolve=True), dataclasses.asdict(config))
    check_trainer_keys(config.trainer)
    check_trainer_values(config.trainer)
    check_task(config)
    check_reward(config.reward)
    check_batch(config.trainer)
    check_rollout(config)
    return config


def explain(error: Exception) -> str:
    """Hydra's message about a key it does not know, with the nearest key instead of the advice to force it in."""
    message = str(error)
    found = re.match(r"Could not override '(.+?)'", message)
    if found is None:
        return message
    known = [f.name for f in dataclasses.fields(Config)]
    parts = {
        "task": CountdownConfig,
        "model": ModelConfig,
        "reward": RewardConfig,
        "rollout": RolloutConfig,
        "eval": EvalConfig,
        "tracker": TrackerConfig,
    }
    known += [f"{part}.{f.name}" for part, schema in parts.items() for f in dataclasses.fields(schema)]
    known += [f"task.{f.name}" for f in dataclasses.fields(MathConfig)]
    return f"{found[1]}: {unknown(found[1], known)} `python -m r1zero.train --cfg job` prints all keys in use."


def refuse_leftovers(composed: Any, typed: Any, path: str = "") -> None:
    """Refuse keys that were forced in with ``+key`` or ``++key`` and would be dropped without a word."""
    if not isinstance(composed, dict) or not isinstance(typed, dict):
        return
    for key, value in composed.items():
        full = f"{path}.{key}" if path else str(key)
        if key not in typed:
            raise ValueError(f"{full} = {value}: {unknown(str(key), list(typed))}")
        refuse_leftovers(value, typed[key], full)


def unknown(key: str, known: list[str]) -> str:
    """A sentence that says the key is unknown and names the nearest known one."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return "no such key." + (f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(sorted(known))}.")


def check_trainer_keys(trainer: dict[str, Any]) -> None:
    """``trainer`` holds GRPOConfig's keys and none of those set elsewhere."""
    known = [f.name for f in dataclasses.fields(GRPOConfig) if f.init]
    for key, value in trainer.items():
        if key in RESERVED_TRAINER_KEYS:
            raise ValueError(f"trainer.{key} = {value}: set {RESERVED_TRAINER_KEYS[key]} instead.")
        if key in UNSUPPORTED_TRAINER_KEYS:
            raise ValueError(f"trainer.{key} = {value}: rollouts do not support it yet; leave it out.")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f" Did you mean 'trainer.{near[0]}'?" if near else ""
            raise ValueError(f"trainer.{key} = {value}: TRL's GRPOConfig has no such key.{hint}")


def check_trainer_values(trainer: dict[str, Any]) -> None:
    """Numbers are numbers, and within what sampling and batching can use."""
    hints = get_type_hints(GRPOConfig)
    for key, value in trainer.items():
        kinds = get_args(hints[key]) or (hints[key],)
        if isinstance(value, str) and any(kind in kinds for kind in (int, float, bool)) and str not in kinds:
            raise ValueError(f"trainer.{key} = {value}: must be a number or true/false.")
    for key in ("num_generations", "per_device_train_batch_size", "gradient_accumulation_steps"):
        if trainer.get(key, 1) < 1:
            raise ValueError(f"trainer.{key} = {trainer[key]}: must be at least 1.")
    if trainer.get("max_completion_length", 1) < 1:
        raise ValueError(f"trainer.max_completion_length = {trainer['max_completion_length']}: must be at least 1.")
    if trainer.get("temperature", 1.0) <= 0:
        raise ValueError(
            f"trainer.temperature = {trainer['temperature']}: must be above 0; eval.greedy decodes greedily."
        )
    if trainer.get("loss_type", "dapo") not in LOSS_TYPES:
        raise ValueError(f"trainer.loss_type = {trainer['loss_type']}: must be one of {', '.join(LOSS_TYPES)}.")


def check_task(config: Config) -> None:
    """Sizes, and a template that exists and says what the judge checks."""
    task = config.task
    for key in ("num_train", "num_test"):
        if getattr(task, key) < 1:
            raise ValueError(f"task.{key} = {getattr(task, key)}: must be at least 1.")
    if task.template not in TEMPLATES:
        raise ValueError(f"task.template = {task.template}: must be one of {', '.join(TEMPLATES)}.")
    if isinstance(task, CountdownConfig) and task.template == "nano" and not task.use_all_numbers:
        raise ValueError(
            "task.use_all_numbers = False with task.template = nano: the embedded model's prompt has no words for "
            "this rule. Set task.use_all_numbers=true, or another model and template."
        )
    if isinstance(task, MathConfig):
        check_math_task(task)
    if isinstance(task, CodeConfig):
        check_code_task(task)


def check_math_task(task: MathConfig) -> None:
    """The judge's policy can work, and looks where the template tells the model to write."""
    try:
        Policy(answer_in=tuple(task.answer_in), relative_tolerance=task.relative_tolerance)
    except ValueError as error:
        raise ValueError(f"task.{error}.") from error
    asked = TEMPLATES[task.template].answer_in
    if asked is not None and asked not in task.answer_in:
        raise ValueError(
            f"task.answer_in = {list(task.answer_in)}: task.template = {task.template} asks for the answer in a "
            f"{asked}, where it would not be found. Set task.answer_in=[{asked}]."
        )


def check_code_task(task: CodeConfig) -> None:
    """Choices that exist, limits above 0, and an address where one is needed."""
    choices = {
        "score": ("all", "fraction"),
        "backend": ("local", "bubblewrap", "http"),
        "min_level": (1, 2, 3),
    }
    for key, known in choices.items():
        if getattr(task, key) not in known:
            raise ValueError(f"task.{key} = {getattr(task, key)}: must be one of {', '.join(map(str, known))}.")
    for key in ("timeout_s", "memory_mb", "num_workers"):
        value = getattr(task, key)
        if value is not None and value <= 0:
            raise ValueError(f"task.{key} = {value}: must be above 0.")
    if task.backend == "http" and not task.endpoint:
        raise ValueError(
            "task.endpoint = null with task.backend = http: give the server's address, such as http://host:8080."
        )
    if not 0 <= task.max_infrastructure_errors <= 1:
        raise ValueError(f"task.max_infrastructure_errors = {task.max_infrastructure_errors}: must be in [0, 1].")
    if task.source is None and task.template != "nano":
        raise ValueError(
            "task.source = null: generated code rows are for the embedded model. Name a file or a Hub data set."
        )


def check_reward(reward: RewardConfig) -> None:
    """Weights are not negative and at least one pays."""
    for name, weight in reward.weights.items():
        if weight < 0:
            raise ValueError(f"reward.weights.{name} = {weight}: a weight must not be negative; 0 turns it off.")
    if not any(reward.weights.values()):
        raise ValueError(f"reward.weights = {reward.weights}: nothing pays; set at least one weight above 0.")
    if not 0 <= reward.format_partial_credit <= 1:
        raise ValueError(f"reward.format_partial_credit = {reward.format_partial_credit}: must be in [0, 1].")
    if reward.language not in LANGUAGES:
        raise ValueError(f"reward.language = {reward.language}: must be one of {', '.join(sorted(LANGUAGES))}.")
    for key in ("repetition_ngram", "overlong_buffer_tokens"):
        if getattr(reward, key) < 1:
            raise ValueError(f"reward.{key} = {getattr(reward, key)}: must be at least 1.")


def check_rollout(config: Config) -> None:
    """A backend that exists, room for a row, and stop strings where they work."""
    rollout, trainer = config.rollout, config.trainer
    if rollout.backend not in ROLLOUT_BACKENDS:
        raise ValueError(f"rollout.backend = {rollout.backend}: must be one of {', '.join(ROLLOUT_BACKENDS)}.")
    if rollout.max_rows < 1:
        raise ValueError(f"rollout.max_rows = {rollout.max_rows}: must be at least 1.")
    kwargs = trainer.get("generation_kwargs") or {}
    if others := sorted(set(kwargs) - {"stop_strings"}):
        raise ValueError(f"trainer.generation_kwargs.{others[0]}: rollouts know stop_strings alone; leave it out.")
    stop_strings = kwargs.get("stop_strings", [])
    if not isinstance(stop_strings, list) or not all(isinstance(one, str) and one for one in stop_strings):
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings = {stop_strings}: must be a list of strings, e.g. ['</answer>']."
        )
    if stop_strings and rollout.backend != "native":
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings with rollout = {rollout.backend}: only rollout=native knows them."
        )
    if stop_strings and trainer.get("mask_truncated_completions"):
        raise ValueError(
            "trainer.mask_truncated_completions = True with stop_strings: TRL takes every completion without an "
            "end-of-sequence token for truncated and would mask those that a stop string ended. Set one of the two."
        )


def check_batch(trainer: dict[str, Any], num_processes: int = 1) -> None:
    """Whole groups fit in a generation batch.

    Raises:
        ValueError: Names the nearest values that work.
    """
    given = {"num_generations": 8, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1} | trainer
    num_generations: int = given["num_generations"]
    if num_generations < 2:
        raise ValueError(
            f"trainer.num_generations = {num_generations}: GRPO compares completions of one prompt, and a group of "
            "one has no advantage. Set it to 2 or more (TinyZero-like runs use 8)."
        )
    per_device: int = given["per_device_train_batch_size"]
    steps_key = "steps_per_generation" if given.get("steps_per_generation") else "gradient_accumulation_steps"
    steps: int = given[steps_key]
    batch = per_device * steps * num_processes
    if batch % num_generations:
        divisors = [n for n in range(2, batch + 1) if batch % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - num_generations))[:2]
        unit = num_generations // math.gcd(num_generations, steps * num_processes)
        below, above = per_device // unit * unit, (per_device // unit + 1) * unit
        batches = " or ".join(str(n) for n in (below, above) if n > 0)
        raise ValueError(
            f"trainer.num_generations = {num_generations} does not divide the generation batch of {batch} completions "
            f"({num_processes} process(es) x trainer.per_device_train_batch_size = {per_device} x trainer.{steps_key} "
            f"= {steps}), so a group would be cut. Nearest that work: trainer.per_device_train_batch_size={batches}, "
            f"or trainer.num_generations={' or '.join(map(str, sorted(nearest)))}."
        )
