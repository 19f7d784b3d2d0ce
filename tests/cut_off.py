"""For tests of runs that are cut off: a small run, what it ends with, and what a new process makes of what is left."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from toy import build_tiny_model, build_trainer

from r1zero.runs.checkpoints import last_checkpoint, seal, step_of
from r1zero.runs.directory import forget_after
from r1zero.training.trainer import R1ZeroTrainer
from rewards import Outcome, Verdict

STEPS = 5
# Every step saved. The 4 prompts make 2 steps an epoch, so the order of later epochs matters.
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
        {
            key: value
            for key, value in row.items()
            if not key.startswith(("time/", "perf/", "cost/")) and key != "step_time"
        }
        for row in rows
    ]
    completions = {path.name: pd.read_parquet(path) for path in (run_dir / "completions").glob("*.parquet")}
    return {name: weight.clone() for name, weight in trainer.model.state_dict().items()}, metrics, completions


def trained_whole(tmp_path: Path, **keys: Any) -> tuple[dict, list, dict]:
    """What a run in ``whole`` that nobody disturbs ends with."""
    trainer = build(tmp_path, tmp_path / "whole", **keys)
    trainer.train()
    return outcome(tmp_path / "whole", trainer)


def assert_same(one: tuple[dict, list, dict], other: tuple[dict, list, dict]) -> None:
    assert one[0].keys() == other[0].keys() and one[2].keys() == other[2].keys()
    assert one[1] == other[1]
    for name, frame in one[2].items():
        pd.testing.assert_frame_equal(frame, other[2][name], check_exact=True)
    for name, weight in one[0].items():
        assert torch.equal(weight, other[0][name]), name


def train_and_resume(tmp_path: Path, cut_off: R1ZeroTrainer, **keys: Any) -> tuple[dict, list, dict]:
    """What a new process makes of what ``cut_off`` left behind."""
    cut_off.tracker.finish()
    run_dir = cut_off.run_dir
    checkpoint = last_checkpoint(run_dir / "checkpoints")
    step = step_of(checkpoint) if checkpoint else -1
    forget_after(run_dir, step)
    trainer = build(tmp_path, run_dir, max(step, 0) if checkpoint else -1, **keys)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return outcome(run_dir, trainer)


def written(folder: Path, step: int, accuracy: float | None = None) -> Path:
    """A small sealed checkpoint."""
    partial = folder / ".partial" / f"checkpoint-{step}"
    partial.mkdir(parents=True)
    (partial / "weights").write_bytes(b"0123456789")
    seal(partial, folder / f"checkpoint-{step}", {"step": step, "accuracy": accuracy})
    return folder / f"checkpoint-{step}"
