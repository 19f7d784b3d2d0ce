"""A gradient that is not finite under ZeRO: DeepSpeed skips the step itself, and it is counted like any other."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import grid
import pytest
import torch
from toy import build_tiny_model, build_trainer, first_number_judge
from transformers import LlamaForCausalLM

from r1zero.training.trainer import R1ZeroTrainer

STAGES = ("zero1", "zero2", "zero3")


def train_with_a_poisoned_step(stage: str, folder: Path) -> dict[str, Any]:
    """Three steps, the second with a gradient of NaN; what the metrics say, and whether it moved a weight."""
    trainer = build_trainer(
        R1ZeroTrainer,
        lambda: LlamaForCausalLM.from_pretrained(folder / "tiny"),
        folder / stage,
        first_number_judge,
        overrides=[f"deepspeed={stage}"],
        rows=grid.PROMPTS,
        max_steps=3,
        eval_on_start="false",
        warmup_steps=0,
        lr_scheduler_type="constant",
        per_device_train_batch_size=16,
    )
    grid.fix_completions(trainer)
    inner, seen = trainer._compute_loss, {}

    def compute_loss(model: Any, inputs: Any) -> torch.Tensor:
        loss = inner(model, inputs)
        weights = [getattr(weight, "ds_tensor", weight).detach().clone() for weight in trainer.model.parameters()]
        seen.setdefault(trainer.state.global_step, weights)
        if trainer.state.global_step == 1:
            loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    trainer._compute_loss = compute_loss  # type: ignore[method-assign]
    trainer.train()
    trainer.tracker.finish()
    rows = [json.loads(line) for line in (folder / stage / "metrics.jsonl").read_text().splitlines()]

    def same(one: int, other: int) -> bool:
        return all(torch.equal(a, b) for a, b in zip(seen[one], seen[other], strict=True))

    return {"skipped": [row["perf/skipped_steps"] for row in rows], "moved": [not same(0, 1), not same(1, 2)]}


@pytest.mark.slow
def test_zero_skips_and_counts_a_step_that_is_not_finite(tmp_path: Path) -> None:
    from test_grid import run_ranks

    run_ranks(2, [__file__, str(tmp_path)])
    for stage in STAGES:
        found = json.loads((tmp_path / f"{stage}.json").read_text())
        assert found == {"skipped": [0, 1, 1], "moved": [True, False]}, stage


if __name__ == "__main__":
    torch.set_num_threads(1)
    mine = Path(sys.argv[1]) / f"rank{os.environ['RANK']}"
    build_tiny_model(mine / "tiny")
    for name in STAGES:
        result = train_with_a_poisoned_step(name, mine)
        if os.environ["RANK"] == "0":
            (Path(sys.argv[1]) / f"{name}.json").write_text(json.dumps(result))
