"""One line a step, whatever arrives when; W&B offline without a question."""

import importlib.util
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import wandb
from toy import compose_config
from wandb_file import read_run

from r1zero import dashboard
from r1zero.reporting.panels import SECTIONS
from r1zero.runs.metrics import MetricsFile
from r1zero.watching.tracking import MAX_TABLE_PARTS, Tracker, start_wandb


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


def test_an_existing_file_is_continued_by_a_resumed_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "reward": 1.0}\n{"step": 2, "reward": 9.0}\n{"step": 3')
    with pytest.raises(FileExistsError):
        MetricsFile(path)
    metrics = MetricsFile(path, last_step=1)
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


def completions(step: int, num_rows: int = 16) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prompt": "p",
            "completion": [f"row {row} of step {step}" for row in range(num_rows)],
            "toy/outcome": "WRONG",
            "toy/score": [None] * (num_rows - 1) + [1.0],
            "tries": 3,
        }
    )


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_an_offline_run_read_back(offline: Path) -> None:
    """Metrics, the config as plain values, and a table that grows by a sample of each step."""
    config = compose_config("tracker.completions_per_step=4", "tracker.project=test", "seed=5")
    tracker = Tracker(config, offline, num_steps=3)
    for step in (1, 2, 3):
        tracker.log_completions(step, completions(step))
        tracker.log(step, {"reward": step / 10, "emergence/tries/all": 3.0, "alarm/no_signal": 0.0})
    tracker.finish()
    wandb.teardown()  # its service has then written everything
    saved, history = read_run(offline)
    assert saved["seed"] == 5 and saved["trainer"]["num_generations"] == 8
    assert [row["reward"] for row in history] == [0.1, 0.2, 0.3]
    assert all({"emergence/tries/all", "alarm/no_signal"} <= row.keys() for row in history)
    assert [row["completions/_type"] for row in history] == ["incremental-table-file"] * 3
    assert [row["completions/nrows"] for row in history] == [4, 8, 12]
    parts = sorted(offline.glob("wandb/offline-run-*/files/media/table/*.json"))
    assert len(parts) == 3  # nothing is overwritten
    rows = [json.loads(path.read_text()) for path in parts]
    assert rows[0]["columns"] == ["step", "prompt", "completion", "toy/outcome", "toy/score"]
    assert sorted(row[2] for part in rows for row in part["data"]) == sorted(
        f"row {row} of step {step}" for row in (0, 4, 8, 12) for step in (1, 2, 3)
    )


def test_the_table_of_a_long_run_is_bounded(offline: Path) -> None:
    tracker = Tracker(compose_config("tracker.completions_per_step=1"), offline, num_steps=250)
    for step in range(1, 251):
        tracker.log_completions(step, completions(step, 2))
    tracker.finish()
    wandb.teardown()
    parts = len(list(offline.glob("wandb/offline-run-*/files/media/table/*.json")))
    assert parts == 83 and parts <= MAX_TABLE_PARTS  # every third of 250 steps


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = Tracker(compose_config("tracker=tensorboard"), tmp_path, num_steps=2)
    tracker.log(1, {"reward": 0.25})
    tracker.log(2, {"reward": 0.5})
    tracker.finish()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(1, 0.25), (2, 0.5)]


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="trackio is not installed: pip install '.[trackio]'")
    logged = []

    class Run:
        def log(self, metrics: dict, step: int) -> None:
            logged.append((step, metrics))

        def finish(self) -> None:
            logged.append("finished")

    started = {}
    monkeypatch.setattr("trackio.init", lambda **arguments: started.update(arguments) or Run())
    tracker = Tracker(compose_config("tracker=trackio", "tracker.project=p"), tmp_path, num_steps=1)
    tracker.log(1, {"reward": 0.25})
    tracker.finish()
    assert logged == [(1, {"reward": 0.25}), "finished"]
    assert started["project"] == "p" and started["config"]["task"]["name"] == "countdown"


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_a_missing_tracker_is_said_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ValueError, match=f"pip install {name}"):
        compose_config(f"tracker={name}")


def test_the_dashboard_holds_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed: pip install '.[dashboard]'")
    dashboard.main(["--entity", "e", "--project", "p", "--dry-run"])
    view = json.loads(capsys.readouterr().out)
    assert (view["entity"], view["project"], view["name"]) == ("e", "p", "Reasoning emergence")
    assert [section["section"] for section in view["sections"]] == [section.title for section in SECTIONS]
    by_title = {panel["title"]: panel["metrics"] for section in view["sections"] for panel in section["panels"]}
    assert by_title["Entropy"] == ["entropy"] and "pass@" in by_title["pass@k"]
    behaviours = next(section for section in view["sections"] if section["section"] == "Behaviour, a completion")
    assert ["emergence/tries/all", "emergence/tries/correct", "emergence/tries/wrong"] in [
        panel["metrics"] for panel in behaviours["panels"]
    ]


def test_the_dashboard_updates_a_view_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    ws = pytest.importorskip("wandb_workspaces.workspaces", reason="wandb-workspaces is not installed")
    old = ws.Workspace(entity="e", project="p", name="old", sections=[])
    monkeypatch.setattr(ws.Workspace, "from_url", lambda url: old)
    monkeypatch.setattr(ws.Workspace, "save", lambda self: self)
    monkeypatch.setattr(ws.Workspace, "url", property(lambda self: f"saved {self.name} {len(self.sections)}"))
    new = dashboard.build_workspace("e", "p")
    assert dashboard.save(new, "https://x/e/p?nw=1") == f"saved Reasoning emergence {len(SECTIONS)}"
    assert old.sections == new.sections


def test_without_its_package_the_dashboard_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(SystemExit):
        dashboard.main(["--entity", "e"])
    assert "pip install wandb-workspaces" in capsys.readouterr().err
