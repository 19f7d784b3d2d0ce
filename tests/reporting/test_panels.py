"""One list of panels, and page, comparison and W&B workspace as views of it."""

import re
from collections import Counter
from pathlib import Path

from r1zero.measuring.alarms import ALARMS
from r1zero.measuring.behaviours import BEHAVIOURS, MEANINGS
from r1zero.reporting.comparison import comparison_charts
from r1zero.reporting.panels import COST, DEVIATION, HEALTH, LENGTH, PLACEHOLDERS, SECTIONS, Panel
from r1zero.reporting.run_charts import logged, sections
from r1zero.reporting.statements import comparisons
from r1zero.runs.metrics import Row
from r1zero.runs.reading import Run
from r1zero.watching.wandb_names import wandb_name
from r1zero.watching.workspace import metrics
from rewards import Outcome


def run_of(rows: list[Row]) -> Run:
    """A run on Countdown with these rows of metrics."""
    return Run(
        directory=Path("run"), rows=rows, num_unreadable=0, config_text="", config={}, environment={}, task="countdown"
    )


def step_row(step: int) -> Row:
    """A value of its own for every metric in the list, and for the ends of the intervals."""
    at = {"task": "countdown", "judge": "format", "outcome": "WRONG", "alarm": "truncation", "k": "4"}
    keys = [metric.format(**at) for section in SECTIONS for panel in section.panels for metric in panel.curves.values()]
    return {"step": step} | {key: 0.5 + number / 1000 for number, key in enumerate(keys)}


def test_a_metric_has_one_panel_and_a_panel_one_title() -> None:
    everything = [metric for section in SECTIONS for panel in section.panels for metric in panel.curves.values()]
    assert max(Counter(everything).values()) == 1
    for section in SECTIONS:
        assert max(Counter(panel.title for panel in section.panels).values()) == 1


def test_the_views_use_the_titles_of_the_list() -> None:
    run = run_of([step_row(1), step_row(2)])
    titles = {panel.title for section in SECTIONS for panel in section.panels}
    assert {chart.title for chart in comparison_charts([run])} <= titles
    drawn = {section.title: [chart.title for chart in charts] for section, charts in sections(run, {})}
    assert list(drawn) == ["Learning", "Behaviour, a completion", "Outcomes", "Health", "Cost"]
    assert drawn["Learning"] == [
        "Accuracy",
        "Reward",
        DEVIATION.title,
        LENGTH.title,
        "Entropy",
        "pass@k",
        "maj@k",
    ]
    assert drawn["Outcomes"] == ["Outcomes, judge format", "Groups"]
    assert drawn["Health"] == [panel.title for panel in HEALTH.panels[1:]]  # alarms are text on the page
    assert drawn["Cost"] == [panel.title for panel in COST.panels]


def test_a_number_is_drawn_once() -> None:
    """As in the default run: one judge pays, so reward, score, accuracy and share of CORRECT are one number; each
    verification is one of the checks.
    """
    accuracy = ("train/accuracy", "reward", "rewards/countdown/mean", "outcome/countdown/CORRECT")
    counts = ("emergence/verification/all", "emergence/checks/all")
    rows = [
        {"step": step, **dict.fromkeys(accuracy, 0.1 * step), **dict.fromkeys(counts, 2.0 + step)} for step in (1, 2)
    ]
    drawn = {section.title: charts for section, charts in sections(run_of(rows), {})}
    (chart,) = drawn["Learning"]
    assert chart.title == "Accuracy" and "The reward is the training accuracy." in chart.note
    (behaviour,) = drawn["Behaviour, a completion"]
    assert (behaviour.title, behaviour.note) == ("checks", "The same number in this run: verification.")
    assert [chart.title for chart in comparison_charts([run_of(rows)])] == ["Training accuracy", "checks"]
    # A second run in which they differ: both are drawn.
    other = [row | {"emergence/checks/all": 1.0, "reward": 0.9} for row in rows]
    titles = [chart.title for chart in comparison_charts([run_of(rows), run_of(other)])]
    assert titles == ["Training accuracy", "Reward", "verification", "checks"]


def test_several_tasks_have_a_curve_each() -> None:
    accuracies = {"eval/countdown/accuracy": 0.4, "eval/gsm8k/accuracy": 0.2, "eval/mean/accuracy": 0.3}
    run = run_of([{"step": 0} | accuracies, {"step": 2} | accuracies])
    (section,) = sections(run, {})
    by_task = section[1][1]
    assert by_task.title == "Held-out accuracy by task"
    assert [line.name for line in by_task.lines] == ["countdown", "gsm8k", "mean"]
    assert [chart.title for chart in comparison_charts([run])] == [
        f"Held-out accuracy, {task}" for task in ("countdown", "gsm8k", "mean")
    ]
    assert [line.label for line in comparisons(run)] == [
        "accuracy, sampled",
        "  95% interval",
        "accuracy, gsm8k",
        "accuracy, mean",
    ]


def test_every_behaviour_says_what_it_means() -> None:
    assert list(MEANINGS) == list(BEHAVIOURS)


def test_placeholders_match_what_is_logged_and_nothing_else() -> None:
    rows = [{"step": 1, "eval/countdown/pass@4": 0.5, "eval/countdown/pass@4_low": 0.4, "eval/other/pass@8": 0.1}]
    assert logged(run_of(rows), "eval/{task}/pass@{k}", "k") == {"4": "eval/countdown/pass@4"}
    assert all(re.fullmatch(PLACEHOLDERS["outcome"], outcome.name) for outcome in Outcome)
    assert all(re.fullmatch(PLACEHOLDERS["alarm"], name) for name in ALARMS)
    expression = metrics(Panel("pass@k", {"pass@{k}": "eval/{task}/pass@{k}"}))
    assert isinstance(expression, str)
    found = [name for name in map(wandb_name, rows[0]) if re.search(expression, name)]
    assert found == ["accuracy/pass@4/countdown", "accuracy/pass@8/other"]
