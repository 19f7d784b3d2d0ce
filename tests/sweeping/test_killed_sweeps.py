"""Sweeps that train: killed and given again, and two jobs at a time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from r1zero.sweeping.results import load_sweep

ROOT = Path(__file__).parents[2]
SMALL = [
    "task.num_train=16",
    "task.num_test=8",
    "trainer.per_device_train_batch_size=8",
    "trainer.gradient_accumulation_steps=1",
    "trainer.max_completion_length=24",
    "trainer.eval_steps=2",
    "eval.greedy=false",
]


def sweep_command(path: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "r1zero.train", "-m", *SMALL, *arguments, f"hydra.sweep.dir={path}"]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run_whole(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def killed_and_whole(tmp_path: Path, in_job: str, *arguments: str) -> tuple[Path, Path]:
    """The same sweep uninterrupted, and killed by SIGKILL in the middle of ``in_job`` and given again."""
    environment = os.environ | {"WANDB_MODE": "offline", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_whole(sweep_command(whole, *arguments), environment)
    process = subprocess.Popen(
        sweep_command(killed, *arguments),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(killed / in_job / "completions" / "eval_00000.parquet", process)
    process.kill()
    process.communicate()
    assert not (killed / in_job / "status.json").exists()
    assert load_sweep(killed).counts()["finished"] == int(in_job)
    finished = (killed / "0" / "metrics.jsonl").stat().st_mtime_ns
    run_whole(sweep_command(killed, *arguments), environment)
    assert (killed / "0" / "metrics.jsonl").stat().st_mtime_ns == finished  # not run again
    return whole, killed


def test_a_killed_sweep_continues_to_the_same_table(tmp_path: Path) -> None:
    whole, killed = killed_and_whole(tmp_path, "1", "seed=0,1", "trainer.max_steps=2")
    assert (killed / "sweep.csv").read_text() == (whole / "sweep.csv").read_text()
    assert list((whole / "1" / "wandb").glob("offline-run-*"))


@pytest.mark.slow
def test_a_killed_sweep_of_two_by_two_continues_to_the_same_table(tmp_path: Path) -> None:
    arguments = ["reward.weights.format=0,0.5", "seed=0,1", "trainer.max_steps=2"]
    whole, killed = killed_and_whole(tmp_path, "2", *arguments)
    assert (killed / "sweep.csv").read_text() == (whole / "sweep.csv").read_text()
    assert set(pd.read_csv(whole / "sweep.csv")["status"]) == {"finished"}


@pytest.mark.slow
def test_two_jobs_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    environment = os.environ | {"WANDB_MODE": "disabled"}
    arguments = ["seed=0,1,2", "trainer.max_steps=1", "tracker=none"]
    run_whole(
        sweep_command(tmp_path / "two", *arguments, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), environment
    )
    assert load_sweep(tmp_path / "two").counts() == {"finished": 3}
