"""The results of a run in words and numbers: before against after, what changed and when, on what it ran.

Pure functions of what ``r1zero.runs.reading`` has read; nothing is written or drawn.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.change_point import Change, changes, first_departure
from r1zero.measuring.step_metrics import PER_COMPLETION
from r1zero.reporting.series import evaluated_tasks, same, series
from r1zero.reporting.text import duration, in_points, interval, percent, percent_range
from r1zero.runs.metrics import Row, number
from r1zero.runs.reading import Run
from rewards.verdict import Outcome


class Comparison(NamedTuple):
    """One line of the before/after table, as text; ``change`` is empty where there is none."""

    label: str
    before: str
    after: str
    change: str


def comparison(label: str, key: str, first: Row, last: Row, decimals: int | None) -> Comparison:
    """``key`` in two rows, to ``decimals`` places; None marks a share, shown in percent."""
    before, after = number(first, key), number(last, key)
    change = None if before is None or after is None else after - before
    if decimals is None:
        return Comparison(label, percent(before), percent(after), "" if change is None else in_points(change))
    first_text, last_text = ("-" if value is None else f"{value:.{decimals}f}" for value in (before, after))
    return Comparison(label, first_text, last_text, "" if not change else f"{change:+.{decimals}f}")


def repeated_behaviours(rows: Sequence[Row], key: str = f"{PER_COMPLETION}/{{}}/all") -> dict[str, str]:
    """Behaviour -> a later one of which it is the same number in all ``rows``: where checks are written in signs alone,
    every verification is one of the checks. Those that are never seen repeat nothing.

    Args:
        rows: Where ``key`` may be.
        key: The metric, with braces for the behaviour.
    """
    seen = [name for name in BEHAVIOURS if any(number(row, key.format(name)) for row in rows)]
    pairs = [(one, other) for at, one in enumerate(seen) for other in seen[at + 1 :]]
    return {one: other for one, other in pairs if same(rows, key.format(one), key.format(other))}


def comparisons(run: Run, with_behaviours: bool = True) -> list[Comparison]:
    """First against last evaluation, metric by metric; ``-`` for the last where there is a single one.

    Outcomes and behaviours that occur in neither evaluation are left out, and so is what repeats another number.
    """
    if not run.evaluations:
        return []
    first, last = run.evaluations[0], run.evaluations[-1] if len(run.evaluations) > 1 else {}
    prefix = f"eval/{run.task}/"
    logged = {key.removeprefix(prefix): None for row in (first, last) for key in row if key.startswith(prefix)}
    ends = (first, last)
    outcomes = [
        name
        for name in Outcome.__members__
        if any(number(row, f"{prefix}outcome/{name}") for row in ends)
        and not same(ends, f"{prefix}outcome/{name}", f"{prefix}accuracy")
    ]
    repeated = repeated_behaviours(ends, f"{prefix}behaviour/{{}}")
    behaviours = [
        name
        for name in BEHAVIOURS
        if with_behaviours and name not in repeated and any(number(row, f"{prefix}behaviour/{name}") for row in ends)
    ]
    metrics: list[tuple[str, str, int | None]] = [
        ("accuracy, sampled", "accuracy", None),
        ("accuracy, greedy", "greedy_accuracy", None),
        *((f"outcome {name}", f"outcome/{name}", None) for name in outcomes),
        ("truncated", "truncated", None),
        ("length, tokens", "mean_length", 1),
        *((f"{name.replace('_', ' ')} per completion", f"behaviour/{name}", 2) for name in behaviours),
        ("held-out problems", "num_problems", 0),
    ]
    lines = [
        comparison(label, prefix + key, first, last, decimals) for label, key, decimals in metrics if key in logged
    ]
    accuracy = prefix + "accuracy"
    lines.insert(1, Comparison("  95% interval", interval(first, accuracy), interval(last, accuracy), ""))
    others = [task for task in evaluated_tasks(run) if task != run.task]
    return [*lines, *(comparison(f"accuracy, {task}", f"eval/{task}/accuracy", first, last, None) for task in others)]


def facts(run: Run) -> list[tuple[str, str]]:
    """What ran, on what and for how long: (name, value) pairs, only those that are known."""
    elapsed = series(run.rows, "time/elapsed_s").max()
    step_s = series(run.rows, "time/step_s").median()
    tokens_per_s = series(run.rows, "perf/tokens_per_s").median()
    pairs = [
        ("task", run.setting("task", "name")),
        ("model", run.setting("model", "name")),
        ("seed", run.setting("seed")),
        ("device", run.environment.get("device")),
        ("steps", run.rows[-1]["step"] if run.rows else None),
        ("time", None if pd.isna(elapsed) else duration(elapsed)),
        ("median step", None if pd.isna(step_s) else f"{step_s:.2f} s"),
        ("median tokens/s", None if pd.isna(tokens_per_s) else f"{tokens_per_s:,.0f}"),
    ]
    return [(name, str(value)) for name, value in pairs if value is not None]


def accuracy_judge(run: Run) -> str | None:
    """The judge whose CORRECT is the accuracy: the one that agrees with ``train/accuracy`` in every step."""
    judges = dict.fromkeys(
        match[1] for row in run.rows for key in row if (match := re.fullmatch(r"outcome/([^/]+)/CORRECT", key))
    )
    rows = [row for row in run.rows if number(row, "train/accuracy") is not None]

    def distance(judge: str) -> float:
        shares = (
            (number(row, f"outcome/{judge}/CORRECT"), number(row, f"outcome/{judge}/UNGRADEABLE")) for row in rows
        )
        return sum(
            abs((correct or 0.0) / max(1e-9, 1 - (ungradeable or 0.0)) - row["train/accuracy"])
            for row, (correct, ungradeable) in zip(rows, shares, strict=True)
        )

    return min(judges, key=distance, default=None)


def run_changes(run: Run) -> list[Change]:
    """What became of the training accuracy and of each behaviour, each number once."""
    repeated = repeated_behaviours(run.rows)
    return changes(run.rows, [name for name in BEHAVIOURS if name not in repeated])


def curve_name(change: Change) -> str:
    """What changed, or did not."""
    return "training accuracy" if change.name == "accuracy" else change.name.replace("_", " ")


def in_words(change: Change) -> tuple[str, str, str, str]:
    """(name, before, after, base model with its interval), an accuracy in percent."""
    if change.name == "accuracy":
        base = f"{percent(change.base)} ({percent_range(change.low, change.high)})"
        return curve_name(change), percent(change.before), percent(change.after), base
    base = f"{change.base:.2f} ({change.low:.2f} to {change.high:.2f})"
    return f"{curve_name(change)} per completion", f"{change.before:.2f}", f"{change.after:.2f}", base


def statements(run: Run, found: Sequence[Change]) -> list[str]:
    """When accuracy and behaviours left what the base model did, one sentence each; see ``change_point``."""
    lines = []
    departed = first_departure(run.evaluations, f"eval/{run.task}/accuracy")
    if len(run.evaluations) > 1:
        lines.append(
            "Held-out accuracy: no evaluation whose 95% interval lies apart from that of the first one to the end."
            if departed is None
            else f"Held-out accuracy: from step {departed} on, every 95% interval lies apart from that of step "
            f"{run.evaluations[0]['step']}."
        )
    for change in found:
        if change.kind == "unchanged":
            continue
        name, before, after, base = in_words(change)
        lines.append(
            f"{name}: {change.kind} at step {change.step}, {before} before, {after} after (p = {change.p:.3f}); "
            f"base model {base}" + ("." if change.left is None else f", left for good at step {change.left}.")
        )
    if len(run.rows) > 1:
        never = [curve_name(change) for change in found if change.before == change.after == 0]
        still = [curve_name(change) for change in found if change.kind == "unchanged"]
        still = [name for name in still if name not in never]
        lines += [f"No change: {', '.join(still)}."] if still else []
        lines += [f"Never seen: {', '.join(never)}."] if never else []
    return lines
