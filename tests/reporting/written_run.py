"""A small finished run, written out by hand, and what tests read from its page."""

import json
import re
from pathlib import Path

import pandas as pd

from r1zero.reporting import report

HOSTILE = "<script>alert(1)</script> <img src=//evil.example/x> <think> 1 + 1 (too low)\n2 + 2 (yes) </answer>"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# Outcomes of problems 0-9 at step 0 and at step 8. Became correct: 1, 2, 4, 5, 6, 9 (six, of which five are shown);
# became incorrect: 3; incorrect both times: 0, 8; correct both times: 7.
BEFORE = ["WRONG", "WRONG", "NO_ANSWER", "CORRECT", "WRONG", "WRONG", "BAD_FORMAT", "CORRECT", "WRONG", "WRONG"]
AFTER = ["BAD_FORMAT", "CORRECT", "CORRECT", "WRONG", "CORRECT", "CORRECT", "CORRECT", "CORRECT", "WRONG", "CORRECT"]


def evaluation(accuracy: float, low: float, high: float) -> dict[str, float]:
    """The metrics of one evaluation of 10 problems."""
    metrics = {
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "greedy_accuracy": accuracy + 0.1,
        "num_problems": 10,
        "mean_length": 40 + 100 * accuracy,
        "truncated": 0.5 - accuracy / 2,
        "outcome/CORRECT": accuracy,
        "outcome/WRONG": 1 - accuracy,
        "outcome/TIMEOUT": 0.0,
        "behaviour/tries": 1 + accuracy,
    }
    return {f"eval/countdown/{name}": value for name, value in metrics.items()}


def write_completions(run_dir: Path, step: int, outcomes: list[str]) -> None:
    """Saves one completion a problem; problem 1 has a hostile one."""
    rows = [
        {
            "index": index,
            "prompt": f"Numbers: {index} 2 3 Target: 9 <think>\n",
            "completion": HOSTILE if index == 1 else f"attempt of problem {index} at step {step}",
            "outcome": outcome,
            "detail": None if outcome == "CORRECT" else f"why {index} <failed>",
            "length_tokens": 100 + index,
            "truncated": outcome == "NO_ANSWER",
        }
        for index, outcome in enumerate(outcomes)
    ]
    (run_dir / "completions").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(run_dir / "completions" / f"eval_{step:05d}.parquet")


def write_metrics(run_dir: Path, rows: list[dict], tail: str = "") -> None:
    """Writes ``metrics.jsonl``; ``tail`` is what a killed process left of its last line."""
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def training_row(step: int) -> dict:
    """The metrics of one training step."""
    return {
        "step": step,
        "reward": 0.1 * step,
        "completions/mean_length": 50.0 + step,
        "completions/clipped_ratio": 0.2,
        "time/step_s": 2.0,
        "time/elapsed_s": 100.0 * step,
        "perf/tokens_per_s": 1234.5,
    }


def finished_rows() -> list[dict]:
    """Steps 0 to 8, evaluated at 0, 4 and 8."""
    rows = [{"step": 0}, *(training_row(step) for step in range(1, 9))]
    rows[0] |= evaluation(0.2, 0.057, 0.51)
    rows[4] |= evaluation(0.4, 0.17, 0.69)
    rows[8] |= evaluation(0.7, 0.52, 0.89)
    return rows


def write_run(run_dir: Path) -> Path:
    """Writes a finished run of 8 steps into the new folder ``run_dir``."""
    run_dir.mkdir()
    write_metrics(run_dir, finished_rows())
    (run_dir / "config.yaml").write_text(
        "run_name: tiny <test>\nseed: 7\ntask: {name: countdown}\nmodel: {name: nano}\ntrainer: {max_steps: 8}\n"
    )
    environment = {"git_commit": None, "git_dirty": True, "device": "cpu", "command": "python -m x '<i>'"}
    (run_dir / "environment.json").write_text(json.dumps(environment))
    for step, outcomes in ((0, BEFORE), (4, BEFORE), (8, AFTER)):
        write_completions(run_dir, step, outcomes)
    return run_dir


def page_of(run_dir: Path) -> str:
    return report.write_report(run_dir).read_text(encoding="utf-8")


def words(html: str) -> str:
    """The visible text of ``html`` on one line."""
    body = re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", "", body).split())


def shown_problems(html: str, title: str) -> list[int]:
    """Numbers of the problems on the page under the heading ``title``."""
    section = re.search(rf"<h3>{title}.*?(?=<h3>|<h2>)", html, flags=re.DOTALL)
    assert section, title
    return [int(index) for index in re.findall(r">problem (\d+)<", section[0])]
