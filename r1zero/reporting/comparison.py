"""Several runs side by side: in what they differ, what they measured, and one page with their curves on common axes.

It shows what each run measured and says nothing about which is better: runs differ by seed, too.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.reporting.charts import COLORS, Chart, Line
from r1zero.reporting.differences import environment_that_differs, settings_that_differ
from r1zero.reporting.panels import BEHAVIOUR, DEVIATION, ENTROPY, HELD_OUT, LENGTH, REWARD, TRAINING, TRUNCATED
from r1zero.reporting.rendering import environment
from r1zero.reporting.series import band, evaluated_tasks, points, same
from r1zero.reporting.statements import repeated_behaviours, run_changes
from r1zero.reporting.text import aligned, interval, percent
from r1zero.runs.files import write_text
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run

SAME_SETTINGS = "No setting differs: the runs repeat one another."
BEHAVIOUR_OF = dict(zip(BEHAVIOURS, BEHAVIOUR.panels, strict=True))
COMPARED = (TRAINING, REWARD, DEVIATION, LENGTH, TRUNCATED, ENTROPY, *BEHAVIOUR.panels)  # after the held-out accuracy


def names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its own, and its directory's where two have the same."""
    own = [str(run.setting("run_name") or run.directory.resolve().name) for run in runs]
    return [
        name if own.count(name) == 1 else f"{name} ({run.directory.resolve().name})"
        for name, run in zip(own, runs, strict=True)
    ]


def table_rows(runs: Sequence[Run]) -> list[list[str]]:
    """A header, and for each run its first and last held-out accuracy with intervals and where curves changed.

    A run that was evaluated on several tasks has a row for each.
    """
    rows = [["run", "task", "steps", "first", "95% interval", "last", "95% interval", "alarms", "changed"]]
    for name, run in zip(names(runs), runs, strict=True):
        steps = str(run.rows[-1]["step"]) if run.rows else "0"
        alarms = sorted(
            {m.removeprefix("alarm/") for row in run.rows for m in row if m.startswith("alarm/") and row[m]}
        )
        changed = [f"{found.name} {found.step}" for found in run_changes(run) if found.kind != "unchanged"]
        for task in evaluated_tasks(run) or ["-"]:
            cells = [name, task, steps]
            for row in (run.evaluations[0], run.evaluations[-1]) if run.evaluations else ({}, {}):
                key = HELD_OUT.main.format(task=task)
                cells += [percent(number(row, key)), interval(row, key)]
            rows.append([*cells, ", ".join(alarms) or "-", ", ".join(changed) or "-"])
    return rows


def difference_tables(runs: Sequence[Run]) -> list[tuple[str, list[list[str]]]]:
    """(what, rows with a heading) of the settings that differ, then of what the runs ran on, if that differs."""
    tables = [("setting", settings_that_differ(runs)), ("environment", environment_that_differs(runs))]
    return [(what, [[what, *names(runs)], *rows]) for what, rows in tables if rows]


def comparison_table(runs: Sequence[Run]) -> str:
    """The tables for a terminal, the settings that differ first."""
    differing = difference_tables(runs)
    first = [f"{aligned(rows)}\n" for _, rows in differing]
    if "setting" not in dict(differing):
        first.insert(0, f"{SAME_SETTINGS}\n")
    return "\n".join([*first, aligned(table_rows(runs))])


def comparison_charts(runs: Sequence[Run]) -> list[Chart]:
    """Each metric of all runs in one chart; metrics that no run has, or that are 0 throughout, are left out."""
    named = list(zip(names(runs), runs, itertools.cycle(COLORS), strict=False))
    tasks = dict.fromkeys(task for run in runs for task in evaluated_tasks(run))
    charts = []
    for task in tasks:
        key = HELD_OUT.main.format(task=task)
        held_out = [
            Line(name, color, points(run.evaluations, key), band(run.evaluations, key), dots=True)
            for name, run, color in named
            if task in evaluated_tasks(run)
        ]
        title = HELD_OUT.title if len(tasks) == 1 else f"{HELD_OUT.title}, {task}"
        charts.append(Chart(title, held_out, HELD_OUT.note, HELD_OUT.percent))
    rows = [row for run in runs for row in run.rows]
    repeated = {BEHAVIOUR_OF[name].main for name in repeated_behaviours(rows)}
    if same(rows, REWARD.main, TRAINING.main):
        repeated.add(REWARD.main)
    for panel in COMPARED:
        if panel.main in repeated:
            continue
        curves = [Line(name, color, points(run.rows, panel.main), smooth=True) for name, run, color in named]
        shown = [line for line in curves if line.points]
        charts.append(Chart(panel.title, shown, panel.note, panel.percent, meaning=panel.meaning))
    return [chart for chart in charts if any(value for line in chart.lines for _, value in line.points)]


def write_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Write the page that compares ``runs`` to ``out``, whole or not at all."""
    template = environment().get_template("comparison.html")
    out.parent.mkdir(parents=True, exist_ok=True)
    page = template.render(
        num_runs=len(runs),
        differing={"setting": None, "environment": None} | dict(difference_tables(runs)),
        same=SAME_SETTINGS,
        results=table_rows(runs),
        charts=comparison_charts(runs),
    )
    write_text(page, out)
    return out
