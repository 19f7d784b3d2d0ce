"""The command, killed at random moments and given again: the run ends as one that nobody disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
SMALL = [
    *("task.num_test=8", "task.num_train=12", "trainer.num_generations=4", "trainer.per_device_train_batch_size=8"),
    *("trainer.gradient_accumulation_steps=2", "trainer.max_completion_length=24", "trainer.eval_steps=4"),
    *("trainer.max_steps=12", "trainer.save_steps=1", "trainer.num_iterations=2", "tracker=none", "resume=auto"),
]
ONE_RANK = ["launch.num_processes=1"]
TWO_RANKS_ZERO2 = ["launch.num_processes=2", "deepspeed=zero2"]


def start(run_dir: Path, *arguments: str, small: Sequence[str] = SMALL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "r1zero.train", *small, *arguments, f"hydra.run.dir={run_dir}"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output[-4000:]
    return output


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, metrics (times and ratios of times aside) and completions are equal to the last bit."""
    weights, others = (load_file(path / "checkpoints" / "final" / "model.safetensors") for path in (one, other))
    assert all(torch.equal(weights[name], others[name]) for name in weights | others)
    rows = [
        [
            {
                key: value
                for key, value in json.loads(line).items()
                if not key.startswith(("time/", "perf/", "cost/", "step_time"))
            }
            for line in (path / "metrics.jsonl").read_text().splitlines()
        ]
        for path in (one, other)
    ]
    assert rows[0] == rows[1]
    names = [sorted(path.name for path in (run / "completions").iterdir()) for run in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(run / "completions" / name) for run in (one, other)), check_exact=True
        )


def kill_and_resume(tmp_path: Path, kills: int, *arguments: str) -> None:
    """Kill a run ``kills`` times, mostly within half a second of training, then let it end."""
    arguments = ("trainer.max_steps=150", "trainer.eval_steps=10", *arguments)
    finish(start(tmp_path / "whole", *arguments))
    moments = random.Random(0)
    for kill in range(kills):
        began = time.time()
        process = start(tmp_path / "killed", *arguments)
        if kill % 5 < 4:
            wait_for_training(process, tmp_path / "killed", began)
            time.sleep(moments.uniform(0, 0.5))
        else:
            time.sleep(moments.uniform(0, 10))  # also while it starts
        assert process.poll() is None, process.communicate()[0][-4000:]
        process.kill()
        process.communicate()
    finish(start(tmp_path / "killed", *arguments))
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def wait_for_training(process: subprocess.Popen[str], run_dir: Path, began: float) -> None:
    """Until this process has written completions of its own."""
    while not any(path.stat().st_mtime > began for path in run_dir.glob("completions/train_*.parquet")):
        assert process.poll() is None, process.communicate()[0][-4000:]
        time.sleep(0.02)


def wait_for_file(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()[0][-4000:]
        time.sleep(0.02)


def test_a_run_killed_between_two_checkpoints_ends_the_same(tmp_path: Path) -> None:
    finish(start(tmp_path / "whole", *ONE_RANK))
    process = start(tmp_path / "killed", *ONE_RANK)
    wait_for_file(process, tmp_path / "killed", "completions/train_00007*")
    process.kill()
    process.communicate()
    finish(start(tmp_path / "killed", *ONE_RANK))
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    again = finish(start(tmp_path / "killed", *ONE_RANK))
    assert "nothing to resume" in again


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [ONE_RANK, TWO_RANKS_ZERO2], ids=["1 rank", "2 ranks, ZeRO-2"])
def test_a_run_killed_at_20_random_moments_ends_the_same(ranks: list[str], tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 20, *ranks)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["zero1", "zero3"])
def test_other_stages_resume_exactly(stage: str, tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 2, "launch.num_processes=2", f"deepspeed={stage}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_ranks_stop_at_a_steps_end_and_go_on(number: signal.Signals, tmp_path: Path) -> None:
    finish(start(tmp_path / "whole", "launch.num_processes=2"))
    process = start(tmp_path / "stopped", "launch.num_processes=2")
    wait_for_file(process, tmp_path / "stopped", "completions/train_00005*")
    process.send_signal(number)
    output = finish(process, 128 + number)
    assert "after step" in output
    assert json.loads((tmp_path / "stopped" / "status.json").read_text())["status"] == "stopped"
    finish(start(tmp_path / "stopped", "launch.num_processes=2"))
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
def test_a_dead_rank_takes_the_others_down(tmp_path: Path) -> None:
    process = start(tmp_path / "run", "launch.num_processes=2", "trainer.max_steps=1000")
    wait_for_file(process, tmp_path / "run", "completions/train_00003*")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = [int(pid) for pid in children if b"--rank" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    died = time.monotonic()
    output = finish(process, 137)
    assert time.monotonic() - died < 30
    assert "Rank 1 was killed by SIGKILL" in output
    for pid in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_sigterm_saves_and_says_so(tmp_path: Path) -> None:
    process = start(tmp_path / "run", *ONE_RANK, "trainer.max_steps=1000", "trainer.save_steps=1000")
    wait_for_file(process, tmp_path / "run", "completions/train_00003*")
    process.send_signal(signal.SIGTERM)
    output = finish(process, 143)
    assert "Terminated after step" in output
    step = json.loads((tmp_path / "run" / "status.json").read_text())["step"]
    assert (tmp_path / "run" / "checkpoints" / f"checkpoint-{step}" / "complete.json").exists()
