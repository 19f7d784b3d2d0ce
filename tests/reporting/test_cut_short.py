"""Reports of runs that were cut short, resumed, or never got to an evaluation."""

from pathlib import Path

import pytest
from written_run import (
    PNG_MAGIC,
    evaluation,
    finished_rows,
    page_of,
    shown_problems,
    training_row,
    words,
    write_metrics,
    write_run,
)

from r1zero.reporting import curve, report
from r1zero.reporting.series import series
from r1zero.runs import reading
from r1zero.runs.metrics import read_metrics


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of 8 steps."""
    return write_run(tmp_path / "run")


def test_torn_last_line_is_left_out_and_reported(run_dir: Path) -> None:
    write_metrics(run_dir, finished_rows()[:7], tail='{"step": 7, "rew')
    table = report.before_after_table(run_dir)
    assert "The last evaluation is of step 4; training was logged up to step 6." in table
    assert "The run stopped at step 6 of 8, or is still going." in table
    assert "Unreadable lines left out of metrics.jsonl: 1" in table
    text = words(page_of(run_dir))
    assert "Held-out accuracy 20.0% &rarr; 40.0%" in text
    assert "Unreadable lines left out of metrics.jsonl: 1" in text
    # The completions of step 8 are on disk, but the headline ends at step 4, so the examples do too.
    assert "saved at both step 0 and step 4" in text


def test_torn_multibyte_character_is_no_crash(run_dir: Path) -> None:
    with (run_dir / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 9, "note": "\xe2\x86')
    assert "Unreadable lines left out of metrics.jsonl: 1" in report.before_after_table(run_dir)


def test_resumed_run_keeps_the_later_value_of_a_step(run_dir: Path) -> None:
    again = {**training_row(8), **evaluation(0.9, 0.6, 0.98)}
    write_metrics(run_dir, [*finished_rows(), again])
    rows, num_unreadable = read_metrics(run_dir / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(9)) and num_unreadable == 0
    assert "90.0%" in report.before_after_table(run_dir)


def test_only_step_0_evaluated(run_dir: Path) -> None:
    write_metrics(run_dir, finished_rows()[:4])
    html = page_of(run_dir)
    text = words(html)
    assert "Held-out accuracy 20.0% at step 0" in text and "&rarr;" not in text
    assert "Only step 0 was evaluated; the last step logged is 3." in text
    assert shown_problems(html, "All problems") == list(range(10))
    assert "attempt of problem 2 at step 0" in html
    assert "at step 8" not in html.partition("Browse completions")[0]
    assert report.before_after_table(run_dir).splitlines()[:2] == [
        "held-out                    step 0",
        "accuracy, sampled            20.0%",
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "metrics.jsonl holds no step: the run ended before its first one."),
        ([{"step": 0}, training_row(1)], "Nothing was evaluated; the last step logged is 1."),
        ([{"step": 0, "eval/countdown/accuracy": None}], "Nothing was evaluated; the last step logged is 0."),
    ],
)
def test_no_evaluation_at_all_and_no_other_file(tmp_path: Path, rows: list[dict], said: str) -> None:
    write_metrics(tmp_path, rows)
    text = words(page_of(tmp_path))
    assert "No evaluation yet" in text and said in text
    assert "No completions/eval_*.parquet in the run directory." in text
    assert "The run directory has no config.yaml." in text and "no environment.json" in text
    assert said in report.before_after_table(tmp_path)


def test_missing_step_0_evaluation_is_said(run_dir: Path) -> None:
    rows = finished_rows()
    rows[0] = {"step": 0}
    write_metrics(run_dir, rows)
    assert "Step 0 was not evaluated: comparisons start at step 4." in report.before_after_table(run_dir)


def test_missing_values_are_gaps_in_the_curve_and_dashes_in_the_table(run_dir: Path) -> None:
    rows = finished_rows()
    rows[3]["reward"] = None
    rows[5]["reward"] = float("nan")
    rows[6]["reward"] = float("inf")
    rows[8]["eval/countdown/greedy_accuracy"] = float("nan")
    for row in rows:
        row.pop("eval/countdown/accuracy_low", None)
    write_metrics(run_dir, rows)
    run = reading.load_run(run_dir)
    reward = series(run.rows, "reward")
    assert list(reward.index) == list(range(1, 9))  # step 0 never had a reward: that is no gap
    assert list(reward.index[reward.isna()]) == [3, 5, 6]
    lines = report.before_after_table(run_dir).splitlines()
    assert lines[2].split() == ["95%", "interval", "-", "-"]
    assert lines[3].split() == ["accuracy,", "greedy", "30.0%", "-"]
    curve.plot_curve(run, run_dir / "gaps.png")
    assert (run_dir / "gaps.png").read_bytes().startswith(PNG_MAGIC)
