"""One line a step, whatever arrives when; W&B offline without a question."""

import importlib.util
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import wandb
from toy import compose_config
from wandb_file import read_run, records

from r1zero import dashboard
from r1zero.reporting.panels import SECTIONS
from r1zero.runs.metrics import MetricsFile
from r1zero.watching import workspace
from r1zero.watching.tracking import MAX_TABLE_PARTS, Tracker, start_wandb, wandb_group, wandb_tags
from r1zero.watching.wandb_names import wandb_name
from r1zero.watching.workspace import ID, make_once


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


def test_the_bar_shows_percent(tmp_path: Path) -> None:
    tracker = Tracker(compose_config("tracker=none"), tmp_path, num_steps=2)
    tracker.log(1, {"reward": 0.25})
    assert tracker.bar.postfix == "reward=0.250"
    tracker.log(1, {"eval/countdown/accuracy": 0.45})
    assert tracker.bar.postfix == "acc=45.0%, reward=0.250"
    tracker.finish()


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
    assert [row["basics/reward"] for row in history] == [0.1, 0.2, 0.3]
    assert [row["step"] for row in history] == [1, 2, 3]
    assert all({"behaviour/tries", "detail/alarm/no_signal"} <= row.keys() for row in history)
    assert [row["completions/_type"] for row in history] == ["incremental-table-file"] * 3
    assert [row["completions/nrows"] for row in history] == [4, 8, 12]
    parts = sorted(offline.glob("wandb/offline-run-*/files/media/table/*.json"))
    assert len(parts) == 3  # nothing is overwritten
    rows = [json.loads(path.read_text()) for path in parts]
    assert rows[0]["columns"] == ["step", "prompt", "completion", "toy/outcome", "toy/score"]
    assert sorted(row[2] for part in rows for row in part["data"]) == sorted(
        f"row {row} of step {step}" for row in (0, 4, 8, 12) for step in (1, 2, 3)
    )


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("eval/countdown/accuracy", "accuracy/held_out/countdown"),
        ("eval/mean/accuracy", "accuracy/held_out/mean"),
        ("eval/my/task/greedy_accuracy", "accuracy/held_out_greedy/my/task"),
        ("eval/gsm8k/pass@16", "accuracy/pass@16/gsm8k"),
        ("eval/gsm8k/maj@4", "accuracy/maj@4/gsm8k"),
        ("train/accuracy", "accuracy/training"),
        ("reward", "basics/reward"),
        ("reward/std_within_groups", "basics/reward_std_within_groups"),
        ("completions/mean_length", "basics/length"),
        ("completions/mean_length_wrong", "basics/length_wrong"),
        ("completions/clipped_ratio", "basics/truncated"),
        ("entropy", "basics/entropy"),
        ("emergence/checks/all", "behaviour/checks"),
        # Everything else keeps its name, in one section.
        ("emergence/checks/all_low", "detail/emergence/checks/all_low"),
        ("emergence/checks/correct", "detail/emergence/checks/correct"),
        ("emergence_per_100_tokens/checks/all", "detail/emergence_per_100_tokens/checks/all"),
        ("eval/countdown/accuracy_low", "detail/eval/countdown/accuracy_low"),
        ("eval/countdown/pass@4_low", "detail/eval/countdown/pass@4_low"),
        ("eval/countdown/behaviour/checks", "detail/eval/countdown/behaviour/checks"),
        ("reward_std", "detail/reward_std"),
        ("rewards/countdown/mean", "detail/rewards/countdown/mean"),
        ("completions/mean_terminated_length", "detail/completions/mean_terminated_length"),
        ("loss", "detail/loss"),
        ("alarm/no_signal", "detail/alarm/no_signal"),
    ],
)
def test_names_at_wandb(metric: str, name: str) -> None:
    assert wandb_name(metric) == name


def test_wandb_shows_extremes_and_counts_steps(offline: Path) -> None:
    Tracker(compose_config("tracker.project=test"), offline, num_steps=3).finish()
    wandb.teardown()
    (path,) = offline.glob("wandb/offline-run-*/*.wandb")
    defined = {record.metric.glob_name or record.metric.name: record.metric for record in records(path)}
    assert defined["accuracy/*"].step_metric == "step"
    assert defined["accuracy/*"].summary.max and defined["accuracy/*"].summary.last
    assert defined["basics/entropy"].summary.min and not defined["basics/entropy"].summary.max
    assert defined["detail/*"].step_metric == "step" and not defined["detail/*"].summary.max


def test_a_resumed_run_is_the_same_wandb_run(offline: Path) -> None:
    config = compose_config("tracker.project=test")
    ids = set()
    for last_step in (None, 1):
        tracker = Tracker(config, offline, num_steps=2, last_step=last_step)
        ids.add(tracker.wandb.id)
        tracker.log(1 if last_step is None else 2, {"reward": 0.5})
        tracker.finish()
    wandb.teardown()
    assert len(ids) == 1


def test_tags_and_group_say_what_a_run_is_of(offline: Path) -> None:
    config = compose_config("tracker.tags=[mine]")
    assert wandb_tags(config) == ["countdown", "nano", "mine"]
    assert wandb_group(config) == "countdown-nano"
    assert wandb_tags(compose_config("peft=lora")) == ["countdown", "nano", "lora"]
    assert wandb_group(compose_config("tracker.group=sweep-7")) == "sweep-7"
    config.model.name = "m" * 200
    assert len(wandb_tags(config)[1]) == 64 and len(wandb_group(config)) == 128


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
    assert by_title["Entropy"] == ["basics/entropy"] and "pass@" in by_title["pass@k"]
    behaviours = next(section for section in view["sections"] if section["section"] == "Behaviour, a completion")
    assert ["behaviour/tries", "detail/emergence/tries/correct", "detail/emergence/tries/wrong"] in [
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


def test_the_first_run_of_a_project_makes_its_view(monkeypatch: pytest.MonkeyPatch) -> None:
    ws = pytest.importorskip("wandb_workspaces.workspaces", reason="wandb-workspaces is not installed")
    saved = {}

    def from_url(url: str) -> object:
        if "nw=" + ID not in saved:
            raise ValueError("Workspace not found in project")
        return saved["nw=" + ID]

    def save(self: object) -> object:
        assert "nw=" + ID not in saved  # a view that a user has changed is left alone
        return saved.setdefault("nw=" + self._internal_name.removeprefix("nw-").removesuffix("-v"), self)

    monkeypatch.setattr(ws.Workspace, "from_url", from_url)
    monkeypatch.setattr(ws.Workspace, "save", save)
    monkeypatch.setattr(ws.Workspace, "url", property(lambda self: self.name))
    assert [make_once("e", "p") for _ in range(2)] == ["Reasoning emergence"] * 2


def test_a_view_that_fails_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(entity: str, project: str) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(workspace, "find_spec", lambda package: None)
    assert workspace.make_once("e", "p") is None and not caplog.records
    monkeypatch.setattr(workspace, "find_spec", lambda package: object())
    monkeypatch.setattr(workspace, "build_workspace", fail)
    assert workspace.make_once("e", "p") is None
    assert "could not be made (no network)" in caplog.text


def test_without_its_package_the_dashboard_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(SystemExit):
        dashboard.main(["--entity", "e"])
    assert "pip install wandb-workspaces" in capsys.readouterr().err
