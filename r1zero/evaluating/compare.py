"""Two evaluations of the same problems compared, problem by problem: who is better, and is it more than luck?

The unit is the problem, so the answer is about the problems that were asked and others like them. Whether another
training seed would give the same is a question for a sweep (docs/sweeps.md).
"""

from pathlib import Path
from typing import Any

import pandas as pd

from r1zero.evaluating.layout import PROBLEMS, RESULT
from r1zero.measuring.statistics import paired_difference
from r1zero.reporting.text import aligned, in_points, percent
from r1zero.runs.files import read_json


def compare(first: Path, second: Path) -> str:
    """A table of the differences of each task that both have, and a sentence on each.

    Args:
        first, second: Folders with a ``result.json``, or with folders that have one.

    Raises:
        ValueError: A folder has no result, no task is in both, or the problems differ.
    """
    left, right = results_in(first), results_in(second)
    common = [task for task in left if task in right]
    if not common:
        raise ValueError(
            f"compare: no task is in both; {first} has {', '.join(left)} and {second} has {', '.join(right)}."
        )
    return "\n\n".join(compare_task(task, left[task], right[task]) for task in common)


def results_in(folder: Path) -> dict[str, Path]:
    """The folder of each task's result; of several results of one task, an error."""
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob(RESULT), *folder.glob(f"*/{RESULT}")]):
        task = read_json(path)["task"]
        if task in found:
            raise ValueError(
                f"compare: {folder} has several results of {task}; name one: {found[task]}, {path.parent}."
            )
        found[task] = path.parent
    if not found:
        raise ValueError(f"compare: {folder} has no {RESULT}. Give a folder that `python -m r1zero.evaluate` printed.")
    return found


def compare_task(task: str, first: Path, second: Path) -> str:
    """The differences of one task, second minus first."""
    results: list[dict[str, Any]] = [read_json(folder / RESULT) for folder in (first, second)]
    if results[0]["problems"] != results[1]["problems"]:
        raise ValueError(
            f"compare: {first} and {second} were asked different problems of {task}, so they make no pairs."
        )
    left, right = (pd.read_parquet(folder / PROBLEMS).set_index("index") for folder in (first, second))
    lines = [["metric", "first", "second", "difference", "95% interval", "p"]]
    sentence = f"{task}: no problem could be judged in both."
    for key in (str(key) for key in left if key == "accuracy" or "@" in str(key)):
        if key not in right:
            continue
        both = pd.DataFrame({"first": left[key], "second": right[key]}).dropna()
        if both.empty:
            continue
        means = both.mean()
        difference, low, high, p = paired_difference(list(both["first"]), list(both["second"]))
        spread = f"{100 * low:+.1f} to {100 * high:+.1f}"
        shown = percent(means["first"]), percent(means["second"]), f"{100 * difference:+.1f}"
        lines.append([key, *shown, spread, f"{p:.3f}"])
        if key == "accuracy":
            sentence = verdict(task, len(both), difference, low, high, p)
    return f"first   {first}\nsecond  {second}\n{aligned(lines)}\n{sentence}"


def verdict(task: str, count: int, difference: float, low: float, high: float, p: float) -> str:
    """One sentence on the difference in accuracy."""
    size = f"{in_points(difference)} ({100 * low:+.1f} to {100 * high:+.1f}, paired bootstrap over {count} problems"
    if p < 0.05:
        better = "second" if difference > 0 else "first"
        return f"{task}: the {better} is better: {size}; p = {p:.3f} in a paired permutation test)."
    return f"{task}: no difference beyond what these {count} problems could show by chance: {size}; p = {p:.2f})."
