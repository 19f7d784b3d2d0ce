"""The most bytes that each rank holds, by part: ``bytes_per_rank.py FOLDER STAGE...``, one process a rank."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import deepspeed
import torch
from grid import PROMPTS, fix_completions
from toy import build_trainer, first_number_judge
from transformers import LlamaForCausalLM

from r1zero.launching.placement import leave_process_group
from r1zero.models.load import NANO_PATH
from r1zero.training.trainer import R1ZeroTrainer


def size(tensors: Iterable[torch.Tensor | None]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)


def weights_of(model: torch.nn.Module) -> int:
    """Under ZeRO-3, this rank's shards."""
    return size(getattr(weight, "ds_tensor", weight) for weight in model.parameters())


def gradients_of(model: torch.nn.Module, zero: Any) -> int:
    """Gradients of the parameters, or what ZeRO has made of them."""
    own = size(weight.grad for weight in model.parameters())
    if zero is None:
        return own
    if hasattr(zero, "grad_partitions_flat_buffer"):  # ZeRO-3
        return size([zero.grad_partitions_flat_buffer])
    return own + size(part for parts in zero.averaged_gradients.values() for part in parts or [])


def measure(stage: str, folder: Path) -> dict[str, int]:
    trainer = build_trainer(
        R1ZeroTrainer,
        lambda: LlamaForCausalLM.from_pretrained(NANO_PATH),
        folder / stage,
        first_number_judge,
        rows=PROMPTS,
        overrides=[f"deepspeed={stage}"],
        max_steps=2,
        eval_on_start="false",
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
    )
    fix_completions(trainer)
    found: dict[str, int] = {"gradients": 0}
    inner, step, norm = trainer._compute_loss, deepspeed.DeepSpeedEngine.step, trainer._get_grad_norm

    def note(zero: Any) -> None:
        found["gradients"] = max(found["gradients"], gradients_of(trainer.model, zero))

    def compute_loss(model: Any, inputs: Any) -> torch.Tensor:
        note(getattr(model, "optimizer", None))  # ZeRO-1 holds them whole until the last micro-batch
        return inner(model, inputs)

    def engine_step(engine: Any, *args: Any, **kwargs: Any) -> Any:
        note(engine.optimizer)  # ZeRO-2 has made its part of them
        return step(engine, *args, **kwargs)

    def grad_norm(*args: Any, **kwargs: Any) -> Any:
        if stage == "none":
            note(None)
        return norm(*args, **kwargs)

    trainer._compute_loss, trainer._get_grad_norm = compute_loss, grad_norm  # type: ignore[method-assign]
    deepspeed.DeepSpeedEngine.step = engine_step
    trainer.train()
    deepspeed.DeepSpeedEngine.step = step
    trainer.tracker.finish()
    optimizer: Any = trainer.optimizer
    while hasattr(optimizer, "optimizer"):  # accelerate's, DeepSpeed's, torch's
        optimizer = optimizer.optimizer
    found["weights"] = weights_of(trainer.model)
    found["optimizer"] = size(value for state in optimizer.state.values() for value in state.values() if value.dim())
    if stage != "none":  # ZeRO's own float32 copy of this rank's weights
        zero: Any = trainer.model_wrapped.optimizer
        masters = "fp32_partitioned_groups_flat" if stage == "zero3" else "single_partition_of_fp32_groups"
        found["optimizer"] += size(getattr(zero, masters))
    return found


def main() -> None:
    """Measure each stage; every rank writes its own file."""
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    found = {stage: measure(stage, folder / f"rank{rank}") for stage in sys.argv[2:]}
    (folder / f"rank{rank}.json").write_text(json.dumps(found))
    leave_process_group()


if __name__ == "__main__":
    main()
