"""The saved view at Weights & Biases: the panels of ``r1zero.reporting.panels``, in their sections"""

import json
from typing import Any

from r1zero.reporting.panels import BEHAVIOUR, LEARNING, PLACEHOLDERS, SECTIONS, Panel

NAME = "Reasoning emergence"


def metrics(panel: Panel) -> list[str] | str:
    """The metrics of a panel; where tasks, judges or the like come into their names, one regular expression for them.

    >>> metrics(Panel("Entropy", {"entropy": "entropy"}))
    ['entropy']
    >>> metrics(Panel("pass@k", {"pass@{k}": "eval/{task}/pass@{k}"}))
    '^(eval/[^/]+/pass@\\\\d+)$'
    """
    curves = list(panel.curves.values())
    filled = [metric.format(**PLACEHOLDERS) for metric in curves]
    return curves if filled == curves else f"^({'|'.join(filled)})$"


def build_workspace(entity: str, project: str) -> Any:
    """The workspace as an object of ``wandb-workspaces``; nothing is sent.

    Raises:
        RuntimeError: ``wandb-workspaces`` is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise RuntimeError("The dashboard needs wandb-workspaces: pip install wandb-workspaces.") from error

    def plot(panel: Panel, place: int) -> Any:
        layout = wr.Layout(x=place % 3 * 8, y=place // 3 * 6, w=8, h=6)
        shown = metrics(panel)
        curves = {"metric_regex": shown} if isinstance(shown, str) else {"y": shown}
        return wr.LinePlot(title=panel.title, x="Step", layout=layout, **curves)

    sections = [
        ws.Section(
            name=section.title,
            panels=[plot(panel, place) for place, panel in enumerate(section.panels)],
            is_open=section in (LEARNING, BEHAVIOUR),
        )
        for section in SECTIONS
    ]
    return ws.Workspace(entity=entity, project=project, name=NAME, sections=sections)


def describe(workspace: Any) -> str:
    """The workspace as JSON: its sections, panels and metrics."""
    sections = [
        {
            "section": section.name,
            "open": section.is_open,
            "panels": [{"title": panel.title, "metrics": panel.metric_regex or panel.y} for panel in section.panels],
        }
        for section in workspace.sections
    ]
    view = {"entity": workspace.entity, "project": workspace.project, "name": workspace.name, "sections": sections}
    return json.dumps(view, indent=2)


def save(workspace: Any, url: str | None) -> str:
    """Save ``workspace`` as a new view, or over the one at ``url``; the address of the view."""
    if url is None:
        return str(workspace.save().url)
    existing = type(workspace).from_url(url)
    existing.name, existing.sections = workspace.name, workspace.sections
    return str(existing.save().url)
