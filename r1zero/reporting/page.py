"""The page of a run: one self-contained HTML file, rewritten while the run goes on.

Its script is the project's own and named by its hash in the page's policy, so nothing that a model wrote can run.
Completions reach the script as JSON and are shown as text, never as markup.
"""

import base64
import datetime
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from r1zero.config.schema import AlarmConfig
from r1zero.measuring.alarm_evidence import judge_lines
from r1zero.measuring.alarms import ALARMS, evidence, training_rows
from r1zero.measuring.behaviours import BEHAVIOURS, EQUATION, MEANINGS
from r1zero.measuring.change_point import Change
from r1zero.measuring.step_metrics import PER_100_TOKENS, PER_COMPLETION, SPLITS, behaviour_rates
from r1zero.reporting.completions import browsable, evaluated_steps, evaluation, example_groups
from r1zero.reporting.rendering import TEMPLATES, environment
from r1zero.reporting.run_charts import sections
from r1zero.reporting.statements import accuracy_judge, comparisons, facts, repeated_behaviours, run_changes, statements
from r1zero.reporting.text import interval
from r1zero.runs.files import write_text
from r1zero.runs.layout import PAGE, completions_by_step
from r1zero.runs.metrics import number
from r1zero.runs.reading import Run
from rewards.tags import TAGS

REFRESH_S = 15

# What a reader looks for in an escaped completion: tags, comparisons with the target, worked equations.
ESCAPED_TAGS = "|".join(re.escape(str(escape(tag))) for tag in TAGS)
LANDMARKS = re.compile(
    rf"(?P<tag>{ESCAPED_TAGS})|(?P<yes>\(yes\))|(?P<miss>\((?:too (?:low|high)|no)\))|(?P<try>{EQUATION.pattern})"
)


def highlight(text: str) -> Markup:
    """``text`` escaped for HTML; tags, comparisons with the target and equations in ``<span class=...>``."""
    return Markup(LANDMARKS.sub(lambda match: f'<span class="{match.lastgroup}">{match[0]}</span>', str(escape(text))))


def embedded_json(value: Any) -> Markup:
    """``value`` for a ``<script type="application/json">``: no ``<`` in it can end the element."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


def alarm_cards(run: Run) -> list[dict[str, Any]]:
    """The alarms of a run in order of their first step, each with what was said last and completions that show it."""
    rows, judge = training_rows(run.rows), accuracy_judge(run)
    limits = AlarmConfig(**(run.setting("alarms") or {}))
    files = completions_by_step(run.directory, "train")
    cards = []
    for name, alarm in ALARMS.items():
        steps = [row["step"] for row in rows if row.get(f"alarm/{name}") == 1.0]
        if not steps or judge is None:
            continue
        said = alarm.condition([row for row in rows if row["step"] <= steps[-1]], limits, judge)
        examples: list[dict[str, Any]] = []
        if steps[0] in files:
            frame = pd.concat([pd.read_parquet(path) for path in files[steps[0]]], ignore_index=True)
            examples = [row | {"said": judge_lines(row)} for row in evidence(name, frame, judge)]
        cards.append(
            {
                "name": name,
                "title": alarm.title,
                "first": steps[0],
                "last": steps[-1],
                "num_steps": len(steps),
                "active": steps[-1] == rows[-1]["step"],
                "said": said,
                "remedy": alarm.remedy,
                "examples": examples,
            }
        )
    return sorted(cards, key=lambda card: card["first"])


def rate(rates: dict[tuple[str, str, str], tuple], unit: str, name: str, split: str) -> str:
    """A rate with its interval: ``1.85 (1.71 to 1.99)``; ``-`` where the split has no completion."""
    found = rates.get((unit, name, split))
    return "-" if found is None else f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})"


def behaviour_table(run: Run) -> dict[str, list[list[str]]]:
    """Split -> a heading, and rows of (behaviour, a completion before, after, per 100 tokens before, after), held-out.

    Behaviours that neither evaluation shows are left out, and those that another one repeats.
    """
    steps = evaluated_steps(run)
    if not steps:
        return {}
    frames = [evaluation(run, step) for step in (steps[0], steps[-1])]
    if any("length_tokens" not in frame or "truncated" not in frame for frame in frames):
        return {}
    before, after = (behaviour_rates(frame, "outcome", frame["index"]) for frame in frames)
    counts = [{name: frame[name].mean() for name in BEHAVIOURS if name in frame} for frame in frames]
    repeated = repeated_behaviours(counts, "{}")
    seen = [name for name in BEHAVIOURS if name not in repeated and any(count.get(name) for count in counts)]
    first, last = (f"step {step}" for step in (steps[0], steps[-1]))
    heading = ["held-out, 95% interval", f"a completion, {first}", last, f"per 100 tokens, {first}", last]
    units = [(unit, rates) for unit in (PER_COMPLETION, PER_100_TOKENS) for rates in (before, after)]
    return {
        split: [
            heading,
            *([shown_name(name), *(rate(rates, unit, name, split) for unit, rates in units)] for name in seen),
        ]
        for split in SPLITS
        if seen
    }


def shown_name(behaviour: str) -> str:
    """A behaviour as the page calls it."""
    return behaviour.replace("_", " ")


def before_and_after(run: Run, with_behaviours: bool) -> list[list[str]]:
    """The table of the first evaluation against the last, its heading first; one column where there is a single one."""
    steps = [f"step {row['step']}" for row in run.evaluations]
    rows = [list(line) for line in comparisons(run, with_behaviours)]
    if len(steps) > 1:
        return [["held-out", steps[0], steps[-1], "change"], *rows]
    return [["held-out", *steps], *(row[:2] for row in rows)] if rows else []


def render(run: Run, live: bool) -> str:
    """The page of ``run``; every text of the run is escaped.

    Args:
        run: The run.
        live: It goes on, so the page reloads itself.
    """
    templates = environment()
    templates.filters.update(highlight=highlight, embedded_json=embedded_json)
    found = run_changes(run)
    steps, groups = example_groups(run)
    rows, num_completions = browsable(run, accuracy_judge(run))
    behaviours = behaviour_table(run)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return templates.get_template("report.html").render(
        title=run.setting("run_name") or run.directory.resolve().name,
        run=run,
        key=f"eval/{run.task}/accuracy",
        comparisons=before_and_after(run, with_behaviours=not behaviours),
        behaviours=behaviours,
        meanings={shown_name(name): meaning for name, meaning in MEANINGS.items()},
        facts=facts(run),
        statements=statements(run, found),
        sections=sections(run, chart_marks(found)),
        alarms=alarm_cards(run),
        steps=steps,
        groups=groups,
        rows=rows,
        num_completions=num_completions,
        number=number,
        interval=interval,
        live=live,
        refresh_s=REFRESH_S,
        updated=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def chart_marks(changes: Sequence[Change]) -> dict[str, Change]:
    """The changes that are drawn, by name."""
    return {change.name: change for change in changes if change.kind != "unchanged"}


def write_page(run: Run, live: bool) -> Path:
    """Write ``report.html``, whole or not at all."""
    page = run.directory / PAGE
    write_text(render(run, live), page)
    return page
