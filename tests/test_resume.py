"""A run that was cut off ends as if nothing had happened: weights, metrics and completions, bit by bit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import build_tiny_model, build_trainer

from r1zero.checkpoints import last_checkpoint, step_of, whole_checkpoints
from r1zero.resume import forget_after
from r1zero.trainer import R1ZeroTrainer
from rewards import Outcome, Verdict

STEPS = 5
# Every step saved; the 4 prompts make 2 steps an epoch (4 groups of 4 in 16 rows), so the order of later epochs matters.
BASE: dict[str, Any] = {
    "max_steps": STEPS,
    "save_strategy": "steps",
    "save_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "eval_on_start": "true",
    "per_device_train_batch_size": 4,
    "lr_scheduler_type": "linear",
}
KEEP_ALL = ["checkpoints.keep_last=100"]


def any_text_judge(text: str, row: Any) -> Verdict:
    """Pays for what a random model may write, so that there is something to learn."""
    score = sum(map(ord, text)) % 5 / 4
    return Verdict(score, Outcome.CORRECT if score > 0.5 else Outcome.WRONG)


def build(folder: Path, run_dir: Path, last_step: int = -1, **keys: Any) -> R1ZeroTrainer:
    """A trainer on a fresh copy of the base model."""
    shutil.rmtree(folder / "tiny", ignore_errors=True)
    model = build_tiny_model(folder / "tiny")
    return build_trainer(R1ZeroTrainer, model, run_dir, any_text_judge, last_step, KEEP_ALL, **BASE | keys)


def outcome(run_dir: Path, trainer: R1ZeroTrainer) -> tuple[dict, list, dict]:
    """Weights, metrics without times, completions."""
    trainer.tracker.finish()
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    metrics = [
        {key: value for key, value in row.items() if not key.startswith(("time/", "perf/")) and key != "step_time"}
        for row in rows
    ]
    completions = {path.name: pd.read_parquet(path) for path in (run_dir / "completions").glob("*.parquet")}
    return {name: weight.clone() for name, weight in trainer.model.state_dict().items()}, metrics, completions


def assert_same(one: tuple[dict, list, dict], other: tuple[dict, list, dict]) -> None:
    assert one[0].keys() == other[0].keys() and one[2].keys() == other[2].keys()
    assert one[1] == other[1]
    for name, frame in one[2].items():
        pd.testing.assert_frame_equal(frame, other[2][name], check_exact=True)
    for name, weight in one[0].items():
        assert torch.equal(weight, other[0][name]), name


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"num_iterations": 2, "steps_per_generation": 4, "num_generations": 4},  # steps that reuse a rollout
        {"beta": 0.1, "sync_ref_model": "true", "ref_model_sync_steps": 2, "ref_model_mixup_alpha": 0.6},
        {"beta": 0.1, "loss_type": "grpo", "optim": "adamw_torch_fused", "use_adaptive_entropy": "true"},
    ],
    ids=["plain", "reused", "moving reference", "adaptive entropy"],
)
def test_resuming_from_any_step_changes_nothing(keys: dict[str, Any], tmp_path: Path) -> None:
    whole = build(tmp_path, tmp_path / "whole", **keys)
    whole.train()
    expected = outcome(tmp_path / "whole", whole)
    assert len(expected[1]) == STEPS + 1
    for step in range(1, STEPS + 1):
        run_dir = tmp_path / f"resumed{step}"
        shutil.copytree(tmp_path / "whole", run_dir)
        for path, _ in whole_checkpoints(run_dir / "checkpoints"):
            if step_of(path) > step:
                shutil.rmtree(path)
        forget_after(run_dir, step)
        torch.manual_seed(step)  # whatever the process drew before
        trainer = build(tmp_path, run_dir, step, **keys)
        trainer.train(resume_from_checkpoint=str(last_checkpoint(run_dir / "checkpoints")))
        assert_same(outcome(run_dir, trainer), expected)
