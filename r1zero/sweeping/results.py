"""What a sweep left in its directory, read back: the jobs, how each went, and the statistics of its settings.

A setting is a job's values of the swept keys without the seed; jobs that differ in the seed alone are its repetitions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from r1zero.measuring.statistics import sampling_spread, t_interval
from r1zero.reporting.text import percent
from r1zero.runs.directory import is_finished
from r1zero.runs.files import is_locked, read_json
from r1zero.runs.layout import METRICS
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run, load_run
from r1zero.sweeping.layout import JOB, LOCK, SWEEP

SEED = "seed"
# Columns of a job's row, from its last evaluation.
ACCURACY = ("accuracy", "accuracy_low", "accuracy_high", "num_problems")
MEASURES = ("greedy_accuracy", "mean_length", "truncated")


@dataclass(frozen=True)
class Sweep:
    """A sweep as far as it has got.

    Attributes:
        command: What started it.
        swept: The keys that are swept, the seed included.
        num_jobs: How many jobs it has; None when a search decides.
        jobs: A row a job, in order: ``job``, ``status``, the swept keys, ``step``, ``step0_accuracy``, the measures of
            the last evaluation, behaviours, ``error`` and ``run_dir``.
    """

    directory: Path
    command: str
    swept: list[str]
    num_jobs: int | None
    jobs: pd.DataFrame

    @property
    def keys(self) -> list[str]:
        """The swept keys but for the seed."""
        return [key for key in self.swept if key != SEED]

    @property
    def behaviours(self) -> list[str]:
        """The columns that count a behaviour."""
        return [str(column) for column in self.jobs if str(column).startswith("behaviour/")]

    def finished(self) -> pd.DataFrame:
        """The jobs that did all their steps and were evaluated."""
        return self.jobs[(self.jobs["status"] == "finished") & self.jobs["accuracy"].notna()]

    def counts(self) -> dict[str, int]:
        """How many jobs have which status; those that have not begun are ``waiting``."""
        found = {str(status): int(count) for status, count in self.jobs["status"].value_counts().items()}
        waiting = (self.num_jobs or 0) - len(self.jobs)
        return found | ({"waiting": waiting} if waiting > 0 else {})

    def progress_line(self, job: int) -> str:
        """One line for the terminal, when ``job`` has ended."""
        row = self.jobs[self.jobs["job"] == job].iloc[0]
        values = " ".join(f"{key}={row[key]}" for key in self.swept) or "the only job"
        finished = row["status"] == "finished"
        ended = f"accuracy {percent(row['accuracy'])}" if finished else f"{row['status']}: {row['error']}"
        counts = ", ".join(f"{count} {status}" for status, count in self.counts().items())
        return f"job {job} ({values}): {ended} [{counts} of {self.num_jobs or len(self.jobs)}]"


def load_sweep(directory: Path) -> Sweep:
    """The sweep in ``directory``.

    Raises:
        ValueError: It holds none.
    """
    if not (directory / SWEEP).is_file():
        raise ValueError(f"sweep directory = {directory}: looked for {directory / SWEEP}, which does not exist.")
    about = read_json(directory / SWEEP)
    records = [(path.parent, read_json(path)) for path in directory.glob(f"*/{JOB}")]
    rows = [
        job_row(folder, record, about["swept"]) for folder, record in sorted(records, key=lambda pair: pair[1]["num"])
    ]
    columns = ["job", "status", *about["swept"], "step", "step0_accuracy", *ACCURACY, *MEASURES, "error", "run_dir"]
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    behaviours = [column for column in frame if str(column).startswith("behaviour/")]
    return Sweep(
        directory,
        about["command"],
        about["swept"],
        about["num_jobs"],
        frame[[*columns[:-2], *behaviours, *columns[-2:]]],
    )


def job_row(folder: Path, record: dict[str, Any], swept: Sequence[str]) -> dict[str, Any]:
    """One job as a row of the table."""
    row: dict[str, Any] = {"job": record["num"], "status": status(folder, record), "error": record.get("error", "")}
    row |= {key: record["settings"].get(key, "") for key in swept}  # as text, which is what was asked for
    row |= {
        "run_dir": folder.name,
        "step": math.nan,
        "step0_accuracy": math.nan,
        **dict.fromkeys((*ACCURACY, *MEASURES), math.nan),
    }
    if not (folder / METRICS).is_file():
        return row
    run = load_run(folder)
    row["step"] = run.rows[-1]["step"] if run.rows else math.nan
    if not run.evaluations:
        return row
    first, last, prefix = run.evaluations[0], run.evaluations[-1], f"eval/{run.task}/"
    if first["step"] == 0:
        row["step0_accuracy"] = number(first, f"{prefix}accuracy")
    known = {key.removeprefix(prefix): number(last, key) for key in last if key.startswith(prefix)}
    behaviours = {key: value for key, value in known.items() if key.startswith("behaviour/")}
    return row | {key: known[key] for key in (*ACCURACY, *MEASURES) if key in known} | behaviours


def status(folder: Path, record: dict[str, Any]) -> str:
    """``finished``, ``failed``, ``interrupted``, ``running``, or ``killed``: started, and no process works on it."""
    if is_finished(folder):
        return "finished"
    if record["status"] != "running":
        return record["status"] if record["status"] != "finished" else "killed"
    return "running" if is_locked(folder / LOCK) else "killed"


def objective(run: Run) -> float:
    """The held-out accuracy of the last evaluation; -inf without one, so that a search avoids it."""
    found = [number(row, f"eval/{run.task}/accuracy") for row in run.evaluations]
    return found[-1] if found and found[-1] is not None else -math.inf


@dataclass(frozen=True)
class Setting:
    """One setting over its seeds.

    Attributes:
        values: Of the swept keys but the seed.
        accuracy: Of each finished job, by seed.
        mean, low, high: Its mean and 95% t-interval; NaN bounds with a single seed.
        least_spread: Standard deviation of the accuracy of one job that sampling alone gives; 0 where the number of
            problems is not known.
        means: Means of the other measures and behaviours.
        num_unfinished: Jobs of it that are not finished.
    """

    values: dict[str, str]
    accuracy: dict[str, float]
    mean: float
    low: float
    high: float
    least_spread: float
    means: dict[str, float]
    num_unfinished: int

    @property
    def name(self) -> str:
        """``key=value key=value``."""
        return " ".join(f"{key}={value}" for key, value in self.values.items()) or "all jobs"


def settings_of(sweep: Sweep) -> list[Setting]:
    """The settings in the order of their first job; those without a finished job have NaN for every measure."""
    if sweep.jobs.empty:
        return []
    whole = sweep.finished()
    found = []
    by = [sweep.jobs[key] for key in sweep.keys] or [pd.Series(0, index=sweep.jobs.index)]
    for _, jobs in sweep.jobs.groupby(by, sort=False):
        done = jobs[jobs.index.isin(whole.index)]
        accuracy = list(done["accuracy"])
        num_problems = done["num_problems"].min()
        least_spread = 0.0 if pd.isna(num_problems) else sampling_spread(float(np.mean(accuracy)), num_problems)
        low, high = t_interval(accuracy, least_spread) if accuracy else (math.nan, math.nan)  # of a share: cut below
        measures = [key for key in ("step0_accuracy", *MEASURES, *sweep.behaviours) if key in done]
        found.append(
            Setting(
                values={key: jobs[key].iloc[0] for key in sweep.keys},
                accuracy=dict(zip(done[SEED] if SEED in done else done["job"], accuracy, strict=True)),
                mean=float(done["accuracy"].mean()) if accuracy else math.nan,
                low=float(np.clip(low, 0, 1)),
                high=float(np.clip(high, 0, 1)),
                least_spread=least_spread,
                means={key: float(done[key].astype(float).mean()) for key in measures},
                num_unfinished=len(jobs) - len(done),
            )
        )
    return found
