"""Where metrics go: ``metrics.jsonl`` always, a progress bar, and by config Weights & Biases, TensorBoard, Trackio.

The file is the record; the others are views of it, and a run goes on without them when they fail to start.
"""

import logging
import math
import os
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pandas as pd
from tqdm import tqdm

from r1zero.config.schema import Config
from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.reporting.text import percent
from r1zero.runs.directory import add_facts
from r1zero.runs.files import read_json
from r1zero.runs.layout import ENVIRONMENT, METRICS, TENSORBOARD
from r1zero.runs.metrics import MetricsFile, number
from r1zero.watching.wandb_names import STEP, SUMMARIES, wandb_name
from r1zero.watching.workspace import make_once

log = logging.getLogger(__name__)

MAX_TABLE_PARTS = 100  # how many parts of an incremental table W&B shows
MAX_TAG_CHARS, MAX_GROUP_CHARS = 64, 128  # W&B refuses longer ones


class Tracker:
    """Sends each step's metrics to the file, to the trackers of the config and to the progress bar."""

    def __init__(self, config: Config, run_dir: Path, num_steps: int | None, last_step: int | None = None) -> None:
        self.task_name = config.task.name
        self.metrics = MetricsFile(run_dir / METRICS, last_step)
        self.wandb = start_wandb(config, run_dir) if config.tracker.wandb else None
        self.tensorboard = start_tensorboard(run_dir) if config.tracker.tensorboard else None
        self.trackio = start_trackio(config) if config.tracker.trackio else None
        self.completions_per_step = config.tracker.completions_per_step
        self.table_every = math.ceil((num_steps or 1) / MAX_TABLE_PARTS)
        self.num_table_parts = 0
        self.table: Any = None
        self.accuracy = number(self.metrics.known, f"eval/{self.task_name}/accuracy")
        self.bar = tqdm(
            total=num_steps, initial=max(0, last_step or 0), desc=config.run_name, unit="step", dynamic_ncols=True
        )

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Record ``metrics`` of ``step``."""
        self.metrics.write(step, metrics)
        if self.wandb is not None:
            self.wandb.log({STEP: step, **{wandb_name(name): value for name, value in metrics.items()}}, step=step)
        if self.tensorboard is not None:
            for name, scalar in metrics.items():
                self.tensorboard.add_scalar(name, scalar, step)
        if self.trackio is not None:
            self.trackio.log(metrics, step=step)
        self.accuracy = number(self.metrics.known, f"eval/{self.task_name}/accuracy")
        self.bar.update(step - self.bar.n)
        shown = {} if self.accuracy is None else {"acc": percent(self.accuracy)}
        for label, key, form in (
            ("reward", "reward", ".3f"),
            ("len", "completions/mean_length", ".0f"),
            ("tok/s", "perf/tokens_per_s", ".0f"),
        ):
            value = self.metrics.row.get(key)
            if value is not None:
                shown[label] = format(value, form)
        self.bar.set_postfix(shown)

    def log_completions(self, step: int, completions: pd.DataFrame) -> None:
        """Add some of a step's ``completions`` to the table at W&B, which grows; all of them are on disk.

        W&B shows a hundred parts of a table, so in a long run not every step adds one.
        """
        if self.wandb is None or self.completions_per_step == 0:
            return
        if step % self.table_every or self.num_table_parts == MAX_TABLE_PARTS:
            return
        import wandb

        columns = [str(column) for column in completions if column not in BEHAVIOURS]
        if self.table is None:
            self.table = wandb.Table(columns=["step", *columns], log_mode="INCREMENTAL", allow_mixed_types=True)
        stride = max(1, len(completions) // self.completions_per_step)
        for row in completions[columns].iloc[::stride].head(self.completions_per_step).to_dict("records"):
            self.table.add_data(step, *(None if pd.isna(row[column]) else row[column] for column in columns))
        self.wandb.log({"completions": self.table}, step=step)
        self.num_table_parts += 1

    def note(self, text: str) -> None:
        """Print a line above the progress bar."""
        self.bar.write(text)

    def finish(self) -> None:
        """Close everything; without it, W&B would join the next run in this process to this one."""
        self.bar.close()
        self.metrics.file.close()
        if self.tensorboard is not None:
            self.tensorboard.close()
        if self.trackio is not None:
            self.trackio.finish()
        if self.wandb is not None:
            self.wandb.finish()


class SilentTracker(Tracker):
    """The tracker of every rank but the first: keeps nothing."""

    def __init__(self) -> None:
        pass

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


def start_tensorboard(run_dir: Path) -> Any:
    """A writer of event files in ``tensorboard/``."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run_dir / TENSORBOARD))


def start_trackio(config: Config) -> Any:
    """A Trackio run, in its own local database."""
    import trackio

    return trackio.init(
        project=config.tracker.project,
        name=config.run_name,
        group=config.tracker.group,
        config=asdict(config),
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )


def start_wandb(config: Config, run_dir: Path) -> Any:
    """A W&B run: as ``WANDB_MODE`` says, else online when logged in, else offline; None, with a warning, if none is.

    A run that is resumed goes on in the W&B run that it was.
    """
    import wandb

    settings = wandb.Settings(silent=True, console="off", init_timeout=30)
    wanted = os.environ.get("WANDB_MODE")
    run_id = wandb_id(run_dir)
    for mode in (wanted,) if wanted else ("online", "offline"):
        try:
            if mode == "online" and not wandb.login(prompt=False, verify=False):
                continue
            run = wandb.init(
                project=config.tracker.project,
                entity=config.tracker.entity,
                group=wandb_group(config),
                tags=wandb_tags(config),
                name=config.run_name,
                id=run_id,
                resume="allow",
                config=asdict(config),
                dir=run_dir,
                mode=cast(Any, mode),
                settings=settings,
            )
        except (wandb.Error, OSError, ValueError) as error:
            log.warning("W&B could not start %s (%s).", mode, error)
            continue
        run.define_metric(STEP, hidden=True)
        for name, summary in SUMMARIES.items():
            run.define_metric(name, step_metric=STEP, summary=summary)
        if not run.offline and not run.disabled:
            make_once(run.entity, run.project)
        return run
    log.warning("Going on without W&B; metrics.jsonl has everything.")
    return None


def wandb_id(run_dir: Path) -> str:
    """The W&B run that the run in ``run_dir`` is: the environment's, else the one that it has been, else a new one."""
    facts = run_dir / ENVIRONMENT
    known = read_json(facts).get("wandb_id") if facts.is_file() else None
    run_id = os.environ.get("WANDB_RUN_ID") or known or uuid.uuid4().hex[:8]
    add_facts(run_dir, {"wandb_id": run_id})
    return run_id


def wandb_tags(config: Config) -> list[str]:
    """Task, model and adapter, which tell runs of one project apart, and the tags of the config."""
    adapter = [] if config.peft.method == "none" else [config.peft.method]
    tags = dict.fromkeys([config.task.name, config.model.name, *adapter, *config.tracker.tags])
    return [tag[:MAX_TAG_CHARS] for tag in tags if tag]


def wandb_group(config: Config) -> str:
    """The config's group, which for a job of a sweep is the sweep; else all runs of this task and model."""
    return (config.tracker.group or f"{config.task.name}-{config.model.name}")[:MAX_GROUP_CHARS]
