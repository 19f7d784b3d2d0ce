"""The task in `outside/`, which is no part of the package, does all that others do; what is wrong with one is said."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from r1zero import data
from r1zero.evaluating.plan import plan
from r1zero.runs.directory import load_config

ROOT = Path(__file__).parents[2]
OUTSIDE = Path(__file__).parent / "outside"
TASK = ["--config-dir", "my_conf", "task=largest", "reward=largest", "tracker=none"]
SMALL = [
    "trainer.max_steps=2", "trainer.eval_steps=2", "trainer.save_steps=1", "eval.greedy=false",
    "trainer.per_device_train_batch_size=8", "trainer.gradient_accumulation_steps=1", "trainer.max_completion_length=8",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: the task's module and its files for Hydra."""
    return shutil.copytree(OUTSIDE, tmp_path / "own")


def command(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m r1zero.NAME`` in ``folder``, where the package is installed and the task's module is not."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    parts = [sys.executable, "-m", f"r1zero.{name}", *arguments]
    return subprocess.run(parts, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)


def steps(run_dir: Path) -> list[int]:
    """The steps that a run has logged."""
    return [json.loads(line)["step"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_it_trains_resumes_and_is_evaluated(folder: Path) -> None:
    run_dir = folder / "run"
    result = command(folder, "train", *TASK, *SMALL, "hydra.run.dir=run")
    assert result.returncode == 0, result.stderr[-3000:]
    task = yaml.safe_load((run_dir / "config.yaml").read_text())["task"]
    assert next(iter(task.items())) == ("kind", "largest:Largest")
    assert task["highest"] == 20  # a default of the dataclass
    judged = pd.read_parquet(run_dir / "completions" / "train_00002.parquet")
    assert set(judged["largest/outcome"]) <= {"CORRECT", "WRONG"}

    (run_dir / "status.json").unlink()  # as after a kill during step 2
    for name in ("final", "checkpoint-2"):
        shutil.rmtree(run_dir / "checkpoints" / name)
    (run_dir / "completions" / "train_00002.parquet").unlink()
    result = command(folder, "train", "resume=run")
    assert result.returncode == 0, result.stderr[-3000:]
    assert steps(run_dir) == [0, 1, 2]
    pd.testing.assert_frame_equal(pd.read_parquet(run_dir / "completions" / "train_00002.parquet"), judged)

    result = command(folder, "evaluate", "run=run", "output=evaluated", "eval.greedy=false")
    assert result.returncode == 0, result.stderr[-3000:]
    (found,) = (folder / "evaluated").glob("*/result.json")
    last = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])
    assert json.loads(found.read_text())["metrics"]["eval/largest/accuracy"] == last["eval/largest/accuracy"]


def test_it_trains_on_two_ranks(folder: Path) -> None:
    result = command(folder, "train", *TASK, *SMALL, "launch.num_processes=2", "hydra.run.dir=run")
    assert result.returncode == 0, result.stderr[-3000:]
    assert steps(folder / "run") == [0, 1, 2]
    # 2 ranks of 8 completions each
    assert len(pd.read_parquet(folder / "run" / "completions" / "train_00001.parquet")) == 16


@pytest.mark.slow
def test_it_is_swept(folder: Path) -> None:
    result = command(folder, "train", "-m", *TASK, *SMALL, "seed=0,1", "hydra.sweep.dir=sweep")
    assert result.returncode == 0, result.stderr[-3000:]
    assert all(steps(folder / "sweep" / job) == [0, 1, 2] for job in "01")
    assert "finished" in (folder / "sweep" / "sweep.csv").read_text()


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments that find the task, whose module this process can import."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    return [f"--config-dir={OUTSIDE / 'my_conf'}", "task=largest"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.kind=largst:Largest", "task.kind = largst:Largest: largst cannot be imported .No module named 'largst'"),
        ("task.kind=largest:Smallest", "task.kind = largest:Smallest: module largest has no Smallest"),
        ("task.kind=largest:judge", "task.kind = largest:judge: must name a dataclass derived from .*TaskConfig"),
        ("task.kind=r1zero.config.tasks:TaskConfig", "with `builder` set to the path"),
        (
            "task.kind=largest",
            "task.kind = largest: must be one of countdown, math, .* or the import path module:Class",
        ),
        ("task.kind=../largest:Largest", "must be an import path"),
        ("task.kind=countdown", "task.num_numbers has no value"),
        ("task.highst=3", "task.highst = 3: no such key. Did you mean 'highest'?"),
        ("task.highest=many", "task.highest: Value 'many' of type 'str' could not be converted to Integer"),
        ("task.highest=2", "task.highest = 2: must be between 3 and 200"),
        ("task.num_test=???", "task.num_test has no value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(importable: list[str], override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        plan([*importable, override])
    assert "\n" not in str(raised.value)


def test_a_command_ends_in_that_line(folder: Path) -> None:
    result = command(folder, "train", *TASK, "task.kind=largest:Smallest")
    assert result.returncode == 1
    assert result.stderr.strip() == "error: task.kind = largest:Smallest: module largest has no Smallest."


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("largest:construct", "Largest.builder = largest:construct: module largest has no construct"),
        ("largest:Largest", "largest:Largest must return an r1zero.tasks.task.Task; it returned"),
    ],
)
def test_a_builder_that_makes_no_task(
    importable: list[str], monkeypatch: pytest.MonkeyPatch, builder: str, message: str
) -> None:
    import largest

    monkeypatch.setattr(largest.Largest, "builder", builder)
    with pytest.raises(SystemExit, match=message):
        data.main(importable)


def test_a_task_without_file_form_has_no_band(importable: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="task largest: its problems have no file form"):
        data.main([*importable, "eval.num_samples=2", f"pass_rate={tmp_path / 'band.jsonl'}"])


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="--config-dir no_such: no such folder"):
        plan(["--config-dir", "no_such", "task=largest"])


def test_a_run_without_kind_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: {name: countdown}\n")
    with pytest.raises(ValueError, match=r"another version of r1zero \(task has no kind; below `task:`, write `kind: "):
        load_config(tmp_path)
