"""What happens with a step's completions once they are on disk: metrics, alarms, tables, the page.

The trainer calls ``add`` for each rollout and ``finish_step`` once a step, on the main process. State is the rows of
``metrics.jsonl`` so far, read back when a run is resumed. Nothing here touches the gradient.
"""

import logging
import math
import time
from pathlib import Path

import pandas as pd

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.measuring.alarm_evidence import judge_lines
from r1zero.measuring.alarms import ALARMS, evidence, raised, training_rows
from r1zero.measuring.step_metrics import step_metrics
from r1zero.reporting.page import write_page
from r1zero.runs.layout import METRICS
from r1zero.runs.metrics import Row, number, read_metrics
from r1zero.runs.reading import load_run
from r1zero.watching.tracking import Tracker

log = logging.getLogger(__name__)

MIN_PAGE_INTERVAL_S = 15.0
PAGE_SHARE = 0.02  # of the time of a run may go into its page
SHOWN_CHARS = 600


class RunObserver:
    """Sees every step of a run as it happens, and adds to its metrics.

    Args:
        config: The run's config.
        accuracy_judge: The judge whose CORRECT is accuracy.
        run_dir: The run directory.
        tracker: Where completions go besides the disk.
        num_devices: Processes of the run, one device each.
    """

    def __init__(
        self, config: Config, accuracy_judge: str, run_dir: Path, tracker: Tracker, num_devices: int = 1
    ) -> None:
        self.config, self.judge, self.run_dir, self.tracker = config, accuracy_judge, run_dir, tracker
        self.num_devices, self.device_s = num_devices, 0.0
        self.frames: list[pd.DataFrame] = []
        self.rows: list[Row] | None = None
        self.active: set[str] = set()
        self.next_page = time.monotonic()

    def add(self, completions: pd.DataFrame) -> None:
        """Keep the completions of one rollout until the step is over."""
        self.frames.append(completions)

    def finish_step(self, step: int, metrics: dict[str, float]) -> dict[str, float]:
        """``metrics`` of ``step`` and what its completions add to them; alarms are logged when they begin."""
        if self.rows is None:
            self.rows = self.earlier_rows(step)
        completions = pd.concat(self.frames, ignore_index=True) if self.frames else None
        if completions is not None:  # a step that reuses completions has none
            metrics = metrics | step_metrics(
                completions, self.judge, trainer_value(self.config.trainer, "num_generations")
            )
            self.tracker.log_completions(step, completions)
        metrics = metrics | self.cost(metrics.get("time/step_s", 0.0))
        self.rows += training_rows([{"step": step, **metrics}])
        said = raised(self.rows, self.config.alarms, self.judge)
        for name, text in said.items():
            if name not in self.active:
                log.warning("%s", self.message(name, text, step, completions))
        self.active = set(said)
        self.frames = []
        return metrics | {f"alarm/{name}": float(name in said) for name in ALARMS}

    def finish_evaluation(self, metrics: dict[str, float]) -> None:
        """Count the time of an evaluation, and show it."""
        self.device_s += self.num_devices * metrics["time/eval_s"]
        self.refresh_page()

    def cost(self, seconds: float) -> dict[str, float]:
        """Device-hours of steps and evaluations to date, and their price if one is set."""
        self.device_s += self.num_devices * seconds
        hours = self.device_s / 3600
        price = self.config.tracker.price_per_device_hour
        return {"cost/device_hours": hours} | ({} if price is None else {"cost/total": hours * price})

    def earlier_rows(self, step: int) -> list[Row]:
        """The training steps before ``step`` that a resumed run finds in its file."""
        path = self.run_dir / METRICS
        rows = read_metrics(path)[0] if path.is_file() else []
        rows = training_rows([row for row in rows if row["step"] < step])
        self.device_s += 3600 * (number(rows[-1], "cost/device_hours") or 0.0) if rows else 0.0
        self.active = set(raised(rows, self.config.alarms, self.judge))
        return rows

    def message(self, name: str, said: str, step: int, completions: pd.DataFrame | None) -> str:
        """The alarm for the log: cause, remedy, and one completion that shows it."""
        lines = [f"alarm/{name} at step {step}: {ALARMS[name].title}.", said, ALARMS[name].remedy]
        shown = [] if completions is None else evidence(name, completions, self.judge, limit=1)
        for row in shown:
            text: str = row["completion"]
            cut = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} [...]"
            lines += [*judge_lines(row), f"prompt: {row['prompt']!r}", f"completion: {cut!r}"]
        return "\n  ".join(lines)

    def refresh_page(self) -> None:
        """Rewrite ``report.html`` if it is due: at most every 15 seconds and for 2% of the time."""
        started = time.monotonic()
        if started < self.next_page:
            return
        try:
            write_page(load_run(self.run_dir), live=True)
        except Exception:  # whatever the page fails at, the training goes on; the end of the run writes the page again
            log.exception("report.html could not be written; the run goes on without a live page.")
            self.next_page = math.inf
            return
        taken = time.monotonic() - started
        self.next_page = started + max(MIN_PAGE_INTERVAL_S, taken / PAGE_SHARE)
