"""One line a step, whatever arrives when; W&B offline without a question."""

import json
from pathlib import Path

import pytest
from conftest import compose_config

from r1zero.tracking import MetricsFile, start_wandb


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_of_one_step_share_a_line(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.write(0, {"eval/x/accuracy": 0.5})
    metrics.write(1, {"reward": 1.0, "kl": float("nan")})
    metrics.write(1, {"eval/x/accuracy": 0.75})
    metrics.write(2, {"reward": 2.0})
    assert lines(tmp_path / "metrics.jsonl") == [
        {"step": 0, "eval/x/accuracy": 0.5},
        {"step": 1, "reward": 1.0, "kl": None, "eval/x/accuracy": 0.75},
        {"step": 2, "reward": 2.0},
    ]


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    """``claim_run_dir`` refuses a directory that holds a run; whoever gets here resumes it."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "reward": 1.0}\n')
    metrics = MetricsFile(path)
    metrics.write(2, {"reward": 2.0})
    metrics.write(2, {"kl": 3.0})
    assert lines(path) == [{"step": 1, "reward": 1.0}, {"step": 2, "reward": 2.0, "kl": 3.0}]


def test_wandb_goes_offline_when_not_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    run = start_wandb(compose_config("tracker.project=test"), tmp_path)
    try:
        assert run.offline
        assert run.config["task"]["name"] == "countdown"
    finally:
        run.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_a_malformed_key_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    monkeypatch.setenv("HOME", str(tmp_path))
    run = start_wandb(compose_config(), tmp_path)
    assert run is None or run.offline
    if run is not None:
        run.finish()
