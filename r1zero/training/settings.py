"""What TRL's trainer is told: its ``GRPOConfig`` from the run's config"""

import os
from pathlib import Path
from typing import cast

import torch
from trl import GRPOConfig

from r1zero.config.schema import Config
from r1zero.models.lora import lora_config
from r1zero.rollout.vllm_engine import check_installed
from r1zero.runs.layout import CHECKPOINTS


def grpo_config(config: Config, run_dir: Path) -> GRPOConfig:
    """TRL's config from ``trainer`` and from what the rest of ``config`` decides.

    Raises:
        ValueError: TRL refuses a value.
    """
    # Ranks without a GPU: accelerate makes a gloo group, and counts more than one rank, only if asked for the CPU.
    gloo = not torch.cuda.is_available() and "RANK" in os.environ
    return GRPOConfig(
        output_dir=str(run_dir / CHECKPOINTS),
        seed=config.seed,
        run_name=config.run_name,
        report_to=[],
        logging_steps=1,
        disable_tqdm=True,
        deepspeed=config.deepspeed or None,
        logging_nan_inf_filter=False,  # what is not finite is skipped, counted and shown (r1zero/training/durable.py)
        # TRL wants whole groups in its own evaluation batch; evaluation here is ours and draws one completion each.
        **{"num_generations_eval": 1, "ddp_find_unused_parameters": False}
        | config.trainer
        | ({"use_cpu": True} if gloo else {}),
    )


def check_enough_prompts(num_prompts: int, args: GRPOConfig) -> None:
    """A rollout takes distinct prompts, so there must be as many; TRL would train no step and say nothing.

    Raises:
        ValueError: There are fewer.
    """
    wanted = cast(int, args.generation_batch_size) // cast(int, args.num_generations)
    if num_prompts < wanted:
        raise ValueError(
            f"task.num_train: {num_prompts} prompts, and a rollout takes {wanted} (all ranks x "
            "trainer.per_device_train_batch_size x gradient_accumulation_steps / num_generations). Set "
            f"task.num_train={wanted} or more, or a smaller batch."
        )


def check_packages(config: Config) -> None:
    """Optional packages that the run needs are installed.

    Raises:
        ValueError: One is not.
    """
    if config.rollout.backend == "vllm":
        check_installed()
    lora_config(config)
