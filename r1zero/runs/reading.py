"""What a run left in its directory, read back: metrics by step, config, environment, and what is missing from them.

A run that was killed half-way is read as far as it got. Nothing is written or drawn here, and the saved completions are
left to ``r1zero.reporting.completions``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r1zero.runs.files import read_json
from r1zero.runs.layout import CONFIG, ENVIRONMENT, METRICS
from r1zero.runs.metrics import Row, number, read_metrics


@dataclass(frozen=True)
class Run:
    """What a run directory holds, completions excepted.

    Attributes:
        rows: ``metrics.jsonl``, one row a step, ascending.
        num_unreadable: Lines of ``metrics.jsonl`` that are no JSON object with a step; a kill tears the last one.
        config_text: ``config.yaml`` as written, and ``config`` the same parsed; empty when there is none.
        environment: ``environment.json``; empty when there is none.
        task: The task whose evaluation is reported, the trained one if it was evaluated; None without an evaluation.
    """

    directory: Path
    rows: list[Row]
    num_unreadable: int
    config_text: str
    config: dict[str, Any]
    environment: dict[str, Any]
    task: str | None

    @property
    def evaluations(self) -> list[Row]:
        """The rows with a held-out accuracy, ascending."""
        return [row for row in self.rows if number(row, f"eval/{self.task}/accuracy") is not None]

    def setting(self, *keys: str) -> Any:
        """The config value at ``keys``; None where the config has none."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def notes(self) -> list[str]:
        """What a reader must know before trusting the numbers: all that the run did not get to."""
        steps = [row["step"] for row in self.evaluations]
        last_step = self.rows[-1]["step"] if self.rows else None
        max_steps = self.setting("trainer", "max_steps")
        found = []
        if last_step is None:
            found.append(f"{METRICS} holds no step: the run ended before its first one.")
        elif not steps:
            found.append(f"Nothing was evaluated; the last step logged is {last_step}. The accuracy is not known.")
        elif len(steps) == 1:
            found.append(
                f"Only step {steps[0]} was evaluated; the last step logged is {last_step}. No before and after."
            )
        elif last_step > steps[-1]:
            found.append(f"The last evaluation is of step {steps[-1]}; training was logged up to step {last_step}.")
        if steps and steps[0] != 0:
            found.append(f"Step 0 was not evaluated: comparisons start at step {steps[0]}.")
        if last_step is not None and isinstance(max_steps, int) and last_step < max_steps:
            found.append(f"The run stopped at step {last_step} of {max_steps}, or is still going.")
        if self.num_unreadable:
            found.append(
                f"Unreadable lines left out of {METRICS}: {self.num_unreadable} (a killed run tears its last line)."
            )
        return found


def load_run(run_dir: Path) -> Run:
    """The run in ``run_dir``.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    metrics = run_dir / METRICS
    if not metrics.is_file():
        below = sorted(str(path.parent) for path in run_dir.glob(f"*/{METRICS}"))
        hint = f"Did you mean {' or '.join(below[:3])}?" if below else "Give the directory that a run was written to."
        raise ValueError(f"run directory = {run_dir}: looked for {metrics}, which does not exist. {hint}")
    rows, num_unreadable = read_metrics(metrics)
    config_file, environment_file = run_dir / CONFIG, run_dir / ENVIRONMENT
    config_text = config_file.read_text(encoding="utf-8") if config_file.is_file() else ""
    matches = (re.fullmatch(r"eval/(.+)/accuracy", key) for row in rows for key in row)
    tasks = list(dict.fromkeys(match[1] for match in matches if match))
    config = yaml.safe_load(config_text) or {}
    environment = read_json(environment_file) if environment_file.is_file() else {}
    trained = config.get("task", {}).get("name")
    task = trained if trained in tasks else next(iter(tasks), None)
    return Run(run_dir, rows, num_unreadable, config_text, config, environment, task)
