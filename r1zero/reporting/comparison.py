"""Several runs side by side: a table, and one page with their curves on common axes.

It shows what each run measured and says nothing about which is better: runs differ by seed, too.
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.reporting.charts import Chart, Line, svg
from r1zero.reporting.page import TEMPLATES
from r1zero.reporting.panels import COLORS, band, points
from r1zero.reporting.statements import run_changes
from r1zero.reporting.text import aligned, interval, percent
from r1zero.runs.files import write_text
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run

CURVES = (
    ("Training accuracy", "train/accuracy", True),
    ("Reward", "reward", False),
    ("Length, tokens", "completions/mean_length", False),
    ("Truncated", "completions/clipped_ratio", True),
    ("Entropy", "entropy", False),
    *((name.replace("_", " "), f"emergence/{name}/all", False) for name in BEHAVIOURS),
)


def names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its own, and its directory's where two have the same."""
    own = [str(run.setting("run_name") or run.directory.resolve().name) for run in runs]
    return [
        name if own.count(name) == 1 else f"{name} ({run.directory.resolve().name})"
        for name, run in zip(own, runs, strict=True)
    ]


def table_rows(runs: Sequence[Run]) -> list[list[str]]:
    """A header, and for each run its first and last held-out accuracy with intervals and where curves changed."""
    rows = [["run", "task", "steps", "first", "95% interval", "last", "95% interval", "alarms", "changed"]]
    for name, run in zip(names(runs), runs, strict=True):
        key = f"eval/{run.task}/accuracy"
        ends = [run.evaluations[0], run.evaluations[-1]] if run.evaluations else [{}, {}]
        alarms = sorted(
            {m.removeprefix("alarm/") for row in run.rows for m in row if m.startswith("alarm/") and row[m]}
        )
        changed = [f"{found.name} {found.step}" for found in run_changes(run) if found.kind != "unchanged"]
        cells = [name, run.task or "-", str(run.rows[-1]["step"]) if run.rows else "0"]
        for row in ends:
            cells += [percent(number(row, key)), interval(row, key)]
        rows.append([*cells, ", ".join(alarms) or "-", ", ".join(changed) or "-"])
    return rows


def comparison_table(runs: Sequence[Run]) -> str:
    """The table for a terminal."""
    return aligned(table_rows(runs))


def comparison_charts(runs: Sequence[Run]) -> list[Chart]:
    """Each metric of all runs in one chart; metrics that no run has, or that are 0 throughout, are left out."""
    named = list(zip(names(runs), runs, [COLORS[i % len(COLORS)] for i in range(len(runs))], strict=True))
    held_out = [
        Line(
            name,
            color,
            points(run.evaluations, f"eval/{run.task}/accuracy"),
            band(run.evaluations, f"eval/{run.task}/accuracy"),
            dots=True,
        )
        for name, run, color in named
    ]
    charts = [Chart("Held-out accuracy", held_out, "Shaded: 95% interval.", percent=True)]
    for title, key, share in CURVES:
        lines = [Line(name, color, points(run.rows, key), smooth=True) for name, run, color in named]
        charts.append(Chart(title, [line for line in lines if line.points], percent=share))
    return [chart for chart in charts if any(value for line in chart.lines for _, value in line.points)]


def write_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Write the page that compares ``runs`` to ``out``, whole or not at all."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(svg=svg)
    header, *rows = table_rows(runs)
    html = environment.get_template("comparison.html").render(
        header=header,
        rows=rows,
        charts=comparison_charts(runs),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(html, out)
    return out
