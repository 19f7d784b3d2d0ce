"""Bytes that each rank holds when its optimizer is about to step: ``held.py FOLDER STAGE...``, one process a rank."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import deepspeed
import torch
from conftest import build_trainer, first_number_judge
from grid import fix_completions
from transformers import LlamaForCausalLM, TrainerCallback

from r1zero.models import NANO_PATH
from r1zero.trainer import R1ZeroTrainer


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


class BeforeStep(TrainerCallback):
    """Without DeepSpeed: notes gradients before the optimizer steps."""

    def __init__(self, trainer: R1ZeroTrainer, found: dict[str, int]) -> None:
        self.trainer, self.found = trainer, found

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.found["gradients"] = gradients_of(self.trainer.model, None)


def measure(stage: str, folder: Path) -> dict[str, int]:
    trainer = build_trainer(
        R1ZeroTrainer,
        lambda: LlamaForCausalLM.from_pretrained(NANO_PATH),
        folder / stage,
        first_number_judge,
        overrides=[f"deepspeed={stage}"],
        max_steps=2,
        eval_on_start="false",
        per_device_train_batch_size=4,
        gradient_accumulation_steps=1,
    )
    fix_completions(trainer)
    found: dict[str, int] = {}
    step = deepspeed.DeepSpeedEngine.step

    def noting(engine: Any, *args: Any, **kwargs: Any) -> Any:
        found["gradients"] = gradients_of(engine.module, engine.optimizer)
        return step(engine, *args, **kwargs)

    deepspeed.DeepSpeedEngine.step = noting
    if stage == "none":
        trainer.add_callback(BeforeStep(trainer, found))
    trainer.train()
    deepspeed.DeepSpeedEngine.step = step
    trainer.tracker.finish()
    optimizer: Any = trainer.optimizer
    while hasattr(optimizer, "optimizer"):  # accelerate's, DeepSpeed's, torch's
        optimizer = optimizer.optimizer
    found["weights"] = weights_of(trainer.model)
    found["optimizer"] = size(value for state in optimizer.state.values() for value in state.values() if value.dim())
    if stage != "none":  # ZeRO's own float32 copy of this rank's weights
        found["optimizer"] += size(weight for group in optimizer.param_groups for weight in group["params"])
    return found


def main() -> None:
    """Measure each stage; every rank writes its own file."""
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    found = {stage: measure(stage, folder / f"rank{rank}") for stage in sys.argv[2:]}
    (folder / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
