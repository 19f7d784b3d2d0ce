"""A run directory as one HTML page and one plain-text table.

``python -m r1zero.report RUN`` rebuilds the page and its figure from what the run left on disk, also when the run was
killed half-way. It reads that directory and nothing else: no model is loaded, no completion is judged again.
"""

import argparse
import base64
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from r1zero.curve import plot_curve, series
from r1zero.run_data import Row, Run, load_run, number
from rewards.tags import TAGS
from rewards.verdict import Outcome

# Shown on the page in this order: title, correct before, correct after, how many of the first problems by number.
CHANGES = (
    ("Became correct", False, True, 5),
    ("Became incorrect", True, False, 2),
    ("Incorrect both times", False, False, 3),
    ("Correct both times", True, True, 2),
)

# What a reader looks for in an escaped completion: the tags, and the written comparisons with the target.
ESCAPED_TAGS = "|".join(re.escape(str(escape(tag))) for tag in TAGS)
LANDMARKS = re.compile(rf"(?P<tag>{ESCAPED_TAGS})|(?P<yes>\(yes\))|(?P<miss>\(too (?:low|high)\))")


def percent(value: float | None) -> str:
    """``value`` in [0, 1] as a percentage; ``-`` for None.

    >>> percent(0.0614), percent(None)
    ('6.1%', '-')
    """
    return "-" if value is None else f"{value:.1%}"


def interval(row: Row, key: str) -> str:
    """The 95% interval of the share at ``key``, e.g. ``4.3 to 8.5%``; ``-`` where the row has none."""
    low, high = number(row, f"{key}_low"), number(row, f"{key}_high")
    return "-" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}%"


class Comparison(NamedTuple):
    """One line of the before/after table, as text; ``change`` is empty where it says nothing."""

    label: str
    before: str
    after: str
    change: str


def comparison(label: str, key: str, first: Row, last: Row, decimals: int | None) -> Comparison:
    """``key`` in two rows, to ``decimals`` places; None marks a share, shown in percent."""
    before, after = number(first, key), number(last, key)
    change = None if before is None or after is None else after - before
    if decimals is None:
        change_text = "" if change is None else f"{100 * change:+.1f} points"
        return Comparison(label, percent(before), percent(after), change_text)
    first_text, last_text = ("-" if value is None else f"{value:.{decimals}f}" for value in (before, after))
    return Comparison(label, first_text, last_text, "" if not change else f"{change:+.{decimals}f}")


def comparisons(run: Run) -> list[Comparison]:
    """First against last evaluation, metric by metric; ``-`` for the last where there is a single one.

    Outcomes that neither evaluation met are left out.
    """
    if not run.evaluations:
        return []
    first, last = run.evaluations[0], run.evaluations[-1] if len(run.evaluations) > 1 else {}
    prefix = f"eval/{run.task}/"
    logged = {key.removeprefix(prefix): None for row in (first, last) for key in row if key.startswith(prefix)}
    outcomes = [
        name for name in Outcome.__members__ if any(number(row, f"{prefix}outcome/{name}") for row in (first, last))
    ]
    behaviours = [name.removeprefix("behaviour/") for name in logged if name.startswith("behaviour/")]
    metrics: list[tuple[str, str, int | None]] = [
        ("accuracy, sampled", "accuracy", None),
        ("accuracy, greedy", "greedy_accuracy", None),
        *((f"outcome {name}", f"outcome/{name}", None) for name in outcomes),
        ("truncated", "truncated", None),
        ("mean length, tokens", "mean_length", 1),
        *((f"{name} per completion", f"behaviour/{name}", 2) for name in behaviours),
        ("held-out problems", "num_problems", 0),
    ]
    lines = [
        comparison(label, prefix + key, first, last, decimals) for label, key, decimals in metrics if key in logged
    ]
    accuracy = prefix + "accuracy"
    lines.insert(1, Comparison("  95% interval", interval(first, accuracy), interval(last, accuracy), ""))
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """``rows`` as text in columns: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def before_after_table(run_dir: Path) -> str:
    """The first evaluation against the last, aligned for a terminal; below it, all that the run did not get to.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    run = load_run(run_dir)
    steps = [f"step {row['step']}" for row in run.evaluations]
    rows: list[Sequence[str]] = list(comparisons(run))
    if len(steps) > 1:
        rows.insert(0, ("held-out", steps[0], steps[-1], "change"))
    elif steps:
        rows = [("held-out", steps[0]), *(line[:2] for line in rows)]
    return "\n".join([aligned(rows), *run.notes()] if rows else run.notes())


class ExampleGroup(NamedTuple):
    """Problems with one fate: how many there are of them and of all, and the first few.

    ``examples`` has the columns of two evaluations, suffixed ``_before`` and ``_after``; a single one is there twice.
    """

    title: str
    num_problems: int
    num_compared: int
    examples: list[Row]


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows of ``frame`` as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def example_groups(run: Run) -> tuple[list[int], list[ExampleGroup]]:
    """The one or two steps whose completions are compared, and the first problems of each fate; empty without any."""
    names = ((path, re.fullmatch(r"eval_(\d+)\.parquet", path.name)) for path in run.directory.glob("completions/*"))
    files = {int(match[1]): path for path, match in names if match}
    # A run killed between the two files leaves completions without their metrics; the headline knows only the latter.
    evaluated = sorted(files.keys() & {row["step"] for row in run.evaluations}) or sorted(files)
    if not evaluated:
        return [], []
    steps = sorted({evaluated[0], evaluated[-1]})
    before, after = (pd.read_parquet(files[step]).fillna({"detail": ""}) for step in (steps[0], steps[-1]))
    both = before.merge(after, on=["index", "prompt"], suffixes=("_before", "_after")).sort_values("index")
    if len(steps) == 1:
        return steps, [ExampleGroup("All problems", len(both), len(both), records(both.head(12)))]
    correct_before, correct_after = both["outcome_before"] == "CORRECT", both["outcome_after"] == "CORRECT"
    groups = []
    for title, is_before, is_after, limit in CHANGES:
        rows = both[(correct_before == is_before) & (correct_after == is_after)]
        groups.append(ExampleGroup(title, len(rows), len(both), records(rows.head(limit))))
    return steps, groups


def highlight(text: str) -> Markup:
    """``text`` escaped for HTML, its tags and comparisons with the target wrapped in ``<span class=...>``."""
    return Markup(LANDMARKS.sub(lambda match: f'<span class="{match.lastgroup}">{match[0]}</span>', str(escape(text))))


def duration(seconds: float) -> str:
    """``seconds`` as a person would say them.

    >>> duration(42), duration(1265), duration(7500)
    ('42 s', '21 min', '2 h 5 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


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


def report_html(run: Run, curve: bytes) -> str:
    """The report as a page that needs no other file; every text of the run is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(highlight=highlight, percent=percent)
    steps, groups = example_groups(run)
    return environment.get_template("report.html").render(
        title=run.setting("run_name") or run.directory.resolve().name,
        key=f"eval/{run.task}/accuracy",
        run=run,
        interval=interval,
        number=number,
        comparisons=comparisons(run),
        facts=facts(run),
        curve=base64.b64encode(curve).decode("ascii"),
        steps=steps,
        groups=groups,
    )


def write_report(run_dir: Path) -> Path:
    """Writes ``curve.png`` and ``report.html`` into ``run_dir`` and returns the path of the latter.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    run = load_run(run_dir)
    curve, page = run_dir / "curve.png", run_dir / "report.html"
    plot_curve(run, curve)
    temporary = page.with_suffix(".tmp")
    temporary.write_text(report_html(run, curve.read_bytes()), encoding="utf-8", errors="replace")
    temporary.replace(page)  # a reader sees the old page or the new one, never half of it
    return page


def write_page(run_dir: Path, live: bool) -> None:
    """Placeholder."""


def main(argv: Sequence[str] | None = None) -> None:
    """Rebuilds the report of the run directory named on the command line; exits with 2 when it is none."""
    parser = argparse.ArgumentParser(prog="python -m r1zero.report", description="Rebuild the report of a run.")
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory, the one that holds metrics.jsonl")
    run_dir = parser.parse_args(argv).run
    try:
        load_run(run_dir)
    except ValueError as error:
        parser.error(str(error))
    page = write_report(run_dir)
    sys.stdout.write(f"{before_after_table(run_dir)}\n{page}\n")


if __name__ == "__main__":
    main()
