"""What TRL's trainer is told: its ``GRPOConfig`` from the run's config"""

import logging
import os
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel, Trainer
from transformers.training_args import OptimizerNames
from trl import GRPOConfig

from r1zero.config.schema import Config
from r1zero.models.lora import lora_config
from r1zero.rollout.vllm_engine import check_installed
from r1zero.runs.layout import CHECKPOINTS
from r1zero.tasks.task import Row

log = logging.getLogger(__name__)


def grpo_config(config: Config, run_dir: Path) -> GRPOConfig:
    """TRL's config from ``trainer`` and from what the rest of ``config`` decides.

    Raises:
        ValueError: TRL refuses a value.
    """
    # Ranks without a GPU: accelerate makes a gloo group, and counts more than one rank, only if asked for the CPU.
    gloo = not torch.cuda.is_available() and "RANK" in os.environ
    set_here: dict[str, Any] = {
        "output_dir": str(run_dir / CHECKPOINTS),
        "seed": config.seed,
        "run_name": config.run_name,
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
        "deepspeed": config.deepspeed or None,
        "logging_nan_inf_filter": False,  # what is not finite is skipped, counted and shown (training/durable.py)
        # TRL wants whole groups in its own evaluation batch; evaluation here is ours and draws one completion each.
        "num_generations_eval": 1,
    } | ({"use_cpu": True} if gloo else {})
    try:
        return GRPOConfig(**{"ddp_find_unused_parameters": False} | config.trainer | set_here)
    except ValueError as error:
        if "bf16" in str(error) and "use_cpu" in str(error):
            raise ValueError(
                "trainer.bf16 = True without a GPU: set trainer.bf16=false, which trains in float32, or "
                "trainer.use_cpu=true."
            ) from error
        key = next((key for key, value in config.trainer.items() if str(value) == str(error).split()[0]), None)
        named = f"trainer.{key} = {config.trainer[key]}" if key else "trainer"
        raise ValueError(f"{named}: TRL refuses it ({' '.join(str(error).split())}).") from error


def check_optimizer(args: GRPOConfig, model: PreTrainedModel) -> None:
    """The optimizer can be made; some are packages of their own.

    Raises:
        ValueError: It cannot.
    """
    try:
        Trainer.get_optimizer_cls_and_kwargs(args, model)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"trainer.optim = {OptimizerNames(args.optim).value}: {' '.join(str(error).split())}"
        ) from error


def enough_rows(rows: list[Row], args: GRPOConfig) -> list[Row]:
    """The rows, again and again until one rollout is filled: of fewer, TRL would train no step and say nothing."""
    wanted = cast(int, args.generation_batch_size) // cast(int, args.num_generations)
    if len(rows) >= wanted:
        return rows
    log.warning(
        "%d prompts to train on, and a rollout takes %d (all ranks x trainer.per_device_train_batch_size x "
        "gradient_accumulation_steps / num_generations): each comes several times in it.",
        *(len(rows), wanted),
    )
    return (rows * -(-wanted // len(rows)))[:wanted]


def check_packages(config: Config) -> None:
    """Optional packages that the run needs are installed.

    Raises:
        ValueError: One is not.
    """
    if config.rollout.backend == "vllm":
        check_installed()
    lora_config(config)
