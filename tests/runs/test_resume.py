"""A run that was cut off ends as if nothing had happened: weights, metrics and completions, bit by bit."""

import errno
import json
import math
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from cut_off import STEPS, assert_same, build, outcome, train_and_resume, trained_whole, written
from safetensors import SafetensorError

from r1zero.launching.stopping import StopRequestedError
from r1zero.runs.checkpoints import (
    MANIFEST,
    last_checkpoint,
    rotate,
    step_of,
    whole_checkpoints,
)
from r1zero.runs.directory import forget_after
from r1zero.train import fit
from r1zero.training.durable import CheckpointError
from r1zero.training.guard import DivergedError
from r1zero.training.trainer import R1ZeroTrainer

pytestmark = pytest.mark.usefixtures("one_thread")


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
