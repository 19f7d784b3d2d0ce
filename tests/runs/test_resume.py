"""A run that was cut off ends as if nothing had happened: weights, metrics and completions, bit by bit."""

import errno
import json
import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError
from toy import build_tiny_model, build_trainer, compose_config

from r1zero.launching.stopping import StopRequestedError
from r1zero.runs.checkpoints import (
    MANIFEST,
    last_checkpoint,
    resumed_trainer,
    rotate,
    seal,
    step_of,
    whole_checkpoints,
)
from r1zero.runs.directory import claim_run_dir, forget_after
from r1zero.runs.resume import open_run
from r1zero.train import fit
from r1zero.training.durable import CheckpointError
from r1zero.training.guard import DivergedError
from r1zero.training.trainer import R1ZeroTrainer
from rewards import Outcome, Verdict

pytestmark = pytest.mark.usefixtures("one_thread")

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
    expected = trained_whole(tmp_path, **keys)
    assert len(expected[1]) == STEPS + 1
    for step in (1, 2, STEPS):
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


@pytest.mark.parametrize("call", [2, 3, 6, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 5, 8, 11))])
def test_a_signal_at_any_moment_saves_the_last_finished_step(call: int, tmp_path: Path) -> None:
    """An evaluation calls the sampler twice, a rollout once: 1 2 | 3, 4, 5 6 (step 2 evaluated) | 7, 8, 9 10 | 11."""
    keys = {"save_steps": 100}
    expected = trained_whole(tmp_path, **keys)
    trainer = build(tmp_path, tmp_path / "cut", **keys)
    calls = 0
    inner = trainer.engine.sample

    def sample_ids(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            torch.rand(3), trainer.stop_signal.receive(signal.SIGTERM, None)
        return inner(*args, **kwargs)

    trainer.engine.sample = sample_ids  # type: ignore[method-assign]
    with pytest.raises(StopRequestedError):
        trainer.train()
    trainer.save_last_step()
    checkpoint = last_checkpoint(tmp_path / "cut" / "checkpoints")
    assert (step_of(checkpoint) if checkpoint else 0) == trainer.state.global_step
    if checkpoint is None:
        shutil.rmtree(tmp_path / "cut")
    assert_same(train_and_resume(tmp_path, trainer, **keys), expected)


@pytest.mark.parametrize("step", [2, 3])
def test_a_stop_at_a_steps_end_keeps_the_evaluation_that_was_due(step: int, tmp_path: Path) -> None:
    """How several ranks stop. Step 2 has an evaluation due, and ends an epoch."""
    keys = {"save_steps": 100}
    expected = trained_whole(tmp_path, **keys)
    trainer = build(tmp_path, tmp_path / "cut", **keys)
    trainer.stoppable_at_once = False
    inner = trainer._compute_loss

    def compute_loss(*args: Any) -> torch.Tensor:
        if trainer.state.global_step + 1 == step:
            trainer.stop_signal.receive(signal.SIGTERM, None)
        return inner(*args)

    trainer._compute_loss = compute_loss  # type: ignore[method-assign]
    trainer.train()
    assert (trainer.stopped_by, trainer.state.global_step) == (signal.SIGTERM, step)
    assert_same(train_and_resume(tmp_path, trainer, **keys), expected)


def test_an_exception_leaves_a_checkpoint_of_the_last_step(tmp_path: Path) -> None:
    keys = {"save_steps": 100}
    expected = trained_whole(tmp_path, **keys)
    trainer = build(tmp_path, tmp_path / "cut", **keys)
    inner = trainer._compute_loss
    calls = 0

    def fail_in_the_third_step(*args: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("out of memory")
        return inner(*args)

    trainer._compute_loss = fail_in_the_third_step  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(trainer, None)
    trainer.stop_signal.release()
    checkpoint = last_checkpoint(tmp_path / "cut" / "checkpoints")
    assert checkpoint is not None and step_of(checkpoint) == 2
    assert_same(train_and_resume(tmp_path, trainer, **keys), expected)


def poisoned(trainer: R1ZeroTrainer, steps: range) -> None:
    """Make the gradient of ``steps`` not finite, while their loss stays finite."""
    inner = trainer._compute_loss

    def compute_loss(model: Any, inputs: Any) -> torch.Tensor:
        loss = inner(model, inputs)
        if trainer.state.global_step + 1 in steps:
            loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    trainer._compute_loss = compute_loss  # type: ignore[method-assign]


def test_a_step_that_is_not_finite_is_skipped_and_counted(tmp_path: Path) -> None:
    trainer = build(tmp_path, tmp_path / "run", save_steps=1)
    poisoned(trainer, range(3, 5))
    trainer.train()
    _, metrics, _ = outcome(tmp_path / "run", trainer)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("perf/skipped_steps") for row in rows] == [None, 0, 0, 1, 2, 2]
    assert [row["grad_norm"] is None for row in rows[1:]] == [False, False, True, True, False]
    assert all(math.isfinite(row["loss"]) for row in metrics[1:])
    checkpoints = {step_of(path): path for path, _ in whole_checkpoints(tmp_path / "run" / "checkpoints")}
    assert sorted(checkpoints) == [1, 2, 5]  # nothing is saved while steps are skipped
    before, after = (torch.load(checkpoints[step] / "optimizer.pt")["state"] for step in (2, 5))
    assert {float(state["step"]) for state in before.values()} == {2.0}
    assert {float(state["step"]) for state in after.values()} == {3.0}  # two of five did not touch the moments


def test_a_loss_that_is_not_finite_does_not_poison_the_metrics(tmp_path: Path) -> None:
    trainer = build(tmp_path, tmp_path / "run")
    inner = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: (
        inner(model, inputs)
        * (  # type: ignore[method-assign]
            math.inf if trainer.state.global_step == 1 else 1.0
        )
    )
    trainer.train()
    _, metrics, _ = outcome(tmp_path / "run", trainer)
    assert [row["loss"] is None for row in metrics[1:]] == [False, True, False, False, False]
    assert all(bool(torch.isfinite(weight).all()) for weight in trainer.model.parameters())


def test_a_diverged_run_stops_with_its_last_good_checkpoint(tmp_path: Path) -> None:
    trainer = build(tmp_path, tmp_path / "run", max_steps=20)
    trainer.guard.max_in_a_row = 2
    poisoned(trainer, range(3, 100))
    with pytest.raises(DivergedError, match=r"step 5: loss .*gradient norm nan.*gradients not finite in \d+ tensors"):
        fit(trainer, None)
    trainer.stop_signal.release()
    trainer.tracker.finish()
    checkpoint = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None and step_of(checkpoint) == 2
    assert not (tmp_path / "run" / "checkpoints" / "final").exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("write failed: No space left on device"),  # torch's way to say it
        SafetensorError("I/O error: No space left on device"),
    ],
)
def test_a_full_disk_stops_the_run_and_keeps_the_checkpoints(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build(tmp_path, tmp_path / "run")
    save = torch.save

    def full(value: Any, path: Any, *args: Any) -> None:
        if "optimizer" in str(path) and trainer.state.global_step == 3:
            raise error
        save(value, path, *args)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"checkpoint-3 could not be written.*No space left"):
        fit(trainer, None)
    trainer.stop_signal.release()
    trainer.tracker.finish()
    folder = tmp_path / "run" / "checkpoints"
    assert [step_of(path) for path, _ in whole_checkpoints(folder)] == [1, 2]
    assert not list(folder.glob(".partial*"))


def written(folder: Path, step: int, accuracy: float | None = None) -> Path:
    """A small sealed checkpoint."""
    partial = folder / ".partial" / f"checkpoint-{step}"
    partial.mkdir(parents=True)
    (partial / "weights").write_bytes(b"0123456789")
    seal(partial, folder / f"checkpoint-{step}", {"step": step, "accuracy": accuracy})
    return folder / f"checkpoint-{step}"


@pytest.mark.parametrize("how", ["cut short", "file missing", "no manifest", "manifest cut short"])
def test_a_torn_checkpoint_is_skipped_with_a_message(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, torn = written(tmp_path, 9), written(tmp_path, 10)
    if how == "cut short":
        (torn / "weights").write_bytes(b"01234")
    elif how == "file missing":
        (torn / "weights").unlink()
    elif how == "no manifest":
        (torn / MANIFEST).unlink()
    else:
        (torn / MANIFEST).write_text((torn / MANIFEST).read_text()[:20])
    assert last_checkpoint(tmp_path) == good
    assert "checkpoint-10, which is torn" in caplog.text


def test_the_last_and_the_best_stay(tmp_path: Path) -> None:
    for step, accuracy in ((1, 0.1), (2, 0.5), (3, None), (4, 0.5), (5, 0.2), (6, None)):
        written(tmp_path, step, accuracy)
    rotate(tmp_path, keep_last=2, keep_best=1)
    assert [step_of(path) for path, _ in whole_checkpoints(tmp_path)] == [2, 5, 6]
    rotate(tmp_path, keep_last=1, keep_best=0)
    assert [step_of(path) for path, _ in whole_checkpoints(tmp_path)] == [6]


def test_a_new_best_is_saved_when_it_is_measured(tmp_path: Path) -> None:
    trainer = build(tmp_path, tmp_path / "run", save_steps=4, eval_steps=1)
    trainer.config.checkpoints.keep_last = 1
    accuracies = iter([0.9, 0.2, 0.1, 0.3, 0.25, 0.3])
    inner = trainer.note_evaluation
    trainer.note_evaluation = lambda accuracy: inner(next(accuracies))  # type: ignore[method-assign]
    trainer.train()
    trainer.tracker.finish()
    facts = {step_of(path): facts["accuracy"] for path, facts in whole_checkpoints(tmp_path / "run" / "checkpoints")}
    assert facts == {3: 0.3, 5: 0.3}  # the best and the last; the base model's 0.9 at step 0 is no checkpoint


# ---- Which run is resumed ----


def claimed(path: Path, *overrides: str) -> Path:
    claim_run_dir(path, compose_config(*overrides))
    return path


def test_resume_auto_takes_the_run_directory_itself(tmp_path: Path) -> None:
    command = ["resume=auto", "seed=3"]
    for _ in range(2):  # the first begins the run, the second goes on with it
        config, place = open_run(compose_config(*command), tmp_path / "run", command)
        assert (config.seed, config.resume, place) == (3, None, tmp_path / "run")


def test_resume_auto_finds_the_newest_unfinished_run_with_this_config(tmp_path: Path) -> None:
    for age, (name, overrides) in enumerate({"new": ["seed=1"], "old": ["seed=1"], "other": ["seed=2"]}.items()):
        run_dir = claimed(tmp_path / name, *overrides)
        os.utime(run_dir / "config.yaml", (1e9 - age, 1e9 - age))
    done = claimed(tmp_path / "done", "seed=1")
    (done / "status.json").write_text('{"status": "finished", "step": 3}')
    fresh = tmp_path / "fresh"
    fresh.mkdir()  # by Hydra
    command = ["resume=auto", "seed=1"]
    assert open_run(compose_config(*command), fresh, command)[1] == tmp_path / "new"
    assert not fresh.exists()
    other = ["resume=auto", "seed=7"]
    fresh.mkdir()
    assert open_run(compose_config(*other), fresh, other)[1] == fresh


def test_a_resumed_run_keeps_its_config(tmp_path: Path) -> None:
    place = claimed(tmp_path / "run", "seed=5", "trainer.learning_rate=1e-5")
    command = [f"resume={place}", "launch.num_processes=1"]
    config, _ = open_run(compose_config(*command), tmp_path / "new", command)
    assert (config.seed, config.trainer["learning_rate"], config.launch.num_processes) == (5, 1e-5, 1)
    command = [f"resume={place}", "seed=5"]
    with pytest.raises(ValueError, match=r"that run has trainer.learning_rate = 1e-05 and this command 0.0003"):
        open_run(compose_config(*command), tmp_path / "new", command)
    with pytest.raises(ValueError, match="no run is there"):
        open_run(compose_config(f"resume={tmp_path}/none"), tmp_path / "new", [])


def test_another_number_of_ranks_goes_on_with_the_same_batches(tmp_path: Path) -> None:
    checkpoint = written(tmp_path, 3)
    facts = json.loads((checkpoint / MANIFEST).read_text())
    (checkpoint / MANIFEST).write_text(json.dumps(facts | {"num_ranks": 2}))
    trainer = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    with pytest.raises(ValueError, match=r"ZeRO shards of 2 rank.s., and this run has 1. Set launch.num_processes=2"):
        resumed_trainer(checkpoint, 1, trainer, zero=True)
    assert resumed_trainer(checkpoint, 1, trainer, zero=False)["gradient_accumulation_steps"] == 6
    with pytest.raises(ValueError, match=r"in batches of 24 completions, which 4 rank.s. .* = 4 cannot go on with"):
        resumed_trainer(checkpoint, 4, trainer, zero=False)
    (checkpoint / MANIFEST).write_text(json.dumps(facts | {"num_ranks": 2, "batch": 48}))  # begun on four
    assert resumed_trainer(checkpoint, 2, trainer, zero=False)["gradient_accumulation_steps"] == 6
