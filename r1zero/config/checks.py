"""The checks of every part of a config but ``trainer:``; each raises a ValueError that says what to set."""

import dataclasses
import importlib.util
import math

from r1zero.config.schema import AlarmConfig, Config, EvalConfig, LaunchConfig, RewardConfig, TrackerConfig
from r1zero.config.tasks import TaskConfig
from r1zero.config.templates import TEMPLATES
from r1zero.config.trainer_checks import check_batch
from r1zero.config.trainer_keys import trainer_value
from r1zero.config.vllm_checks import check_vllm
from rewards.recipes import LANGUAGES

ROLLOUT_BACKENDS = ("native", "transformers", "continuous", "vllm")


def check_task(config: Config) -> None:
    """Sizes, a template that exists, and what the kind of task checks of its own keys."""
    task = config.task
    if task.num_test < 1:
        raise ValueError(f"task.num_test = {task.num_test}: must be at least 1.")
    if task.num_train < 0:
        raise ValueError(f"task.num_train = {task.num_train}: must not be negative.")
    if task.template not in TEMPLATES:
        raise ValueError(f"task.template = {task.template}: must be one of {', '.join(TEMPLATES)}.")
    task.check()


def check_trains(task: TaskConfig) -> None:
    """There is something to train on."""
    if task.num_train < 1:
        raise ValueError(
            f"task.num_train = {task.num_train}: must be at least 1 to train. A task with 0 is a held-out set for "
            f"`python -m r1zero.evaluate`; {task.name} is not meant for training."
        )


def check_seed(seed: int) -> None:
    """A number that every library takes as seed."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed = {seed}: must be in [0, 2^32).")


def check_eval(evaluation: EvalConfig) -> None:
    """Sample counts and sampling values that can be used together."""
    if evaluation.num_samples < 1:
        raise ValueError(f"eval.num_samples = {evaluation.num_samples}: must be at least 1.")
    for k in evaluation.k:
        if not 1 <= k <= evaluation.num_samples:
            raise ValueError(
                f"eval.k = {list(evaluation.k)}: {k} is not between 1 and eval.num_samples = {evaluation.num_samples}; "
                f"pass@{k} needs at least {k} samples of a problem."
            )
    if evaluation.temperature is not None and evaluation.temperature < 0:
        raise ValueError(f"eval.temperature = {evaluation.temperature}: must not be negative; 0 decodes greedily.")
    if evaluation.temperature == 0 and evaluation.num_samples > 1:
        raise ValueError(
            f"eval.temperature = 0 with eval.num_samples = {evaluation.num_samples}: greedy completions of a problem "
            "are all the same. Set eval.num_samples=1 or a temperature above 0."
        )
    if evaluation.top_p is not None and not 0 < evaluation.top_p <= 1:
        raise ValueError(f"eval.top_p = {evaluation.top_p}: must be above 0 and at most 1.")
    if evaluation.max_tokens is not None and evaluation.max_tokens < 1:
        raise ValueError(f"eval.max_tokens = {evaluation.max_tokens}: must be at least 1.")


def pay_by_default(reward: RewardConfig, accuracy_judge: str) -> None:
    """The judge of the accuracy and judges of one's own have weight 1 unless ``reward.weights`` names them."""
    paid = [reward.accuracy or accuracy_judge, *reward.judges]
    reward.weights = {name: 1.0 for name in paid if name} | reward.weights


def check_pays(reward: RewardConfig) -> None:
    """At least one judge pays."""
    if not any(reward.weights.values()):
        raise ValueError(f"reward.weights = {reward.weights}: nothing pays; set at least one weight above 0.")


def check_reward(reward: RewardConfig) -> None:
    """Weights are not negative; names and numbers of the recipe judges exist."""
    for name, weight in reward.weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(
                f"reward.weights.{name} = {weight}: a weight must not be negative, and must be finite; 0 turns it off."
            )
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
    check_vllm(config)
    if rollout.max_rows < 1:
        raise ValueError(f"rollout.max_rows = {rollout.max_rows}: must be at least 1.")
    kwargs = trainer_value(trainer, "generation_kwargs") or {}
    if others := sorted(set(kwargs) - {"stop_strings"}):
        raise ValueError(f"trainer.generation_kwargs.{others[0]}: rollouts know stop_strings alone; leave it out.")
    stop_strings = kwargs.get("stop_strings", [])
    if not isinstance(stop_strings, list) or not all(isinstance(one, str) and one for one in stop_strings):
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings = {stop_strings}: must be a list of strings, e.g. ['</answer>']."
        )
    if stop_strings and rollout.backend not in ("native", "vllm"):
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings with rollout = {rollout.backend}: only rollout=native and "
            "rollout=vllm know them."
        )
    if stop_strings and trainer_value(trainer, "mask_truncated_completions"):
        raise ValueError(
            "trainer.mask_truncated_completions = True with stop_strings: TRL takes every completion without an "
            "end-of-sequence token for truncated and would mask those that a stop string ended. Set one of the two."
        )


def check_peft(config: Config) -> None:
    """A method that exists, and nothing that adapters cannot do."""
    peft = config.peft
    if peft.method not in ("none", "lora"):
        raise ValueError(f"peft.method = {peft.method}: must be none or lora.")
    if peft.rank < 1 or peft.alpha < 1:
        raise ValueError(f"peft.rank = {peft.rank}, peft.alpha = {peft.alpha}: must be at least 1.")
    if not 0 <= peft.dropout < 1:
        raise ValueError(f"peft.dropout = {peft.dropout}: must be in [0, 1).")
    if peft.method == "lora" and trainer_value(config.trainer, "sync_ref_model"):
        raise ValueError(
            "trainer.sync_ref_model = True with peft = lora: the reference is the model without its adapter, which "
            "cannot move. Set trainer.sync_ref_model=false, or peft=none."
        )
    if config.deepspeed and trainer_value(config.trainer, "fp16"):
        raise ValueError(
            "trainer.fp16 = True with deepspeed: conf/deepspeed has no loss scaling. Set trainer.bf16=true."
        )


def check_launch(launch: LaunchConfig) -> None:
    """At least one process."""
    if launch.num_processes is not None and launch.num_processes < 1:
        raise ValueError(
            f"launch.num_processes = {launch.num_processes}: must be at least 1, or null for every visible GPU."
        )


def check_ranks(config: Config, num_ranks: int, num_gpus: int) -> None:
    """The run can be spread over ``num_ranks`` on a machine with ``num_gpus``: a GPU for each, and whole groups.

    Apart from the other checks, since only ``r1zero.launching`` knows these numbers, and counting may take seconds.
    """
    count = config.launch.num_processes
    if count is not None and 0 < num_gpus < count and not trainer_value(config.trainer, "use_cpu"):
        raise ValueError(
            f"launch.num_processes = {count}: {num_gpus} GPU(s) are visible and each rank needs one. Set it to "
            f"{num_gpus} or fewer, or leave it out."
        )
    if trainer_value(config.trainer, "fp16") and (num_gpus == 0 or trainer_value(config.trainer, "use_cpu")):
        raise ValueError("trainer.fp16 = True without a GPU: a CPU does not train in float16. Set trainer.bf16=true.")
    check_batch(config.trainer, num_ranks)


def check_checkpoints(config: Config) -> None:
    """Counts that can be kept."""
    if config.checkpoints.keep_last < 1:
        raise ValueError(
            f"checkpoints.keep_last = {config.checkpoints.keep_last}: must be at least 1; "
            "trainer.save_strategy=no writes none."
        )
    for name, value in (
        ("checkpoints.keep_best", config.checkpoints.keep_best),
        ("guard.max_skipped_steps", config.guard.max_skipped_steps),
    ):
        if value < 0:
            raise ValueError(f"{name} = {value}: must not be negative.")
    if config.memory.device_gb is not None and config.memory.device_gb <= 0:
        raise ValueError(f"memory.device_gb = {config.memory.device_gb}: must be above 0, or null for this machine's.")
    if config.memory.prompt_tokens is not None and config.memory.prompt_tokens < 1:
        raise ValueError(
            f"memory.prompt_tokens = {config.memory.prompt_tokens}: must be at least 1, or null for the longest prompt."
        )
    if config.memory.check not in ("refuse", "warn", "off"):
        raise ValueError(f"memory.check = {config.memory.check}: must be refuse, warn or off.")


def check_tracker(tracker: TrackerConfig) -> None:
    """The packages of the trackers are there."""
    for name in ("tensorboard", "trackio"):
        if getattr(tracker, name) and importlib.util.find_spec(name) is None:
            raise ValueError(f"tracker.{name} = True: its package is not installed. pip install {name}.")
    if tracker.completions_per_step < 0:
        raise ValueError(f"tracker.completions_per_step = {tracker.completions_per_step}: must be 0 or more.")


def check_alarms(alarms: AlarmConfig) -> None:
    """Thresholds that can be crossed."""
    for field in dataclasses.fields(alarms):
        value = getattr(alarms, field.name)
        if value <= 0:
            raise ValueError(f"alarms.{field.name} = {value}: must be above 0; a very large value silences the alarm.")
