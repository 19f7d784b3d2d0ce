"""What the observer of a run adds to each step: alarms said once, costs, and a page that cannot end the run."""

import json
import logging
from pathlib import Path

import pytest
from toy import compose_config

from r1zero.config.schema import Config
from r1zero.watching.observer import RunObserver
from r1zero.watching.tracking import Tracker

# A step in which no group had two different rewards, on one device for 36 s = 0.01 h.
STUCK = {"reward": 0.0, "frac_reward_zero_std": 1.0, "time/step_s": 36.0}


@pytest.fixture
def config() -> Config:
    return compose_config("tracker=none", "alarms.num_steps=3")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "alarm/no_signal " in record.getMessage()]


def test_a_resumed_run_knows_what_it_had_said(config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Steps 1 to 4 are on disk and the alarm was on; the rows of 5 and 6 were cut off, and 5 is trained again."""
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": step} | STUCK | {"cost/device_hours": step / 100}) + "\n" for step in range(1, 5))
    )
    observer = RunObserver(config, "toy", tmp_path, Tracker(config, tmp_path, 10, last_step=4))
    with caplog.at_level(logging.WARNING):
        metrics = observer.finish_step(5, STUCK)
    assert metrics["alarm/no_signal"] == 1.0
    assert not messages(caplog)  # it was said before the run was interrupted
    assert metrics["cost/device_hours"] == pytest.approx(0.05)  # 0.04 before, 36 s more


def test_a_step_that_reuses_completions_changes_no_alarm(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As with ``trainer.num_iterations=2``: every other step has a loss and no reward."""
    observer = RunObserver(config, "toy", tmp_path, Tracker(config, tmp_path, 10))
    on = []
    with caplog.at_level(logging.WARNING):
        for step in range(1, 11):
            metrics = observer.finish_step(step, STUCK if step % 2 else {"loss": 0.0, "time/step_s": 1.0})
            on.append(metrics["alarm/no_signal"])
    assert on == [0.0] * 4 + [1.0] * 6  # the third step with completions is step 5
    assert len(messages(caplog)) == 1


def test_a_page_that_fails_does_not_end_the_run(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observer = RunObserver(config, "toy", tmp_path, Tracker(config, tmp_path, 10))
    (tmp_path / "report.html").mkdir()  # cannot be replaced by a file
    with caplog.at_level(logging.ERROR):
        observer.refresh_page()
        observer.refresh_page()
    assert len([record for record in caplog.records if "could not be written" in record.getMessage()]) == 1
