"""Which values of ``trainer:`` can work, alone and together; which keys there are is ``trainer_keys``'s business"""

import importlib.util
import math
import sys
from typing import Any

from r1zero.config.trainer_keys import check_trainer_types, trainer_value

LOSS_TYPES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo")  # of TRL 1.16
# Schedules that follow the loss of TRL's evaluation, which there is none of here.
LOSS_SCHEDULES = ("reduce_lr_on_plateau", "greedy")
# Keys that do not go with a distribution that is cut.
CUTS_REFUSED = {
    "beta": "the KL term would compare what is left of the policy's distribution with the whole of the reference's.",
    "use_liger_kernel": "its loss knows the whole distribution alone.",
    "cast_lm_head_to_fp32": "it belongs to TRL's head, which knows the whole distribution alone.",
}


RANGES = {
    **dict.fromkeys(("warmup_steps", "weight_decay", "max_grad_norm"), (0.0, math.inf)),
    **dict.fromkeys(("beta", "epsilon", "epsilon_high", "eval_delay"), (0.0, math.inf)),
    "learning_rate": (0.0, sys.float_info.max),
    "dataloader_num_workers": (0.0, math.inf),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "top_entropy_quantile"), (0.0, 1.0)),
}
SCALES = ("group", "batch", "none", True, False)  # the last two: TRL's earlier names of group and none
REMEDIES = {"eval_steps": " trainer.eval_strategy=no turns it off.", "save_steps": " trainer.save_strategy=no does."}


def check_trainer_values(trainer: dict[str, Any]) -> None:
    """Numbers are numbers, and within what sampling and batching can use; choices exist."""
    check_trainer_types(trainer)
    for key in ("num_generations", "per_device_train_batch_size", "gradient_accumulation_steps"):
        check_at_least_one(trainer, key)
    if trainer_value(trainer, "steps_per_generation") is not None:
        check_at_least_one(trainer, "steps_per_generation")
    check_at_least_one(trainer, "max_completion_length")
    check_ranges(trainer)
    if trainer_value(trainer, "temperature") <= 0:
        raise ValueError(
            f"trainer.temperature = {trainer['temperature']}: must be above 0; eval.greedy decodes greedily."
        )
    check_cuts(trainer)
    if trainer_value(trainer, "loss_type") not in LOSS_TYPES:
        raise ValueError(f"trainer.loss_type = {trainer['loss_type']}: must be one of {', '.join(LOSS_TYPES)}.")
    if trainer_value(trainer, "lr_scheduler_type") in LOSS_SCHEDULES:
        raise ValueError(
            f"trainer.lr_scheduler_type = {trainer['lr_scheduler_type']}: follows an evaluation loss, and evaluation "
            "here measures accuracy. Set linear, cosine or constant."
        )
    if trainer_value(trainer, "save_strategy") == "best":
        raise ValueError("trainer.save_strategy = best: set steps, and checkpoints.keep_best, which saves every best.")
    if trainer_value(trainer, "sync_ref_model") and trainer_value(trainer, "beta") == 0:
        raise ValueError(
            "trainer.sync_ref_model = True with trainer.beta = 0: without a KL term there is no reference that could "
            "move. Set trainer.beta above 0, or leave sync_ref_model out."
        )
    if trainer_value(trainer, "use_liger_kernel") and importlib.util.find_spec("liger_kernel") is None:
        raise ValueError("trainer.use_liger_kernel = True: its package is not installed. pip install liger-kernel.")


def check_ranges(trainer: dict[str, Any]) -> None:
    """Numbers within what they can mean; names that exist."""
    if (steps := trainer_value(trainer, "max_steps")) != -1 and steps < 1:
        raise ValueError(
            f"trainer.max_steps = {steps}: must be at least 1; or -1, with the length in trainer.num_train_epochs."
        )
    for key, (low, high) in RANGES.items():
        value = trainer_value(trainer, key)
        if value is not None and not low <= value <= high:
            wanted = f"at least {low:g}, and finite" if high > 1 else f"in [{low:g}, {high:g}]"
            raise ValueError(f"trainer.{key} = {value}: must be {wanted}.")
    for key in ("eval_steps", "save_steps", "num_train_epochs"):
        value = trainer_value(trainer, key)
        if value is not None and value <= 0:
            raise ValueError(f"trainer.{key} = {value}: must be above 0.{REMEDIES.get(key, '')}")
    if trainer_value(trainer, "scale_rewards") not in SCALES:
        raise ValueError(f"trainer.scale_rewards = {trainer['scale_rewards']}: must be group, batch or none.")
    if trainer.get("bf16") and trainer_value(trainer, "fp16"):
        raise ValueError("trainer.fp16 = True with trainer.bf16 = True: set one of the two.")


def check_cuts(trainer: dict[str, Any]) -> None:
    """Top-k, top-p and min-p that can be used, with what can compute the distribution that they leave."""
    top_k, top_p, min_p = (trainer_value(trainer, key) for key in ("top_k", "top_p", "min_p"))
    if top_k < 0:
        raise ValueError(f"trainer.top_k = {top_k}: must not be negative; 0 keeps all tokens.")
    if not 0 < top_p <= 1:
        raise ValueError(f"trainer.top_p = {top_p}: must be above 0 and at most 1.")
    if min_p is not None and not 0 <= min_p <= 1:
        raise ValueError(f"trainer.min_p = {min_p}: must be in [0, 1]; 0 keeps all tokens.")
    if not (top_k or top_p < 1 or min_p):
        return
    for key, reason in CUTS_REFUSED.items():
        if trainer_value(trainer, key):
            raise ValueError(
                f"trainer.{key} = {trainer[key]} with top_k, top_p or min_p: {reason} Leave one of the two out; "
                "eval.top_p cuts evaluation alone."
            )


def check_at_least_one(trainer: dict[str, Any], key: str) -> None:
    """The number at ``key`` is 1 or more."""
    value = trainer_value(trainer, key)
    if value is None or value < 1:
        raise ValueError(f"trainer.{key} = {value}: must be at least 1.")


def check_group(trainer: dict[str, Any]) -> None:
    """A group has something to compare, and a loss that is a mean over a step's tokens sees all of them at once.

    TRL divides each rollout by its own tokens (grpo_trainer.py: ``num_items_in_batch``), so a step of several rollouts
    would be a mean of means, in which the tokens of a short rollout weigh more.
    """
    per_rollout = trainer_value(trainer, "steps_per_generation")
    steps, loss = trainer_value(trainer, "gradient_accumulation_steps"), trainer_value(trainer, "loss_type")
    if per_rollout and per_rollout < steps and loss in ("dapo", "cispo", "vespo"):
        raise ValueError(
            f"trainer.steps_per_generation = {per_rollout} with trainer.loss_type = {loss}: a step of "
            f"{steps} micro-batches would hold several rollouts, and TRL divides each by its own number of tokens, not "
            f"by the step's. Leave steps_per_generation out (= {steps}), or set trainer.loss_type=grpo or dr_grpo."
        )
    num_generations = trainer_value(trainer, "num_generations")
    if num_generations < 2:
        raise ValueError(
            f"trainer.num_generations = {num_generations}: GRPO compares completions of one prompt, and a group of "
            "one has no advantage. Set it to 2 or more (TinyZero-like runs use 8)."
        )


def check_batch(trainer: dict[str, Any], num_ranks: int) -> None:
    """Whole groups fit in a generation batch.

    Raises:
        ValueError: Names the nearest values that work.
    """
    num_generations: int = trainer_value(trainer, "num_generations")
    per_device: int = trainer_value(trainer, "per_device_train_batch_size")
    steps_key = (
        "steps_per_generation" if trainer_value(trainer, "steps_per_generation") else "gradient_accumulation_steps"
    )
    steps: int = trainer_value(trainer, steps_key)
    batch = per_device * steps * num_ranks
    if batch % num_generations:
        divisors = [n for n in range(2, batch + 1) if batch % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - num_generations))[:2]
        unit = num_generations // math.gcd(num_generations, steps * num_ranks)
        below, above = per_device // unit * unit, (per_device // unit + 1) * unit
        batches = " or ".join(str(n) for n in (below, above) if n > 0)
        raise ValueError(
            f"trainer.num_generations = {num_generations} does not divide the generation batch of {batch} completions "
            f"({num_ranks} process(es) x trainer.per_device_train_batch_size = {per_device} x trainer.{steps_key} "
            f"= {steps}), so a group would be cut. Nearest that work: trainer.per_device_train_batch_size={batches}, "
            f"or trainer.num_generations={' or '.join(map(str, sorted(nearest)))}."
        )
