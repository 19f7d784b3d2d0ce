"""A run that goes on longer than it was meant to: what may change, what is noted, and that it is the same run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cut_off import assert_same, build, outcome, train_and_resume, written
from toy import compose_config

from r1zero.runs.checkpoints import last_checkpoint, seal, step_of, whole_checkpoints
from r1zero.runs.directory import claim_run_dir, is_finished, load_config, write_status
from r1zero.runs.resume import open_run
from r1zero.train import fit, interrupts_in_one_line

ROOT = Path(__file__).parents[2]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run of 4 steps with a checkpoint of the last one."""
    place = tmp_path / "run"
    claim_run_dir(place, compose_config("trainer.max_steps=4", "seed=3"))
    partial = place / "checkpoints" / ".partial"
    partial.mkdir(parents=True)
    seal(partial, place / "checkpoints" / "checkpoint-4", {"step": 4, "num_ranks": 1})
    write_status(place, "finished", 4)
    return place


def resume(place: Path, *overrides: str) -> tuple[int, str]:
    """Steps and project of the run as the command goes on with it."""
    command = [f"resume={place}", *overrides]
    config, where = open_run(compose_config(*command), place.parent / "new", command)
    assert where == place
    return config.trainer["max_steps"], config.tracker.project


def test_more_steps_are_noted_and_the_rest_is_the_runs_own(finished: Path) -> None:
    assert resume(finished, "trainer.max_steps=6", "tracker.project=mine") == (6, "mine")
    stored = load_config(finished)
    assert (stored.trainer["max_steps"], stored.seed, stored.resume) == (6, 3, None)
    assert not is_finished(finished)
    (change,) = json.loads((finished / "environment.json").read_text())["changes"]
    assert change["after_step"] == 4 and change["from_to"]["trainer.max_steps"] == [4, 6]
    assert resume(finished)[0] == 6  # killed on the way: the command without the number goes on to it


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["trainer.max_steps=3"],
            "trainer.max_steps = 3: the run in .* has done 4 steps already. Set more",
        ),
        (["trainer.max_steps=6", "seed=4"], "that run has seed = 3 and this command 4.*model="),
        (["trainer.max_steps=6", "trainer.learning_rate=1"], "that run has"),
    ],
)
def test_what_a_run_cannot_go_on_with(finished: Path, overrides: list[str], message: str) -> None:
    before = (finished / "config.yaml").read_text()
    with pytest.raises(ValueError, match=message):
        resume(finished, *overrides)
    assert (finished / "config.yaml").read_text() == before and is_finished(finished)


def test_a_run_without_a_checkpoint_says_where_its_weights_are(tmp_path: Path) -> None:
    claim_run_dir(tmp_path / "run", compose_config("trainer.max_steps=4"))
    write_status(tmp_path / "run", "finished", 4)
    with pytest.raises(ValueError, match=r"kept no checkpoint to go on from\. model=.*run starts a new run"):
        resume(tmp_path / "run", "trainer.max_steps=6")


def test_more_epochs_are_more_of_the_run_too(tmp_path: Path) -> None:
    claim_run_dir(tmp_path / "run", compose_config("trainer.max_steps=-1", "trainer.num_train_epochs=1"))
    written(tmp_path / "run" / "checkpoints", 4)
    write_status(tmp_path / "run", "finished", 4)
    resume(tmp_path / "run", "trainer.max_steps=-1", "trainer.num_train_epochs=2")
    assert not is_finished(tmp_path / "run")


def test_a_change_that_a_kill_cut_off_is_noted_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with the note on disk and the config not: the run keeps its old end until the command comes again."""

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("r1zero.runs.resume.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            resume(finished, "trainer.max_steps=6")
    assert load_config(finished).trainer["max_steps"] == 4
    assert resume(finished, "trainer.max_steps=6")[0] == 6
    assert len(json.loads((finished / "environment.json").read_text())["changes"]) == 1


LONGER: dict[str, Any] = {"max_steps": 5, "save_steps": 100, "eval_steps": 1, "warmup_steps": 0}


@pytest.mark.usefixtures("one_thread")
def test_an_extended_run_has_its_own_schedule_and_ends_the_same_when_it_is_killed(tmp_path: Path) -> None:
    """Two steps, then to five with other intervals; once undisturbed, once failing in step 4 and resumed."""
    first = build(tmp_path, tmp_path / "run", max_steps=2, warmup_steps=0)
    first.train()
    first.tracker.finish()
    shutil.copytree(tmp_path / "run", tmp_path / "cut")

    extended = build(tmp_path, tmp_path / "run", 2, **LONGER)
    extended.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "run" / "checkpoints")))
    expected = outcome(tmp_path / "run", extended)
    # Linear from 1e-2 to 0 in 2 steps: 1, 1/2. In 5 steps: 1, 4/5, 3/5, 2/5, 1/5, of which the last three.
    rates = [row["learning_rate"] for row in expected[1][1:]]
    assert rates == pytest.approx([1e-2, 5e-3, 6e-3, 4e-3, 2e-3])
    evaluated = [row["step"] for row in expected[1] if "eval/toy/accuracy" in row]
    assert evaluated == [0, 2, 3, 4, 5]  # every second step before, every step now
    steps = [step_of(path) for path, _ in whole_checkpoints(tmp_path / "run" / "checkpoints")]
    assert {1, 2, 5} <= set(steps)

    cut = build(tmp_path, tmp_path / "cut", 2, **LONGER)
    inner = cut._compute_loss

    def fail_in_step_4(*arguments: Any) -> Any:
        if cut.state.global_step == 3:
            raise RuntimeError("out of memory")
        return inner(*arguments)

    cut._compute_loss = fail_in_step_4  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(cut, last_checkpoint(tmp_path / "cut" / "checkpoints"))
    cut.stop_signal.release()
    assert_same(train_and_resume(tmp_path, cut, **LONGER), expected)


def test_an_interrupt_before_training_is_one_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, interrupts_in_one_line(finished):
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    assert ended.value.code == 130 and said.count("\n") == 1
    assert f"python -m r1zero.train resume={finished} goes on" in said


def train(folder: Path, *arguments: str) -> str:
    """What ``python -m r1zero.train`` prints in ``folder``."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "r1zero.train", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


SMALL = [
    "trainer.max_steps=1", "trainer.per_device_train_batch_size=8", "trainer.gradient_accumulation_steps=2",
    "trainer.max_completion_length=24", "trainer.save_steps=1", "task.num_test=8", "eval.greedy=false", "tracker=none",
]  # fmt: skip


def test_the_command_goes_on_on_one_rank_and_on_two(tmp_path: Path) -> None:
    """One step, then two more; once with the batch spread over two ranks. A third run starts from the weights."""
    train(tmp_path, *SMALL, "hydra.run.dir=one")
    subprocess.run(["cp", "-r", "one", "two"], cwd=tmp_path, check=True)
    said = train(tmp_path, "resume=one", "trainer.max_steps=3")
    assert "one goes on from step 1 to step 3" in said and "acc=nan" not in said and "lm_head" not in said
    train(tmp_path, "resume=two", "trainer.max_steps=3", "launch.num_processes=2")
    tables = [
        [pd.read_parquet(tmp_path / run / "completions" / f"train_0000{step}.parquet") for step in (2, 3)]
        for run in ("one", "two")
    ]
    for alone, shared in zip(*tables, strict=True):
        assert len(alone) == 16 and list(alone["completion"]) == list(shared["completion"])
    train(tmp_path, "model=one", *SMALL, "hydra.run.dir=next")
    stored = load_config(tmp_path / "next")
    assert (stored.model.name, stored.model.path) == ("one", str(tmp_path / "one" / "checkpoints" / "final"))
    assert stored.task.template == "nano"  # the embedded model keeps its task and trainer
