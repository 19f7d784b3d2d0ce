"""A run with ZeRO shards that goes on on another number of ranks ends as it would have on its own, up to rounding."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from test_killed_runs import finish, start

# What is said is about the moments, so the weights must move, and some of them must decay.
KEYS = ["trainer.warmup_steps=0", "trainer.weight_decay=0.1", "trainer.num_iterations=1", "trainer.max_steps=4"]


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_zero_shards_go_on_on_another_number_of_ranks(stage: str, before: int, after: int, tmp_path: Path) -> None:
    begun = [*KEYS, f"deepspeed={stage}", f"trainer.gradient_accumulation_steps={4 // before}"]
    finish(start(tmp_path / "same", *begun, f"launch.num_processes={before}"))
    shutil.copytree(tmp_path / "same", tmp_path / "other")
    for name, ranks in (("same", before), ("other", after)):
        resumed = [f"resume={tmp_path / name}", "trainer.max_steps=8", f"launch.num_processes={ranks}"]
        finish(start(tmp_path / f"{name}-new", *resumed, small=[]))
    for step in range(5, 9):
        tables = [
            pd.read_parquet(tmp_path / name / "completions" / f"train_{step:05d}.parquet") for name in ("same", "other")
        ]
        assert list(tables[0]["completion"]) == list(tables[1]["completion"])
    one, other = (
        load_file(tmp_path / name / "checkpoints" / "final" / "model.safetensors") for name in ("same", "other")
    )
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, atol=2e-6, rtol=0)  # the bound of tests/training/test_grid.py
