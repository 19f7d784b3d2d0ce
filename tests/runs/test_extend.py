"""A run that goes on longer than it was meant to: what may change, what is noted, and that it is the same run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from toy import compose_config

from r1zero.runs.checkpoints import seal
from r1zero.runs.directory import claim_run_dir, is_finished, load_config, write_status
from r1zero.runs.resume import open_run

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
