"""How often a model solves each training problem, and the problems of middling difficulty as a file."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from r1zero.config.schema import Config
from r1zero.evaluating.layout import PROBLEMS
from r1zero.evaluating.on_disk import evaluate_in
from r1zero.evaluating.plan import Plan
from r1zero.models.load import load_tokenizer
from r1zero.reporting.text import aligned
from r1zero.rollout.engine import load_engine
from r1zero.runs.files import write_text
from r1zero.tasks.build import build_task

BANDS = ("0", "to 0.2", "to 0.4", "to 0.6", "to 0.8", "below 1", "1")


def measure(todo: Plan, path: Path, low: float, high: float) -> str:
    """Measure the pass rate of each training problem and write those within [``low``, ``high``] to ``path``.

    Raises:
        ValueError: The task's rows cannot be written as a file that it could read.
    """
    (config,) = todo.configs
    check_sizes(config, low, high)
    task = build_task(config, load_tokenizer(config.model))
    if task.as_source is None:
        raise ValueError(f"task {task.name}: its problems have no file form.")
    engine = load_engine(config)
    config = replace(config, eval=replace(config.eval, greedy=False))
    folder = evaluate_in(todo.output, config, replace(task, test=task.train), engine)
    rates = pd.read_parquet(folder / PROBLEMS)["accuracy"]
    kept = [
        json.dumps(task.as_source(row) | {"pass_rate": rate}, ensure_ascii=False)
        for row, rate in zip(task.train, rates, strict=True)
        if low <= rate <= high
    ]
    write_text("".join(f"{line}\n" for line in kept), path)
    counts = pd.cut(rates, [-0.001, 0.0, 0.2, 0.4, 0.6, 0.8, 0.999, 1.0], labels=BANDS).value_counts(sort=False)
    table = aligned([["pass rate", "problems"], *([str(label), str(count)] for label, count in counts.items())])
    return (
        f"{table}\n{len(kept)} of {len(rates)} problems within {low:g} to {high:g} of {config.eval.num_samples} "
        f"samples: {path}\nTrain on them: task.source={path} task.num_train={len(kept)}\nEvery completion: {folder}"
    )


def check_sizes(config: Config, low: float, high: float) -> None:
    """Refuse a band or a number of samples that cannot be used, before anything is loaded."""
    if not 0 <= low <= high <= 1:
        raise ValueError(f"low = {low:g}, high = {high:g}: must be shares with low <= high.")
    if config.eval.num_samples < 2:
        raise ValueError("eval.num_samples = 1: one sample gives no pass rate. Set eval.num_samples=8.")
