"""Which metrics are shown together, and under which title: the one list behind page, comparison and W&B workspace.

It says nothing about drawing: ``run_charts`` draws it for one run, ``comparison`` for several, and
``r1zero.watching.workspace`` hands it to W&B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from r1zero.measuring.behaviours import BEHAVIOURS, MEANINGS
from r1zero.measuring.step_metrics import PER_100_TOKENS, PER_COMPLETION

# What may stand at a placeholder in the name of a metric, as a regular expression.
PLACEHOLDERS = {"task": "[^/]+", "judge": "[^/]+", "outcome": "[A-Z_]+", "alarm": "[^/]+", "k": r"\d+"}


@dataclass(frozen=True)
class Panel:
    """Metrics that belong together.

    Attributes:
        title: Its headline.
        curves: Name -> metric, the most important one first. Both may hold ``PLACEHOLDERS`` in braces.
        note: A line below it, such as the unit.
        percent: Values are shares.
        meaning: What is counted, shown when a reader points at the title.
    """

    title: str
    curves: Mapping[str, str]
    note: str = ""
    percent: bool = False
    meaning: str = ""

    @property
    def main(self) -> str:
        """The metric that is shown where there is room for one."""
        return next(iter(self.curves.values()))


@dataclass(frozen=True)
class Section:
    """Panels under one heading, with a line that explains them."""

    title: str
    panels: Sequence[Panel]
    note: str = ""


HELD_OUT = Panel(
    "Held-out accuracy",
    {
        "sampled": "eval/{task}/accuracy",
        "low": "eval/{task}/accuracy_low",
        "high": "eval/{task}/accuracy_high",
        "greedy": "eval/{task}/greedy_accuracy",
    },
    "Shaded: 95% interval.",
    percent=True,
)
TRAINING = Panel(
    "Training accuracy",
    {"accuracy": "train/accuracy", "low": "train/accuracy_low", "high": "train/accuracy_high"},
    percent=True,
)
REWARD = Panel("Reward", {"reward": "reward"}, "Training completions.")
DEVIATION = Panel(
    "Reward deviation within groups",
    {"deviation": "reward/std_within_groups"},
    "Standard deviation of the rewards of one prompt, mean over prompts: what advantages come from. 0 teaches nothing.",
)
JUDGES = Panel("Judges", {"{judge} score": "rewards/{judge}/mean"})
LENGTH = Panel(
    "Length, tokens",
    {
        "all": "completions/mean_length",
        "correct": "completions/mean_length_correct",
        "wrong": "completions/mean_length_wrong",
    },
)
ENTROPY = Panel("Entropy", {"entropy": "entropy"}, "Nats a token.")
PASS_AT_K = Panel("pass@k", {"pass@{k}": "eval/{task}/pass@{k}"}, "Held-out.", percent=True)
MAJ_AT_K = Panel("maj@k", {"maj@{k}": "eval/{task}/maj@{k}"}, "Held-out.", percent=True)
LEARNING = Section("Learning", (HELD_OUT, TRAINING, REWARD, DEVIATION, JUDGES, LENGTH, ENTROPY, PASS_AT_K, MAJ_AT_K))

BEHAVIOUR = Section(
    "Behaviour, a completion",
    [
        Panel(
            name.replace("_", " "),
            {split: f"{PER_COMPLETION}/{name}/{split}" for split in ("all", "correct", "wrong")},
            meaning=MEANINGS[name],
        )
        for name in BEHAVIOURS
    ],
    "Counts a completion of the training prompts, by probes of words and signs; point at a title to see which. Grey "
    "band: 95% interval of the base model at step 1, before the first update. Dashed: where the curve changed.",
)
BEHAVIOUR_PER_100_TOKENS = Section(
    "Behaviour, per 100 tokens",
    [
        Panel(name.replace("_", " "), {"all": f"{PER_100_TOKENS}/{name}/all"}, meaning=MEANINGS[name])
        for name in BEHAVIOURS
    ],
)

OUTCOME = Panel("Outcomes", {"{outcome}": "outcome/{judge}/{outcome}"}, percent=True)
GROUPS = Panel(
    "Groups",
    {"all correct": "groups/all_correct", "mixed": "groups/mixed", "all wrong": "groups/all_wrong"},
    "Only mixed groups have a gradient.",
    percent=True,
)
OUTCOMES = Section("Outcomes", (OUTCOME, GROUPS), "Shares of training completions and of groups.")

ALARMS = Panel("Alarms", {"{alarm}": "alarm/{alarm}"})
TRUNCATED = Panel("Truncated", {"truncated": "completions/clipped_ratio"}, percent=True)
HEALTH = Section(
    "Health",
    (
        ALARMS,
        TRUNCATED,
        Panel("Clipped tokens", {"clipped": "clip_ratio/region_mean"}, percent=True),
        Panel("KL to the reference", {"kl": "kl"}, "Nats a token."),
        Panel("Gradient norm", {"gradient norm": "grad_norm"}),
        Panel("Loss", {"loss": "loss"}),
        Panel(
            "Rollout against training",
            {"mean": "sampling/sampling_logp_difference/mean"},
            "|log p| apart, nats a token.",
        ),
    ),
)

COST = Section(
    "Cost",
    (
        Panel("Seconds a step", {"rollout": "time/rollout_s", "training": "time/train_s", "judges": "time/judge_s"}),
        Panel("Tokens a second", {"tokens/s": "perf/tokens_per_s"}),
        Panel("Tokens to date", {"tokens": "num_tokens"}),
        Panel("Device-hours to date", {"device-hours": "cost/device_hours"}),
        Panel("Cost to date", {"cost": "cost/total"}),
    ),
)

SECTIONS = (LEARNING, BEHAVIOUR, BEHAVIOUR_PER_100_TOKENS, OUTCOMES, HEALTH, COST)
