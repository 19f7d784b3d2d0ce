"""The charts of one run, by section: the panels as the page shows them."""

import itertools
import re
from collections.abc import Mapping

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.change_point import Change
from r1zero.reporting.charts import COLORS, Chart, Line
from r1zero.reporting.completions import MAX_SNAPSHOTS, spread
from r1zero.reporting.panels import (
    ALARMS,
    BEHAVIOUR,
    COST,
    DEVIATION,
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
from r1zero.reporting.series import band, evaluated_tasks, points, same
from r1zero.reporting.statements import repeated_behaviours
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run

SPLIT_COLORS = {"all": "c1", "correct": "good", "wrong": "c5"}
SNAPSHOT_COLORS = ("c6", "c2", "c3", "c4", "c1")  # the first grey, as a base model
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
    return Chart(panel.title, lines(run, panel), panel.note, panel.percent, meaning=panel.meaning)


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
    note = f"{HELD_OUT.note} Grey band: that of the base model."
    if same(run.rows, REWARD.main, TRAINING.main):
        note += " The reward is the training accuracy."
    return Chart(
        "Accuracy",
        (
            Line("training", "c6", points(run.rows, TRAINING.main), smooth=True),
            Line("held-out, greedy", "c2", points(run.rows, greedy), dots=True),
            Line("held-out, sampled", "c1", points(run.evaluations, sampled), intervals, dots=True),
        ),
        note,
        percent=True,
        base=intervals[0][1:] if intervals else None,
        marks=mark(changes, "accuracy"),
    )


def tasks_chart(run: Run) -> Chart:
    """Held-out accuracy of each task, where there are several."""
    tasks = evaluated_tasks(run)
    curves = [
        Line(task, color, points(run.evaluations, HELD_OUT.main.format(task=task)), dots=True)
        for task, color in zip(tasks, itertools.cycle(COLORS), strict=False)
    ]
    return Chart("Held-out accuracy by task", curves if len(tasks) > 1 else (), percent=True)


def reward_chart(run: Run) -> Chart:
    """The reward over the mean score of each judge; none of them where it is a number that another curve shows."""
    ((name, metric),) = JUDGES.curves.items()
    rewards = [] if same(run.rows, REWARD.main, TRAINING.main) else lines(run, REWARD)
    judges = logged(run, metric, "judge")
    scores = [
        Line(name.format(judge=judge), COLORS[1 + i % 5], points(run.rows, key), smooth=True)
        for i, (judge, key) in enumerate(judges.items())
        if not any(same(run.rows, key, other) for other in (REWARD.main, TRAINING.main, f"outcome/{judge}/CORRECT"))
    ]
    title = REWARD.title if rewards else JUDGES.title if len(scores) != 1 else scores[0].name.capitalize()
    return Chart(title, [*scores, *rewards], REWARD.note)


def samples_charts(run: Run) -> list[Chart]:
    """pass@k and maj@k over k, of up to five evaluations that have them."""
    charts = []
    for panel, note in (
        (
            PASS_AT_K,
            "Chance that one of k samples is correct. Where the last curve falls below the first, coverage was lost.",
        ),
        (MAJ_AT_K, "Accuracy of the most frequent of k answers."),
    ):
        keys = {int(k): key for k, key in logged(run, panel.main, "k").items()}
        rows = {row["step"]: row for row in run.rows if any(number(row, key) is not None for key in keys.values())}
        by_k = [
            Line(f"step {step}", color, [(k, number(rows[step], keys[k])) for k in sorted(keys)], dots=True)
            for step, color in zip(spread(list(rows), MAX_SNAPSHOTS), SNAPSHOT_COLORS, strict=False)
        ]
        charts.append(Chart(panel.title, by_k, note, percent=True, x_name="k"))
    return charts


def behaviour_charts(run: Run, changes: Mapping[str, Change]) -> list[Chart]:
    """Each behaviour a training completion, split by outcome; those never seen are left out, and so are repetitions."""
    charts = []
    repeated = repeated_behaviours(run.rows)
    for name, panel in zip(BEHAVIOURS, BEHAVIOUR.panels, strict=True):
        if name not in repeated and any(number(row, panel.main) for row in run.rows):
            intervals = band(run.rows, panel.main)
            base = intervals[0][1:] if intervals else None
            others = " and ".join(other.replace("_", " ") for other, shown in repeated.items() if shown == name)
            note = f"The same number in this run: {others}." if others else ""
            marks = mark(changes, name)
            charts.append(Chart(panel.title, lines(run, panel), note, base=base, marks=marks, meaning=panel.meaning))
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
        tasks_chart(run),
        reward_chart(run),
        panel_chart(run, DEVIATION),
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
