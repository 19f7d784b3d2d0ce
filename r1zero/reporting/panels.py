"""Which curves the page of a run shows, by section, from its metrics."""

import re
from collections.abc import Mapping, Sequence

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.change_point import Change
from r1zero.reporting.charts import Chart, Line
from r1zero.runs.metrics import Row, number
from r1zero.runs.reading import Run

OUTCOME_COLORS = {
    "CORRECT": "good",
    "WRONG": "c5",
    "NO_ANSWER": "c6",
    "BAD_FORMAT": "c2",
    "TIMEOUT": "c4",
    "UNGRADEABLE": "ink",
}
COLORS = ("c1", "c2", "c3", "c4", "c5", "c6")


def points(rows: Sequence[Row], key: str) -> list[tuple[float, float | None]]:
    """(step, value) of the rows that have ``key``; None where it is no number."""
    return [(row["step"], number(row, key)) for row in rows if key in row]


def band(rows: Sequence[Row], key: str) -> list[tuple[float, float, float]]:
    """(step, low, high) of the rows that have the interval of ``key``."""
    ends = ((row["step"], number(row, f"{key}_low"), number(row, f"{key}_high")) for row in rows)
    return [(step, low, high) for step, low, high in ends if low is not None and high is not None]


def mark(changes: Mapping[str, Change], name: str) -> tuple[tuple[float, str], ...]:
    """The change point of ``name``, if there is one to draw."""
    change = changes.get(name)
    if change is None or change.step is None:
        return ()
    return ((change.step, f"{change.kind} at step {change.step}"),)


def accuracy_chart(run: Run, changes: Mapping[str, Change]) -> Chart:
    """Held-out accuracy with its interval, over that of training completions."""
    key = f"eval/{run.task}/accuracy"
    held_out = band(run.evaluations, key)
    return Chart(
        "Accuracy",
        (
            Line("training completions", "c6", points(run.rows, "train/accuracy"), smooth=True),
            Line("held-out, greedy", "c2", points(run.rows, f"eval/{run.task}/greedy_accuracy"), dots=True),
            Line("held-out, sampled", "c1", points(run.evaluations, key), held_out, dots=True),
        ),
        "Shaded: 95% interval. Grey band: that of the base model.",
        percent=True,
        base=held_out[0][1:] if held_out else None,
        marks=mark(changes, "accuracy"),
    )


def samples_charts(run: Run) -> list[Chart]:
    """pass@k and maj@k over k, of the first and the last evaluation that have them, and over steps."""
    prefix = f"eval/{run.task}/"
    charts = []
    for name, note in (
        (
            "pass",
            "Chance that one of k samples is correct. Where the last curve falls below the first, coverage was lost.",
        ),
        ("maj", "Accuracy of the most frequent of k answers."),
    ):
        keys = {int(m[1]): key for row in run.rows for key in row if (m := re.fullmatch(rf"{prefix}{name}@(\d+)", key))}
        rows = [row for row in run.rows if any(number(row, key) is not None for key in keys.values())]
        if not rows:
            continue
        ends = [rows[0], rows[-1]] if len(rows) > 1 else rows
        by_k = [
            Line(f"step {row['step']}", color, [(k, number(row, keys[k])) for k in sorted(keys)], dots=True)
            for row, color in zip(ends, ("c6", "c1"), strict=False)
        ]
        charts.append(Chart(f"{name}@k by k", by_k, note, percent=True, x_name="k"))
        over_steps = [
            Line(f"{name}@{k}", COLORS[i % 6], points(run.rows, keys[k]), dots=True) for i, k in enumerate(sorted(keys))
        ]
        charts.append(Chart(f"{name}@k", over_steps, "Held-out.", percent=True))
    return charts


def behaviour_charts(run: Run, changes: Mapping[str, Change]) -> list[Chart]:
    """Each behaviour a training completion, split by outcome; those never seen are left out."""
    charts = []
    for name in BEHAVIOURS:
        key = f"emergence/{name}"
        ends = band(run.rows, f"{key}/all")
        values = points(run.rows, f"{key}/all")
        if not any(value for _, value in values):
            continue
        lines = (
            Line("correct", "good", points(run.rows, f"{key}/correct"), smooth=True),
            Line("wrong", "c5", points(run.rows, f"{key}/wrong"), smooth=True),
            Line("all", "c1", values, smooth=True),
        )
        charts.append(
            Chart(name.replace("_", " "), lines, base=ends[0][1:] if ends else None, marks=mark(changes, name))
        )
    return charts


def outcome_charts(run: Run) -> list[Chart]:
    """A stack of outcomes for each judge, and one of groups."""
    judges = dict.fromkeys(
        m[1] for row in run.rows for key in row if (m := re.fullmatch(r"outcome/([^/]+)/[A-Z_]+", key))
    )
    charts = []
    for judge in judges:
        lines = [
            Line(outcome, color, points(run.rows, f"outcome/{judge}/{outcome}"))
            for outcome, color in OUTCOME_COLORS.items()
            if any(number(row, f"outcome/{judge}/{outcome}") for row in run.rows)
        ]
        charts.append(Chart(f"Outcomes, judge {judge}", lines, percent=True, stacked=True))
    groups = [
        Line(name, color, points(run.rows, f"groups/{key}"))
        for name, key, color in (
            ("all correct", "all_correct", "good"),
            ("mixed", "mixed", "c1"),
            ("all wrong", "all_wrong", "c5"),
        )
    ]
    charts.append(Chart("Groups", groups, "Only mixed groups have a gradient.", percent=True, stacked=True))
    return charts


def reward_chart(run: Run) -> Chart:
    """The reward, and the mean score of each judge."""
    keys = dict.fromkeys(key for row in run.rows for key in row if re.fullmatch(r"rewards/[^/]+/mean", key))
    lines = [
        Line(f"{key.split('/')[1]} score", COLORS[1 + i % 5], points(run.rows, key), smooth=True)
        for i, key in enumerate(keys)
    ]
    return Chart(
        "Reward", [*lines, Line("reward", "c1", points(run.rows, "reward"), smooth=True)], "Training completions."
    )


# (title, note, share or not, curves by name)
LEARNING = (
    (
        "Length, tokens",
        "",
        False,
        {
            "correct": "completions/mean_length_correct",
            "wrong": "completions/mean_length_wrong",
            "all": "completions/mean_length",
        },
    ),
    ("Entropy", "Nats a token.", False, {"entropy": "entropy"}),
)
HEALTH = (
    ("Truncated", "", True, {"truncated": "completions/clipped_ratio"}),
    ("Clipped tokens", "", True, {"clipped": "clip_ratio/region_mean"}),
    ("KL to the reference", "Nats a token.", False, {"kl": "kl"}),
    ("Gradient norm", "", False, {"gradient norm": "grad_norm"}),
    ("Loss", "", False, {"loss": "loss"}),
    (
        "Rollout against training",
        "|log p| apart, nats a token.",
        False,
        {"mean": "sampling/sampling_logp_difference/mean"},
    ),
)
COST = (
    (
        "Seconds a step",
        "",
        False,
        {"rollout": "time/rollout_s", "training": "time/train_s", "judges": "time/judge_s"},
    ),
    ("Tokens a second", "", False, {"tokens/s": "perf/tokens_per_s"}),
    ("Tokens to date", "", False, {"tokens": "num_tokens"}),
    ("Device-hours to date", "", False, {"device-hours": "cost/device_hours"}),
    ("Cost to date", "", False, {"cost": "cost/total"}),
)


def panels(run: Run, specs: Sequence[tuple[str, str, bool, dict[str, str]]]) -> list[Chart]:
    """A chart for each of ``specs`` with the run's curves."""
    fixed = {"correct": "good", "wrong": "c5", "all": "c1"}
    return [
        Chart(
            title,
            [
                Line(name, fixed.get(name, color), points(run.rows, key), smooth=True)
                for (name, key), color in zip(curves.items(), COLORS, strict=False)
            ],
            note,
            share,
        )
        for title, note, share, curves in specs
    ]


def sections(run: Run, changes: Mapping[str, Change]) -> list[tuple[str, str, list[Chart]]]:
    """(heading, explanation, charts) in the order of the page; charts without a value are left out."""
    behaviour_note = (
        "Counts a completion of the training prompts, by probes of words and signs. Grey band: 95% interval of the "
        "base model at step 1, before the first update. Dashed: where the curve changed."
    )
    found = [
        (
            "Learning",
            "",
            [accuracy_chart(run, changes), reward_chart(run), *panels(run, LEARNING), *samples_charts(run)],
        ),
        ("Reasoning behaviour", behaviour_note, behaviour_charts(run, changes)),
        ("Outcomes", "Shares of training completions and of groups.", outcome_charts(run)),
        ("Health", "", panels(run, HEALTH)),
        ("Cost", "", panels(run, COST)),
    ]
    drawn = [(title, note, [chart for chart in charts if not chart.empty]) for title, note, charts in found]
    return [section for section in drawn if section[2]]
