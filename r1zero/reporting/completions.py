"""Completions of a run for its page: the same problem at several evaluations, and a sample to browse.

Everything is read from ``completions/*.parquet``. How many are shown is bounded, how they are chosen never depends on
what they say, and the page says both.
"""

from typing import Any, NamedTuple

import pandas as pd

from r1zero.measuring.alarm_evidence import judge_lines
from r1zero.runs.layout import completions_by_step
from r1zero.runs.metrics import Row
from r1zero.runs.reading import Run

# Shown on the page in this order: title, correct before, correct after, how many of the first problems by number.
CHANGES = (
    ("Became correct", False, True, 5),
    ("Became incorrect", True, False, 2),
    ("Incorrect both times", False, False, 3),
    ("Correct both times", True, True, 2),
)
MAX_SNAPSHOTS = 5  # step 0, 25%, 50%, 75%, the end
MAX_STEPS, ROWS_PER_STEP = 40, 12
MAX_CHARS, MAX_TOTAL_CHARS = 6_000, 2_000_000  # of one completion, and of all: about the size of the page


class ExampleGroup(NamedTuple):
    """Problems whose outcome changed, or stayed, in one way: how many of how many, and the first few.

    Each of ``examples`` has the ``index`` and ``prompt`` of a problem and its ``samples``, one a snapshot: the columns
    of that evaluation and its ``step``.
    """

    title: str
    num_problems: int
    num_compared: int
    examples: list[Row]


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows of ``frame`` as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def evaluated_steps(run: Run) -> list[int]:
    """Steps of which both metrics and completions of an evaluation are there; else those with completions.

    A run killed between the two files leaves completions without their metrics; the headline knows only the latter.
    """
    files = completions_by_step(run.directory, "eval").keys()
    return sorted(files & {row["step"] for row in run.evaluations}) or sorted(files)


def spread(items: list[int], count: int) -> list[int]:
    """Up to ``count`` of ``items``, evenly spread by value, the first and the last among them.

    >>> spread([0, 28, 56, 84, 110], 3), spread([3], 5)
    ([0, 56, 110], [3])
    """
    if len(items) <= count:
        return items
    goals = [items[0] + (items[-1] - items[0]) * part / (count - 1) for part in range(count)]
    return sorted({min(items, key=lambda item: abs(item - goal)) for goal in goals})


def evaluation(run: Run, step: int) -> pd.DataFrame:
    """Completions of the evaluation at ``step``."""
    return pd.read_parquet(completions_by_step(run.directory, "eval")[step][0]).fillna({"detail": ""})


def first_samples(run: Run, step: int) -> pd.DataFrame:
    """A completion a problem, the first of its samples, by index and prompt."""
    frame = evaluation(run, step).assign(step=step)
    if "sample" in frame:
        frame = frame[frame["sample"] == 0]
    return frame.set_index(["index", "prompt"]).sort_index()


def example_groups(run: Run) -> tuple[list[int], list[ExampleGroup]]:
    """The steps whose completions are compared, and the first problems of each group; empty without any."""
    evaluated = evaluated_steps(run)
    if not evaluated:
        return [], []
    steps = spread(evaluated, MAX_SNAPSHOTS)
    frames = [first_samples(run, step) for step in steps]
    common = frames[0].index
    for frame in frames[1:]:
        common = common.intersection(frame.index)
    frames = [frame.loc[common] for frame in frames]

    def examples(chosen: pd.Index) -> list[Row]:
        columns = [records(frame.loc[chosen]) for frame in frames]
        return [
            {"index": index, "prompt": prompt, "samples": list(samples)}
            for (index, prompt), *samples in zip(chosen, *columns, strict=True)
        ]

    if len(steps) == 1:
        return steps, [ExampleGroup("All problems", len(common), len(common), examples(common[:12]))]
    correct_before, correct_after = frames[0]["outcome"] == "CORRECT", frames[-1]["outcome"] == "CORRECT"
    groups = []
    for title, is_before, is_after, limit in CHANGES:
        rows = common[((correct_before == is_before) & (correct_after == is_after)).to_numpy()]
        groups.append(ExampleGroup(title, len(rows), len(common), examples(rows[:limit])))
    return steps, groups


def browsable(run: Run, judge: str | None) -> tuple[list[dict[str, Any]], int]:
    """Rows for the page's browser, and how many completions the run has kept in all the steps they come from.

    Up to 40 training steps and 5 evaluations, evenly spread; of each, 12 completions evenly spread over the file, so
    that they answer different prompts. With long completions there are fewer.
    """
    train, held_out = completions_by_step(run.directory, "train"), completions_by_step(run.directory, "eval")
    rows: list[dict[str, Any]] = []
    total = 0
    for kind, files, steps in (
        ("held-out", held_out, spread(list(held_out), MAX_SNAPSHOTS)),
        ("training", train, spread(list(train), MAX_STEPS)),
    ):
        for step in steps:
            frame = pd.concat([pd.read_parquet(path) for path in files[step]], ignore_index=True)
            total += len(frame)
            places = spread(list(range(len(frame))), ROWS_PER_STEP)
            rows += [
                browser_row(kind, step, place, row, judge)
                for place, row in zip(places, records(frame.iloc[places]), strict=True)
            ]
    size = sum(len(row["text"]) + len(row["prompt"]) for row in rows)
    return rows[:: max(1, -(-size // MAX_TOTAL_CHARS))], total


def browser_row(kind: str, step: int, place: int, row: Row, judge: str | None) -> dict[str, Any]:
    """One completion as the page's script reads it."""
    text = str(row["completion"])
    if len(text) > MAX_CHARS:
        text = f"{text[:MAX_CHARS]}\n[... {len(text) - MAX_CHARS} more characters on disk]"
    outcome = row.get("outcome") or row.get(f"{judge}/outcome")
    said = judge_lines(row)
    if kind == "held-out" and isinstance(row.get("detail"), str) and row["detail"]:
        said = [str(row["detail"])]
    return {
        "kind": kind,
        "step": step,
        "place": place,
        "outcome": outcome if isinstance(outcome, str) else "not judged",
        "tokens": None if pd.isna(row.get("length_tokens")) else int(row["length_tokens"]),
        "truncated": bool(row.get("truncated") or False),
        "advantage": None if pd.isna(row.get("advantage")) else round(float(row["advantage"]), 3),
        "said": said,
        "prompt": str(row["prompt"])[-MAX_CHARS:],
        "text": text,
    }
