"""The charts of one run, by section: the panels as the page shows them."""

import re
from collections.abc import Mapping

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.change_point import Change
from r1zero.reporting.charts import COLORS, Chart, Line
from r1zero.reporting.panels import (
    ALARMS,
    BEHAVIOUR,
    COST,
    ENTROPY,
    GROUPS,
    HEALTH,
    HELD_OUT,
    JUDGES,
    LEARNING,
    LENGTH,
    MAJ_AT_K,
    OUTCOME,
    OUTCOMES,
    PASS_AT_K,
    PLACEHOLDERS,
    REWARD,
    TRAINING,
    Panel,
    Section,
)
from r1zero.reporting.series import band, points
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run

SPLIT_COLORS = {"all": "c1", "correct": "good", "wrong": "c5"}
GROUP_COLORS = ("good", "c1", "c5")
OUTCOME_COLORS = {
    "CORRECT": "good",
    "WRONG": "c5",
    "NO_ANSWER": "c6",
    "BAD_FORMAT": "c2",
    "TIMEOUT": "c4",
    "UNGRADEABLE": "ink",
}


def logged(run: Run, metric: str, placeholder: str) -> dict[str, str]:
    """What stands at ``placeholder`` of ``metric`` in the run's rows -> the metric with it, in order of appearance."""
    task = {"task": re.escape(run.task or "")}
    pattern = re.compile(metric.format(**PLACEHOLDERS | task | {placeholder: f"({PLACEHOLDERS[placeholder]})"}))
    return {match[1]: key for row in run.rows for key in row if (match := pattern.fullmatch(key))}


def lines(run: Run, panel: Panel) -> list[Line]:
    """The curves of a panel without placeholders; what is split by outcome in fixed colours, its total on top."""
    curves = zip(panel.curves.items(), COLORS, strict=False)
    drawn = [
        Line(name, SPLIT_COLORS.get(name, color), points(run.rows, metric), smooth=True)
        for (name, metric), color in curves
    ]
    return sorted(drawn, key=lambda line: line.name == "all")


def panel_chart(run: Run, panel: Panel) -> Chart:
    """A panel without placeholders as it is."""
    return Chart(panel.title, lines(run, panel), panel.note, panel.percent)


def mark(changes: Mapping[str, Change], name: str) -> tuple[tuple[float, str], ...]:
    """The change point of ``name``, if there is one to draw."""
    change = changes.get(name)
    if change is None or change.step is None:
        return ()
    return ((change.step, f"{change.kind} at step {change.step}"),)


def accuracy_chart(run: Run, changes: Mapping[str, Change]) -> Chart:
    """Held-out accuracy with its interval, over that of training completions."""
    sampled, greedy = (HELD_OUT.curves[name].format(task=run.task) for name in ("sampled", "greedy"))
    intervals = band(run.evaluations, sampled)
    return Chart(
        "Accuracy",
        (
            Line("training completions", "c6", points(run.rows, TRAINING.main), smooth=True),
            Line("held-out, greedy", "c2", points(run.rows, greedy), dots=True),
            Line("held-out, sampled", "c1", points(run.evaluations, sampled), intervals, dots=True),
        ),
        f"{HELD_OUT.note} Grey band: that of the base model.",
        percent=True,
        base=intervals[0][1:] if intervals else None,
        marks=mark(changes, "accuracy"),
    )


def reward_chart(run: Run) -> Chart:
    """The reward over the mean score of each judge."""
    ((name, metric),) = JUDGES.curves.items()
    scores = [
        Line(name.format(judge=judge), COLORS[1 + i % 5], points(run.rows, key), smooth=True)
        for i, (judge, key) in enumerate(logged(run, metric, "judge").items())
    ]
    return Chart(REWARD.title, [*scores, *lines(run, REWARD)], REWARD.note)


def samples_charts(run: Run) -> list[Chart]:
    """pass@k and maj@k over k, of the first and the last evaluation that have them, and over steps."""
    charts = []
    for panel, note in (
        (
            PASS_AT_K,
            "Chance that one of k samples is correct. Where the last curve falls below the first, coverage was lost.",
        ),
        (MAJ_AT_K, "Accuracy of the most frequent of k answers."),
    ):
        ((name, metric),) = panel.curves.items()
        keys = {int(k): key for k, key in logged(run, metric, "k").items()}
        rows = [row for row in run.rows if any(number(row, key) is not None for key in keys.values())]
        if not rows:
            continue
        ends = [rows[0], rows[-1]] if len(rows) > 1 else rows
        by_k = [
            Line(f"step {row['step']}", color, [(k, number(row, keys[k])) for k in sorted(keys)], dots=True)
            for row, color in zip(ends, ("c6", "c1"), strict=False)
        ]
        charts.append(Chart(f"{panel.title} by k", by_k, note, percent=True, x_name="k"))
        over_steps = [
            Line(name.format(k=k), COLORS[i % 6], points(run.rows, keys[k]), dots=True)
            for i, k in enumerate(sorted(keys))
        ]
        charts.append(Chart(panel.title, over_steps, panel.note, panel.percent))
    return charts


def behaviour_charts(run: Run, changes: Mapping[str, Change]) -> list[Chart]:
    """Each behaviour a training completion, split by outcome; those never seen are left out."""
    charts = []
    for name, panel in zip(BEHAVIOURS, BEHAVIOUR.panels, strict=True):
        if any(number(row, panel.main) for row in run.rows):
            intervals = band(run.rows, panel.main)
            base = intervals[0][1:] if intervals else None
            charts.append(Chart(panel.title, lines(run, panel), base=base, marks=mark(changes, name)))
    return charts


def outcome_charts(run: Run) -> list[Chart]:
    """A stack of outcomes for each judge, and one of groups."""
    charts = []
    for judge in logged(run, OUTCOME.main, "judge"):
        keys = {outcome: OUTCOME.main.format(judge=judge, outcome=outcome) for outcome in OUTCOME_COLORS}
        stack = [
            Line(outcome, OUTCOME_COLORS[outcome], points(run.rows, key))
            for outcome, key in keys.items()
            if any(number(row, key) for row in run.rows)
        ]
        charts.append(Chart(f"{OUTCOME.title}, judge {judge}", stack, OUTCOME.note, percent=True, stacked=True))
    groups = [
        Line(name, color, points(run.rows, metric))
        for (name, metric), color in zip(GROUPS.curves.items(), GROUP_COLORS, strict=True)
    ]
    return [*charts, Chart(GROUPS.title, groups, GROUPS.note, percent=True, stacked=True)]


def sections(run: Run, changes: Mapping[str, Change]) -> list[tuple[Section, list[Chart]]]:
    """The sections of the page with their charts; charts without a value are left out.

    Behaviour per 100 tokens is on the page as a table, and alarms as text.
    """
    learning = [
        accuracy_chart(run, changes),
        reward_chart(run),
        panel_chart(run, LENGTH),
        panel_chart(run, ENTROPY),
        *samples_charts(run),
    ]
    found = [
        (LEARNING, learning),
        (BEHAVIOUR, behaviour_charts(run, changes)),
        (OUTCOMES, outcome_charts(run)),
        (HEALTH, [panel_chart(run, panel) for panel in HEALTH.panels if panel is not ALARMS]),
        (COST, [panel_chart(run, panel) for panel in COST.panels]),
    ]
    drawn = [(section, [chart for chart in charts if not chart.empty]) for section, charts in found]
    return [(section, charts) for section, charts in drawn if charts]
