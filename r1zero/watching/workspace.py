"""The saved view at Weights & Biases: the panels of ``r1zero.reporting.panels``, in their sections.

The first run of a project that is online makes it, if ``wandb-workspaces`` is there; ``python -m r1zero.dashboard``
makes or replaces one by hand.
"""

import json
import logging
from importlib.util import find_spec
from typing import Any

from r1zero.reporting.panels import BEHAVIOUR, LEARNING, PLACEHOLDERS, SECTIONS, Panel
from r1zero.watching.wandb_names import wandb_name

log = logging.getLogger(__name__)

NAME = "Reasoning emergence"
ID = "r1zeropanel"  # of the view that runs make, so that each project has one; as long as W&B's own


def metrics(panel: Panel) -> list[str] | str:
    """W&B's names of a panel's metrics; where tasks, judges or the like come into them, one regular expression for all.

    >>> metrics(Panel("Entropy", {"entropy": "entropy"}))
    ['basics/entropy']
    >>> metrics(Panel("pass@k", {"pass@{k}": "eval/{task}/pass@{k}"}))
    '^(accuracy/pass@\\\\d+/[^/]+)$'
    """
    curves = [wandb_name(metric) for metric in panel.curves.values()]
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


def make_once(entity: str, project: str) -> str | None:
    """The address of the project's view, which is made if it is not there and never changed; None if it cannot be."""
    if find_spec("wandb_workspaces") is None:
        return None
    try:
        workspace = build_workspace(entity, project)
        address = f"https://wandb.ai/{entity}/{project}?nw={ID}"
        try:
            return str(type(workspace).from_url(address).url)
        except ValueError:  # it is not there yet
            workspace._internal_name = f"nw-{ID}-v"
            return save(workspace, None)
    except Exception as error:  # whatever the view fails at, the run goes on: its panels are in sections without it
        log.warning("W&B: the view '%s' could not be made (%s).", NAME, error)
        return None


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
