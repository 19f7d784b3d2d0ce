"""The keys of ``trainer:``, which are those of TRL's ``GRPOConfig``: which there are, and which values can work"""

import dataclasses
import difflib
import math
from typing import Any, get_args, get_type_hints

from trl import GRPOConfig

from r1zero.config.schema import Config
from r1zero.launching.placement import num_ranks

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
    "resume_from_checkpoint": "resume",
    "save_total_limit": "checkpoints.keep_last",
    "load_best_model_at_end": "checkpoints.keep_best",
    "metric_for_best_model": "checkpoints.keep_best",
    "save_only_model": "nothing: a checkpoint must be able to go on; checkpoints/final has the weights alone",
    "ignore_data_skip": "nothing: a resumed run sees the data that it has not seen",
    "logging_nan_inf_filter": "guard.max_skipped_steps",
    "auto_find_batch_size": "trainer.per_device_train_batch_size (python -m r1zero.memory says what fits)",
    "use_vllm": "rollout",
    "use_transformers_continuous_batching": "rollout",
    "cache_implementation": "rollout",
    "ds3_gather_for_generation": "nothing: ranks decode different numbers of tokens, so each needs whole weights",
}


LOSS_TYPES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo")  # of TRL 1.16


# Keys of GRPOConfig that change sampling in a way our rollouts do not know; better refused than passed over.
UNSUPPORTED_TRAINER_KEYS = ("repetition_penalty",)


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


def check_vllm(config: Config) -> None:
    """``vllm_*`` keys where they are used, with values that vLLM can start with."""
    trainer = config.trainer
    given = {key: value for key, value in trainer.items() if key.startswith("vllm_")}
    if config.rollout.backend != "vllm":
        if given:
            key, value = next(iter(given.items()))
            raise ValueError(f"trainer.{key} = {value} with rollout = {config.rollout.backend}: set rollout=vllm.")
        return
    mode = trainer.get("vllm_mode", "colocate")
    if mode not in ("colocate", "server"):
        raise ValueError(f"trainer.vllm_mode = {mode}: must be colocate or server.")
    share = trainer.get("vllm_gpu_memory_utilization", 0.3)
    if not 0 < share <= 1:
        raise ValueError(f"trainer.vllm_gpu_memory_utilization = {share}: must be in (0, 1].")
    parallel = trainer.get("vllm_tensor_parallel_size", 1)
    if mode == "colocate" and num_ranks(config) % parallel:
        raise ValueError(
            f"trainer.vllm_tensor_parallel_size = {parallel}: must divide the {num_ranks(config)} rank(s) of the run."
        )
    if trainer.get("use_cpu"):
        raise ValueError("trainer.use_cpu = True with rollout = vllm: vLLM needs a GPU. Set rollout=native.")


def check_rollouts_of_a_step(trainer: dict[str, Any]) -> None:
    """A loss that is a mean over a step's tokens sees all of them at once.

    TRL divides each rollout by its own tokens (grpo_trainer.py: ``num_items_in_batch``), so a step of several rollouts
    would be a mean of means, in which the tokens of a short rollout weigh more.
    """
    per_rollout, steps = trainer.get("steps_per_generation"), trainer["gradient_accumulation_steps"]
    loss = trainer.get("loss_type", "dapo")
    if per_rollout and per_rollout < steps and loss in ("dapo", "cispo", "vespo"):
        raise ValueError(
            f"trainer.steps_per_generation = {per_rollout} with trainer.loss_type = {loss}: a step of "
            f"{steps} micro-batches would hold several rollouts, and TRL divides each by its own number of tokens, not "
            f"by the step's. Leave steps_per_generation out (= {steps}), or set trainer.loss_type=grpo or dr_grpo."
        )


def check_batch(trainer: dict[str, Any], num_processes: int = 1) -> None:
    """Whole groups fit in a generation batch.

    Raises:
        ValueError: Names the nearest values that work.
    """
    given = {"num_generations": 8, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1} | trainer
    check_rollouts_of_a_step(given)
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
