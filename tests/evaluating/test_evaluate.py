"""Evaluating any model: the command, its results on disk, what a kill does to it, and two results compared."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from r1zero import evaluate
from r1zero.evaluating.plan import plan
from r1zero.measuring.statistics import pass_at_k

ROOT = Path(__file__).parents[2]
SMALL = ["task.num_test=12", "eval.num_samples=4", "eval.k=[2,4]", "rollout.max_rows=8", "eval.max_tokens=40"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """These models are so small that a second thread only waits, and on a busy machine for long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_evaluation(*arguments: str) -> None:
    evaluate.main([*arguments])


def only_folder(output: Path) -> Path:
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    return folder


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one small evaluation of the embedded model."""
    output = tmp_path_factory.mktemp("evaluations")
    run_evaluation(*SMALL, f"output={output}")
    return only_folder(output)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step of training, evaluated with two samples a problem."""
    path = tmp_path_factory.mktemp("run") / "run"
    command = [sys.executable, "-m", "r1zero.train", f"hydra.run.dir={path}", "tracker=none", "trainer.max_steps=1"]
    command += ["task.num_train=16", "task.num_test=12", "trainer.per_device_train_batch_size=8", "eval.num_samples=2"]
    command += ["trainer.gradient_accumulation_steps=1", "trainer.max_completion_length=40", "trainer.eval_steps=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return path


def metrics_of(folder: Path) -> dict[str, float]:
    return json.loads((folder / "result.json").read_text())["metrics"]


def test_results_hold_every_problem_and_completion(result: Path) -> None:
    problems = pd.read_parquet(result / "problems.parquet")
    assert list(problems["index"]) == list(range(12))
    assert {"num_graded", "num_correct", "accuracy", "pass@2", "maj@2", "pass@4", "maj@4"} <= set(problems)
    assert json.loads(problems["truth"][0]).keys() == {"nums", "target"}
    completions = pd.concat(map(pd.read_parquet, sorted((result / "completions").glob("sampled_*"))))
    assert list(zip(completions["index"], completions["sample"], strict=True)) == [
        (index, sample) for index in range(12) for sample in range(4)
    ]
    assert completions.groupby("index")["completion"].nunique().max() > 1  # the samples of a problem are not one
    for index, group in completions.groupby("index"):
        right = int((group["outcome"] == "CORRECT").sum())
        assert problems["pass@2"][index] == pytest.approx(pass_at_k(4, right, 2))
    metrics = metrics_of(result)
    assert metrics["eval/countdown/accuracy"] == pytest.approx((completions["outcome"] == "CORRECT").mean())
    for key in ("accuracy", "pass@2", "pass@4", "maj@4", "greedy_accuracy"):
        low, mid, high = (metrics[f"eval/countdown/{key}{end}"] for end in ("_low", "", "_high"))
        assert 0 <= low <= mid <= high <= 1


def test_a_killed_evaluation_continues_to_the_same_result(result: Path, tmp_path: Path) -> None:
    """SIGKILL while the third chunk is being written, its temporary file half there; then the same command."""
    kill = (
        "import os, signal, sys\n"
        "from r1zero import evaluate; from r1zero.evaluating import on_disk as run\n"
        "whole, calls = run.write_completions, []\n"
        "def write(frame, path):\n"
        "    calls.append(path)\n"
        "    if len(calls) == 3:\n"
        "        path.with_name(path.name + '.tmp').write_bytes(b'torn')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    whole(frame, path)\n"
        "run.write_completions = write\n"
        "evaluate.main(sys.argv[1:])\n"
    )
    arguments = [*SMALL, f"output={tmp_path}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", kill, *arguments], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    folder = only_folder(tmp_path)
    assert folder.name == result.name  # the same settings, the same folder
    assert not (folder / "result.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (folder / "completions").glob("*.parquet")}
    assert len(done) == 2
    run_evaluation(*arguments)
    assert not list((folder / "completions").glob("*.tmp"))
    assert done == {path: path.stat().st_mtime_ns for path in done}  # not made again
    assert (folder / "result.json").read_text() == (result / "result.json").read_text()
    for name in ["problems.parquet", *(f"completions/{path.name}" for path in (result / "completions").iterdir())]:
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name), pd.read_parquet(result / name))


def test_other_k_and_no_greedy_pass_reuse_the_completions(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (result / "completions").iterdir()}
    text = (result / "result.json").read_text()
    run_evaluation(*SMALL, "eval.k=[3]", "eval.greedy=false", f"output={result.parent}")
    assert only_folder(result.parent) == result
    assert {"eval/countdown/pass@3", "eval/countdown/maj@3"} <= metrics_of(result).keys()
    assert "pass@3" in capsys.readouterr().out
    run_evaluation(*SMALL, f"output={result.parent}")
    assert before == {path: path.stat().st_mtime_ns for path in (result / "completions").iterdir()}
    assert (result / "result.json").read_text() == text


def test_a_run_is_judged_as_it_was_during_training(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_evaluation(f"run={run_dir}")
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    ours = metrics_of(only_folder(run_dir / "evaluations" / "final"))
    for key, value in ours.items():
        if key in rows[-1]:
            assert value == rows[-1][key], key
    assert {"eval/countdown/accuracy", "eval/countdown/pass@2", "eval/countdown/maj@2"} <= rows[-1].keys() & ours.keys()
    run_evaluation(f"run={run_dir}", "checkpoint=base")
    base = only_folder(run_dir / "evaluations" / "base")
    assert metrics_of(base)["eval/countdown/accuracy"] == rows[0]["eval/countdown/accuracy"]
    capsys.readouterr()
    evaluate.main([f"compare={base},{only_folder(run_dir / 'evaluations' / 'final')}"])
    assert "paired bootstrap over 12 problems" in capsys.readouterr().out


def test_several_tasks_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["task.num_test=4", "eval.max_tokens=8", "eval.greedy=false"]
    run_evaluation("task=countdown_nano,arithmetic", *sizes, f"output={tmp_path}")
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir() if path.is_dir()} == {"countdown", "arithmetic"}
    assert {"countdown", "arithmetic"} <= set(capsys.readouterr().out.split())
    assert "arithmetic" in (tmp_path / "table.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=/no/such/run"], "no run is there"),
        (["task=no_such_task"], "no_such_task"),
        (["model=nano", "run=x"], "give one of them"),
        (["checkpoint=3"], "needs run=DIR"),
        (["model=/no/such/model"], "model = /no/such/model: no such folder"),
        (["eval.k=[3]"], "between 1 and eval.num_samples = 1"),
        (["eval.temperature=0", "eval.num_samples=2"], "are all the same"),
        (["eval.num_sample=2"], "Did you mean 'eval.num_samples'?"),
        (["--task"], "arguments are key=value"),
        (["compare=a"], "give two results"),
        (["compare=/no/a,/no/b"], "has no result.json"),
    ],
)
def test_bad_input_ends_in_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SystemExit) as raised:
        evaluate.main([*arguments] if "compare" in arguments[0] else [*arguments, f"output={tmp_path}"])
    assert message in str(raised.value)
    assert str(raised.value).startswith("error: ")


def test_a_run_without_that_checkpoint_says_which_it_has(run_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoint = 7: no model in .* This run has 1, final; r1zero"):
        plan([f"run={run_dir}", "checkpoint=7"])


def test_another_task_keeps_the_template_of_the_run(run_dir: Path) -> None:
    (config,) = plan([f"run={run_dir}", "task=countdown", "task.number_max=20"]).configs
    assert (config.task.template, config.task.number_max) == ("nano", 20)
    (config,) = plan([f"run={run_dir}", "task=gsm8k"]).configs
    assert config.task.template == "boxed"  # another kind of task: its own
    with pytest.raises(ValueError, match="trainer=tinyzero: with run=DIR the trainer is the run's"):
        plan([f"run={run_dir}", "trainer=tinyzero"])


def test_comparing_needs_the_same_problems(result: Path, tmp_path: Path) -> None:
    other = result.parent.parent / "other"
    run_evaluation("task.num_test=3", "eval.max_tokens=4", "eval.greedy=false", f"output={other}")
    with pytest.raises(SystemExit, match="were asked different problems"):
        evaluate.main([f"compare={result.parent},{other}"])
