"""Several runs side by side: a table, and one page with their curves on common axes.

It shows what each run measured and says nothing about which is better: runs differ by seed, too.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from r1zero.reporting.charts import COLORS, Chart, Line
from r1zero.reporting.panels import BEHAVIOUR, ENTROPY, HELD_OUT, LENGTH, REWARD, TRAINING, TRUNCATED
from r1zero.reporting.rendering import environment
from r1zero.reporting.series import band, points
from r1zero.reporting.statements import run_changes
from r1zero.reporting.text import aligned, interval, percent
from r1zero.runs.files import write_text
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run

COMPARED = (TRAINING, REWARD, LENGTH, TRUNCATED, ENTROPY, *BEHAVIOUR.panels)  # after the held-out accuracy


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
    named = list(zip(names(runs), runs, itertools.cycle(COLORS), strict=False))
    held_out = []
    for name, run, color in named:
        key = HELD_OUT.main.format(task=run.task)
        held_out.append(Line(name, color, points(run.evaluations, key), band(run.evaluations, key), dots=True))
    charts = [Chart(HELD_OUT.title, held_out, HELD_OUT.note, HELD_OUT.percent)]
    for panel in COMPARED:
        curves = [Line(name, color, points(run.rows, panel.main), smooth=True) for name, run, color in named]
        charts.append(Chart(panel.title, [line for line in curves if line.points], panel.note, panel.percent))
    return [chart for chart in charts if any(value for line in chart.lines for _, value in line.points)]


def write_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Write the page that compares ``runs`` to ``out``, whole or not at all."""
    header, *rows = table_rows(runs)
    template = environment().get_template("comparison.html")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(template.render(header=header, rows=rows, charts=comparison_charts(runs)), out)
    return out
