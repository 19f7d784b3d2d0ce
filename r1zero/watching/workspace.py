"""The saved view at Weights & Biases: accuracy, behaviours, outcomes, health and cost, in sections"""

import json
from typing import Any

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.step_metrics import PER_100_TOKENS, PER_COMPLETION

NAME = "Reasoning emergence"


# Section -> (panel title, its metrics). A regular expression stands for the keys of tasks and judges.
SECTIONS: dict[str, list[tuple[str, list[str] | str]]] = {
    "Learning": [
        ("Held-out accuracy", r"^eval/[^/]+/(accuracy|accuracy_low|accuracy_high|greedy_accuracy)$"),
        ("Accuracy of training completions", ["train/accuracy", "train/accuracy_low", "train/accuracy_high"]),
        ("Reward", ["reward"]),
        ("Judges", r"^rewards/[^/]+/mean$"),
        ("pass@k", r"^eval/[^/]+/pass@\d+$"),
        ("maj@k", r"^eval/[^/]+/maj@\d+$"),
    ],
    "Behaviour, a completion": [
        (name, [f"{PER_COMPLETION}/{name}/{split}" for split in ("all", "correct", "wrong")]) for name in BEHAVIOURS
    ],
    "Behaviour, per 100 tokens": [(name, [f"{PER_100_TOKENS}/{name}/all"]) for name in BEHAVIOURS],
    "Outcomes": [
        ("Outcomes by judge", r"^outcome/.+$"),
        ("Groups", ["groups/all_correct", "groups/mixed", "groups/all_wrong"]),
    ],
    "Health": [
        ("Alarms", r"^alarm/.+$"),
        (
            "Length, tokens",
            ["completions/mean_length", "completions/mean_length_correct", "completions/mean_length_wrong"],
        ),
        ("Truncated", ["completions/clipped_ratio"]),
        ("Entropy", ["entropy"]),
        ("Clipped tokens", ["clip_ratio/region_mean"]),
        ("KL to the reference", ["kl"]),
        ("Rollout against training", ["sampling/sampling_logp_difference/mean"]),
        ("Gradient norm", ["grad_norm"]),
    ],
    "Cost": [
        ("Seconds a step", ["time/rollout_s", "time/train_s", "time/judge_s"]),
        ("Tokens a second", ["perf/tokens_per_s"]),
        ("Tokens to date", ["num_tokens"]),
        ("Device-hours to date", ["cost/device_hours"]),
    ],
}


def build_workspace(entity: str, project: str) -> Any:
    """The workspace as an object of ``wandb-workspaces``; nothing is sent.

    Raises:
        RuntimeError: ``wandb-workspaces`` is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise RuntimeError("The dashboard needs wandb-workspaces: pip install '.[dashboard]'.") from error

    def panel(title: str, metrics: list[str] | str, place: int) -> Any:
        layout = wr.Layout(x=place % 3 * 8, y=place // 3 * 6, w=8, h=6)
        curves = {"metric_regex": metrics} if isinstance(metrics, str) else {"y": metrics}
        return wr.LinePlot(title=title, x="Step", layout=layout, **curves)

    sections = [
        ws.Section(
            name=name,
            panels=[panel(title, metrics, place) for place, (title, metrics) in enumerate(panels)],
            is_open=name in ("Learning", "Behaviour, a completion"),
        )
        for name, panels in SECTIONS.items()
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
