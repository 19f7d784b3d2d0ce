"""The dataclasses that type ``conf/``: every key of every group, what it means and its default.

``trainer`` holds the keys of TRL's ``GRPOConfig``, 1:1. Whether values can work together is checked in
``r1zero.config.checks``.
"""

from dataclasses import dataclass, field, is_dataclass
from typing import Any, get_type_hints

from omegaconf import MISSING

from r1zero.config.tasks import TaskConfig


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
        cpu_kernels: On a machine without a GPU, change torch, TRL and glibc for the whole process to what is faster
            (``r1zero.models.cpu``); false leaves them as they come. ``environment.json`` says what was changed.
        architecture: The keys of the model's ``config.json`` that give its size, for ``r1zero.memory``; empty reads the
            file.
    """

    name: str = MISSING
    path: str = MISSING
    gguf_package: str | None = None
    dtype: str = "float32"
    attn_implementation: str | None = None
    cpu_kernels: bool = True
    architecture: dict[str, Any] = field(default_factory=dict)


@dataclass
class PeftConfig:
    """Which weights are trained.

    Attributes:
        method: ``none`` for all of them, ``lora`` for adapters.
        rank, alpha, dropout, target_modules: As in ``peft.LoraConfig`` (``r``, ``lora_alpha``, ...).
    """

    method: str = MISSING
    rank: int = 32
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str = "all-linear"


@dataclass
class RewardConfig:
    """How verdicts become a reward.

    Attributes:
        weights: Weight of each judge in the reward; a judge with weight 0 is logged but pays nothing. The judge of the
            accuracy, and judges of one's own, have weight 1 unless they are named here.
        judges: Judges of one's own, by name: import paths ``module:function``, see ``r1zero.tasks.own_judges``.
        accuracy: The judge whose CORRECT counts as solved; null for the task's own.
        format_partial_credit: The format judge's score in [0, 1] for one answer without the full format.
        language, repetition_ngram, overlong_buffer_tokens: Of the judges ``language``, ``repetition`` and
            ``soft_overlong`` of ``rewards.recipes``, which run when ``weights`` names them.
    """

    weights: dict[str, float] = field(default_factory=dict)
    judges: dict[str, str] = field(default_factory=dict)
    accuracy: str | None = None
    format_partial_credit: float = 0.1
    language: str = "en"
    repetition_ngram: int = 3
    overlong_buffer_tokens: int = 512


@dataclass
class RolloutConfig:
    """How completions are sampled.

    Attributes:
        backend: ``native`` (our decode loop), ``transformers`` (the model's ``generate``), ``continuous`` (the
            library's continuous batching) or ``vllm`` (an engine beside the policy, see docs/rollouts.md).
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
        num_samples: Completions of each problem; accuracy is their mean (avg@n).
        k: The k of pass@k and maj@k, none above ``num_samples``; empty means ``num_samples`` itself, if above 1.
        temperature, top_p, max_tokens: Of the sampled completions; null means as in training. Temperature 0 is greedy.
    """

    greedy: bool = True
    num_samples: int = 1
    k: list[int] = field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


@dataclass
class LaunchConfig:
    """How the processes of a run are started on this machine.

    Attributes:
        num_processes: Ranks; null for every visible GPU, or 1 without any.
        isolate: Run in a process of its own even where there is only one rank.
    """

    num_processes: int | None = None
    isolate: bool = False


@dataclass
class CheckpointsConfig:
    """Which checkpoints stay on disk; how often they are written is ``trainer.save_strategy`` and ``save_steps``.

    Attributes:
        keep_last: The newest ones, at least 1. With 2, one torn by a failing disk leaves another.
        keep_best: Those of the highest held-out accuracy. A step whose evaluation is among them is saved.
    """

    keep_last: int = 2
    keep_best: int = 1


@dataclass
class GuardConfig:
    """When to give up.

    Attributes:
        max_skipped_steps: Steps in a row that may be skipped because their loss or gradient was not finite.
    """

    max_skipped_steps: int = 5


@dataclass
class MemoryConfig:
    """The estimate of ``r1zero.memory``, made before a run starts.

    Attributes:
        check: ``refuse`` a run that cannot fit, ``warn``, or ``off``.
        device_gb: Memory of each rank's device in 1e9 bytes; null for what this machine has.
        prompt_tokens: Longest prompt to count with; null for the longest that the run has.
    """

    check: str = "refuse"
    device_gb: float | None = None
    prompt_tokens: int | None = None


@dataclass
class TrackerConfig:
    """Where metrics go besides ``metrics.jsonl``.

    Attributes:
        wandb: Log to Weights & Biases: online when logged in, else offline.
        tensorboard, trackio: Log to these as well; each needs its package (extras ``tensorboard``, ``trackio``).
        project, entity, group, tags: As in ``wandb.init``.
        completions_per_step: Completions of a step that go into W&B's table, which up to 100 steps, evenly spread,
            add to; 0 for no table. All completions are on disk.
        price_per_device_hour: What an hour of one device costs, in any currency; ``cost/total`` is logged when set.
    """

    wandb: bool = MISSING
    tensorboard: bool = False
    trackio: bool = False
    project: str = "r1zero"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    completions_per_step: int = 8
    price_per_device_hour: float | None = None


@dataclass
class AlarmConfig:
    """When ``r1zero.measuring.alarms`` speaks. Values without a source are ours; the default run stays below them.

    Attributes:
        num_steps: How many training steps in a row a condition must hold.
        truncated: Share of completions cut off at ``trainer.max_completion_length``.
        reward_rise: Rise of the reward that the accuracy does not share. TinyZero's whole format reward is 0.1.
        entropy_left: Share of the first step's entropy that is left.
        wrong_growth: Length of wrong completions over that five windows before, while correct ones grew less.
        loops: Share of completions that end in a loop.
        ungradeable: Share of completions that a judge could not judge.
        kl: KL to the reference, nats a token.
        logprob_difference: Mean |log p(training) - log p(rollout)|, nats.
    """

    num_steps: int = 10
    truncated: float = 0.5
    reward_rise: float = 0.1
    entropy_left: float = 0.1
    wrong_growth: float = 2.0
    loops: float = 0.2
    ungradeable: float = 0.01
    kl: float = 1.0
    logprob_difference: float = 0.05


@dataclass
class Config:
    """The root of ``conf/``.

    Attributes:
        seed: Seed of the run: data order and sampling.
        run_name: Label for reports and W&B.
        resume: A run directory to go on with, or ``auto``, see ``r1zero.runs.resume``.
        task, model, peft, reward, rollout, eval: See their classes.
        launch, checkpoints, guard, memory, alarms, tracker: See theirs.
        trainer: Keys of TRL's ``GRPOConfig``.
        deepspeed: A DeepSpeed config; empty for none.
    """

    seed: int = 0
    run_name: str = MISSING
    resume: str | None = None
    task: TaskConfig = MISSING
    model: ModelConfig = MISSING
    peft: PeftConfig = MISSING
    reward: RewardConfig = MISSING
    rollout: RolloutConfig = MISSING
    eval: EvalConfig = field(default_factory=EvalConfig)
    launch: LaunchConfig = field(default_factory=LaunchConfig)
    checkpoints: CheckpointsConfig = field(default_factory=CheckpointsConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    alarms: AlarmConfig = field(default_factory=AlarmConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    tracker: TrackerConfig = MISSING
    trainer: dict[str, Any] = field(default_factory=dict)
    deepspeed: dict[str, Any] = field(default_factory=dict)


# The parts of a config that have one class each; a task has one of several.
PARTS: dict[str, Any] = {
    name: part for name, part in get_type_hints(Config).items() if is_dataclass(part) and part is not TaskConfig
}
