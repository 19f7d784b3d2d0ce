"""Held-out evaluation: the share of problems solved, which is not the reward.

Prompts, randomness and judges are the same during training and in ``python -m r1zero.evaluate``. Nothing here loads a
model or knows where completions come from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from r1zero.config.schema import EvalConfig
from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.statistics import bootstrap_interval, expected_maj_at_k, pass_at_k, wilson_interval
from r1zero.rollout.sampling import Completion, SampleTexts, Sampling
from r1zero.tasks.judging import judge_all
from r1zero.tasks.task import Task
from rewards import Outcome, Verdict


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, and one row a completion with prompt, text and verdict."""

    metrics: dict[str, float]
    completions: pd.DataFrame


def evaluation_sampling(config: EvalConfig, training: Sampling) -> Sampling:
    """How held-out completions are drawn: as in training, but for what ``config`` sets."""
    chosen = {"top_p": config.top_p, "max_tokens": config.max_tokens, "temperature": config.temperature or None}
    known: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    return replace(training, greedy=config.temperature == 0, **known)


def wanted_k(config: EvalConfig) -> list[int]:
    """The k of pass@k and maj@k, ascending, without 1, which is the accuracy."""
    return sorted({k for k in config.k or [config.num_samples] if k > 1})


def sample_key(seed: int, index: int, sample: int) -> str:
    """Names the randomness of one completion: the same at every evaluation with this seed.

    Two points of a curve, or two models, then differ by the policy alone.
    """
    return f"eval/{seed}/{index}" + (f"/{sample}" if sample else "")


def evaluate_task(
    task: Task, sample: SampleTexts, sampling: Sampling, seed: int, num_samples: int = 1, ks: Sequence[int] = ()
) -> Evaluation:
    """``num_samples`` completions of every held-out problem, judged by the task's accuracy judge."""
    places = [(index, number) for index in range(len(task.test)) for number in range(num_samples)]
    prompts = [task.test[index]["prompt"] for index, _ in places]
    sampled = sample(prompts, [sample_key(seed, *place) for place in places], sampling)
    rows = [task.test[index] for index, _ in places]
    texts = [row["prefill"] + text for row, (_, text) in zip(rows, sampled, strict=True)]
    verdicts = judge_all(task.judges[task.accuracy_judge], texts, rows)
    frame = table(task, places, sampled, verdicts)
    return Evaluation(summarise_all(task, frame, ks), frame)


def summarise_all(task: Task, frame: pd.DataFrame, ks: Sequence[int] = ()) -> dict[str, float]:
    """``summarise`` of all held-out problems and, for a mixture, of those of each of its tasks."""
    voting = task.ballot is not None
    metrics = summarise(task.name, frame, ks, voting)
    of_task = pd.Series([row.get("task") for row in task.test])
    for name in dict.fromkeys(of_task.dropna()):
        own = frame[frame["index"].isin(of_task.index[of_task == name])]
        metrics |= summarise(name, own, ks, voting)
    return metrics


def table(
    task: Task,
    places: Sequence[tuple[int, int]],
    sampled: Sequence[tuple[Completion, str]],
    verdicts: Sequence[Verdict],
) -> pd.DataFrame:
    """One row a completion; its place is its held-out problem and its number among that problem's samples."""
    each = zip(places, sampled, verdicts, strict=True)
    return pd.DataFrame(record(task, *place, *completion, verdict) for place, completion, verdict in each)


def record(task: Task, index: int, sample: int, completion: Completion, text: str, verdict: Verdict) -> dict[str, Any]:
    """One completion as a row of the table."""
    row = task.test[index]
    return {
        "index": index,
        "sample": sample,
        "prompt": row["prompt"],
        "completion": text,
        "outcome": verdict.outcome.name,
        "detail": verdict.detail,
        "vote": task.ballot(row["prefill"] + text, row, verdict) if task.ballot else None,
        "length_tokens": len(completion.ids),
        "truncated": completion.truncated,
        **{name: count(text, row) for name, count in BEHAVIOURS.items()},
    }


def by_problem(frame: pd.DataFrame, ks: Sequence[int], voting: bool) -> pd.DataFrame:
    """One row a problem: ``index``, ``num_graded``, ``num_correct``, ``accuracy``, and pass@k and maj@k for each k.

    Completions that could not be judged do not count. A problem with fewer than k others has no pass@k and maj@k (NaN),
    one without any has no accuracy.
    """
    table = []
    for index, samples in frame.groupby("index", sort=True):
        graded = samples[samples["outcome"] != Outcome.UNGRADEABLE.name]
        correct = (graded["outcome"] == Outcome.CORRECT.name).tolist()
        line: dict[str, Any] = {
            "index": index,
            "num_graded": len(graded),
            "num_correct": sum(correct),
            "accuracy": sum(correct) / len(graded) if len(graded) else math.nan,
        }
        votes = [vote if isinstance(vote, str) else None for vote in graded["vote"]] if voting else []
        for k in ks:
            enough = len(graded) >= k
            line[f"pass@{k}"] = pass_at_k(len(graded), sum(correct), k) if enough else math.nan
            if voting:
                line[f"maj@{k}"] = expected_maj_at_k(votes, correct, k) if enough else math.nan
        table.append(line)
    return pd.DataFrame(table)


def summarise(name: str, frame: pd.DataFrame, ks: Sequence[int] = (), voting: bool = False) -> dict[str, float]:
    """Accuracy, pass@k and maj@k with 95% intervals, outcome shares, length and behaviours.

    Problems that could not be judged are left out of the accuracy and counted in ``num_ungradeable``. The interval is
    Wilson's for one sample a problem. Several samples of one problem are not independent: then problems are resampled.
    """
    problems = by_problem(frame, ks, voting)
    metrics: dict[str, float] = {}
    estimates = ["accuracy", *(key for key in problems if str(key).startswith(("pass@", "maj@")))]
    single = problems["num_graded"].max() <= 1
    for key in map(str, estimates):
        values = problems[key].dropna()
        low, high = math.nan, math.nan
        if len(values):
            low, high = wilson_interval(int(values.sum()), len(values)) if single else bootstrap_interval(list(values))
        metrics |= {key: values.mean(), f"{key}_low": low, f"{key}_high": high}
    graded = int((problems["num_graded"] > 0).sum())
    metrics |= {
        "num_problems": graded,
        "num_ungradeable": len(problems) - graded,
        "mean_length": frame["length_tokens"].mean(),
        "truncated": frame["truncated"].mean(),
    }
    for outcome in Outcome:
        metrics[f"outcome/{outcome.name}"] = (frame["outcome"] == outcome.name).mean()
    for behaviour in BEHAVIOURS:
        metrics[f"behaviour/{behaviour}"] = frame[behaviour].mean()
    return {f"eval/{name}/{key}": float(value) for key, value in metrics.items()}


class HeldOutAccuracy:
    """Measures a policy on the held-out problems during training, sampled and, where the config wants it, greedily.

    Args:
        task: Problems and judges.
        config: Which evaluation.
        seed: Of the run; every evaluation draws the same random numbers.
    """

    def __init__(self, task: Task, config: EvalConfig, seed: int) -> None:
        self.task, self.config, self.seed = task, config, seed

    def __call__(self, sample: SampleTexts, training: Sampling) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
        """Metrics, and tables of completions: ``eval``, and ``greedy`` where that is another decoding.

        Args:
            sample: Draws completions from the policy.
            training: How training draws them.
        """
        sampling = evaluation_sampling(self.config, training)
        result = evaluate_task(self.task, sample, sampling, self.seed, self.config.num_samples, wanted_k(self.config))
        metrics, tables = dict(result.metrics), {"eval": result.completions}
        if self.config.greedy and not sampling.greedy:
            greedy = evaluate_task(self.task, sample, replace(sampling, greedy=True), self.seed)
            name = f"eval/{self.task.name}"
            metrics[f"{name}/greedy_accuracy"] = greedy.metrics[f"{name}/accuracy"]
            tables["greedy"] = greedy.completions
        return metrics, tables
