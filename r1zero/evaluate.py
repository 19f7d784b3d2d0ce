"""Held-out accuracy: the share of problems solved, which is not the reward."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from r1zero.emergence import BEHAVIOURS
from r1zero.estimators import wilson_interval
from r1zero.rollout import Completion, Sampling
from r1zero.tasks import Task, judge_all
from rewards import Outcome

# (prompts, randomness keys, sampling) -> one completion and its text for each prompt
Sampler = Callable[[Sequence[str], Sequence[str], Sampling], list[tuple[Completion, str]]]


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, and one row a problem with prompt, completion and verdict."""

    metrics: dict[str, float]
    completions: pd.DataFrame


def evaluate_task(task: Task, sample: Sampler, sampling: Sampling, seed: int) -> Evaluation:
    """One completion of every held-out problem, judged by the task's accuracy judge.

    The randomness of a problem is the same at every evaluation of a run, so two points of a curve differ by the policy
    alone.
    """
    keys = [f"eval/{seed}/{index}" for index in range(len(task.test))]
    sampled = sample([row["prompt"] for row in task.test], keys, sampling)
    texts = [row["prefill"] + text for row, (_, text) in zip(task.test, sampled, strict=True)]
    verdicts = judge_all(task.judges[task.accuracy_judge], texts, task.test)
    table: list[dict[str, Any]] = []
    for index, (row, (completion, text), verdict) in enumerate(zip(task.test, sampled, verdicts, strict=True)):
        table.append(
            {
                "index": index,
                "prompt": row["prompt"],
                "completion": text,
                "outcome": verdict.outcome.name,
                "detail": verdict.detail,
                "length_tokens": len(completion.ids),
                "truncated": completion.truncated,
                **{name: count(text, row) for name, count in BEHAVIOURS.items()},
            }
        )
    frame = pd.DataFrame(table)
    return Evaluation(summarise(task.name, frame), frame)


def summarise(name: str, frame: pd.DataFrame) -> dict[str, float]:
    """Accuracy with its 95% interval, outcome shares, length and behaviours.

    Problems that could not be judged are left out of the accuracy and counted in ``num_ungradeable``.
    """
    graded = frame[frame["outcome"] != Outcome.UNGRADEABLE.name]
    correct = int((graded["outcome"] == Outcome.CORRECT.name).sum())
    low, high = wilson_interval(correct, len(graded)) if len(graded) else (math.nan, math.nan)
    metrics = {
        "accuracy": correct / len(graded) if len(graded) else math.nan,
        "accuracy_low": low,
        "accuracy_high": high,
        "num_problems": len(graded),
        "num_ungradeable": len(frame) - len(graded),
        "mean_length": frame["length_tokens"].mean(),
        "truncated": frame["truncated"].mean(),
    }
    for outcome in Outcome:
        metrics[f"outcome/{outcome.name}"] = (frame["outcome"] == outcome.name).mean()
    for behaviour in BEHAVIOURS:
        metrics[f"behaviour/{behaviour}"] = frame[behaviour].mean()
    return {f"eval/{name}/{key}": float(value) for key, value in metrics.items()}


def write_completions(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as parquet, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    frame.to_parquet(temporary, index=False)
    temporary.replace(path)
