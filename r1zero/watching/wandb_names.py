"""What a metric of ``metrics.jsonl`` is called at Weights & Biases, and which of its values the table of runs shows.

W&B makes a section of panels of each first part of a name and sorts sections by it. What a person looks at first is in
``accuracy``, ``basics`` and ``behaviour``, which come before ``detail``, where everything else is under its own name.
"""

import re

STEP = "step"

# Metric -> name; the first pattern that fits a whole name counts. A task may be called anything.
SECTIONS: tuple[tuple[str, str], ...] = (
    (r"eval/(?P<task>.+)/accuracy", r"accuracy/held_out/\g<task>"),
    (r"eval/(?P<task>.+)/greedy_accuracy", r"accuracy/held_out_greedy/\g<task>"),
    (r"eval/(?P<task>.+)/(?P<estimate>(?:pass|maj)@(?:\d+|{k}))", r"accuracy/\g<estimate>/\g<task>"),
    (r"train/accuracy", r"accuracy/training"),
    (r"reward", r"basics/reward"),
    (r"reward/std_within_groups", r"basics/reward_std_within_groups"),
    (r"completions/mean_length(?P<split>|_correct|_wrong)", r"basics/length\g<split>"),
    (r"completions/clipped_ratio", r"basics/truncated"),
    (r"entropy", r"basics/entropy"),
    (r"emergence/(?P<behaviour>[^/]+)/all", r"behaviour/\g<behaviour>"),
)
DETAIL = "detail/"

# Name or prefix at W&B -> what the table of runs shows of it, the extreme that says how far the run has come first.
# None is W&B's own way, the last value under the plain name.
SUMMARIES: dict[str, str | None] = {
    "accuracy/*": "max,last",
    "basics/reward": "max,last",
    "basics/reward_std_within_groups": "min,last",
    "basics/length*": "max,last",
    "basics/truncated": "max,last",
    "basics/entropy": "min,last",
    "behaviour/*": "max,last",
    f"{DETAIL}*": None,
}


def wandb_name(metric: str) -> str:
    """The name of ``metric`` at W&B; of a panel's metric with placeholders, that with the same placeholders.

    >>> wandb_name("eval/countdown/accuracy"), wandb_name("emergence/checks/all"), wandb_name("loss")
    ('accuracy/held_out/countdown', 'behaviour/checks', 'detail/loss')
    """
    for pattern, name in SECTIONS:
        if match := re.fullmatch(pattern, metric):
            return match.expand(name)
    return f"{DETAIL}{metric}"
