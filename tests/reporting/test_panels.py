"""One list of panels, and page, comparison and W&B workspace as views of it."""

import re
from collections import Counter
from pathlib import Path

from r1zero.measuring.alarms import ALARMS
from r1zero.reporting.comparison import comparison_charts
from r1zero.reporting.panels import COST, HEALTH, LENGTH, PLACEHOLDERS, SECTIONS, Panel
from r1zero.reporting.run_charts import logged, sections
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
    """One value for every metric in the list, and for the ends of the intervals."""
    at = {"task": "countdown", "judge": "format", "outcome": "WRONG", "alarm": "truncation", "k": "4"}
    keys = [metric.format(**at) for section in SECTIONS for panel in section.panels for metric in panel.curves.values()]
    return {"step": step} | dict.fromkeys(keys, 0.5)


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
        LENGTH.title,
        "Entropy",
        "pass@k by k",
        "pass@k",
        "maj@k by k",
        "maj@k",
    ]
    assert drawn["Outcomes"] == ["Outcomes, judge format", "Groups"]
    assert drawn["Health"] == [panel.title for panel in HEALTH.panels[1:]]  # alarms are text on the page
    assert drawn["Cost"] == [panel.title for panel in COST.panels]


def test_placeholders_match_what_is_logged_and_nothing_else() -> None:
    rows = [{"step": 1, "eval/countdown/pass@4": 0.5, "eval/countdown/pass@4_low": 0.4, "eval/other/pass@8": 0.1}]
    assert logged(run_of(rows), "eval/{task}/pass@{k}", "k") == {"4": "eval/countdown/pass@4"}
    assert all(re.fullmatch(PLACEHOLDERS["outcome"], outcome.name) for outcome in Outcome)
    assert all(re.fullmatch(PLACEHOLDERS["alarm"], name) for name in ALARMS)
    expression = metrics(Panel("pass@k", {"pass@{k}": "eval/{task}/pass@{k}"}))
    assert isinstance(expression, str)
    found = [name for name in map(wandb_name, rows[0]) if re.search(expression, name)]
    assert found == ["accuracy/pass@4/countdown", "accuracy/pass@8/other"]
