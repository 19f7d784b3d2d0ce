"""Metrics of a step's training completions that TRL does not have: behaviours, groups, lengths by outcome.

Everything is computed from the table of completions that is written to disk anyway, so the same numbers can be had
again from ``completions/``. A completion logged at step s was sampled after s - 1 updates: those of step 1 are the base
model's.

Completions of one group answer one prompt and are not independent, so intervals resample whole groups.
"""

import numpy as np
import pandas as pd

from r1zero.measuring.behaviours import BEHAVIOURS

SPLITS = ("all", "correct", "wrong", "terminated", "truncated")
NUM_RESAMPLES = 500
# Where each unit is logged: counts a completion, and counts a hundred tokens, which length alone does not raise.
PER_COMPLETION, PER_100_TOKENS = "emergence", "emergence_per_100_tokens"


def split_masks(outcomes: pd.Series, truncated: pd.Series) -> dict[str, np.ndarray]:
    """Which rows belong to each of ``SPLITS``. Rows that could not be judged are neither correct nor wrong."""
    correct, judged = (outcomes == "CORRECT").to_numpy(), (outcomes != "UNGRADEABLE").to_numpy()
    cut = truncated.to_numpy(dtype=bool)
    return {
        "all": np.ones(len(cut), dtype=bool),
        "correct": correct,
        "wrong": judged & ~correct,
        "terminated": ~cut,
        "truncated": cut,
    }


def resampled_groups(num_groups: int, seed: int = 0) -> np.ndarray:
    """How often each group is drawn in each bootstrap sample, (resamples, groups)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=NUM_RESAMPLES)


def ratio(numerator: np.ndarray, denominator: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Sum over sum, with its 95% percentile bootstrap interval; arrays have one entry a group."""
    below = weights @ denominator
    drawn = (weights @ numerator)[below > 0] / below[below > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(numerator.sum() / denominator.sum()), float(low), float(high)


def behaviour_rates(frame: pd.DataFrame, outcome: str, group: pd.Series) -> dict[tuple[str, str, str], tuple]:
    """(unit, behaviour, split) -> (rate, low, high), for the splits that have rows.

    Args:
        frame: Columns ``length_tokens``, ``truncated``, and a count for each behaviour; behaviours without a column are
            left out.
        outcome: The column that says which completions are correct.
        group: What is resampled: the prompt that each row answers.
    """
    codes = pd.factorize(group)[0]
    num_groups = int(codes.max()) + 1
    weights = resampled_groups(num_groups)
    tokens = frame["length_tokens"].to_numpy(dtype=float)
    rates = {}
    for split, mask in split_masks(frame[outcome], frame["truncated"]).items():
        if not mask.any():
            continue
        rows_G = np.bincount(codes[mask], minlength=num_groups)
        tokens_G = np.bincount(codes[mask], weights=tokens[mask], minlength=num_groups)
        for name in BEHAVIOURS:
            if name not in frame:
                continue
            counts = frame[name].to_numpy(dtype=float)[mask]
            counts_G = np.bincount(codes[mask], weights=counts, minlength=num_groups)
            rates[PER_COMPLETION, name, split] = ratio(counts_G, rows_G, weights)
            if tokens_G.sum() > 0:
                rates[PER_100_TOKENS, name, split] = ratio(100 * counts_G, tokens_G, weights)
    return rates


def step_metrics(frame: pd.DataFrame, accuracy_judge: str, num_generations: int) -> dict[str, float]:
    """Metrics of one step's completions, groups of ``num_generations`` one after the other.

    - ``emergence/<behaviour>/<split>`` a completion, ``emergence_per_100_tokens/...`` a hundred tokens, splits as in
      ``SPLITS``; ``.../all_low`` and ``all_high`` are the ends of the 95% interval.
    - ``groups/{all_correct,all_wrong,mixed}``: shares of groups. Only mixed ones have a gradient.
    - ``train/accuracy`` with ``_low`` and ``_high``: the share of completions judged correct.
    - ``completions/mean_length_{correct,wrong}`` in tokens.
    """
    outcome = f"{accuracy_judge}/outcome"
    group = pd.Series(np.arange(len(frame)) // num_generations)
    metrics = {}
    for (unit, name, split), (rate, low, high) in behaviour_rates(frame, outcome, group).items():
        metrics[f"{unit}/{name}/{split}"] = rate
        if split == "all":
            metrics |= {f"{unit}/{name}/all_low": low, f"{unit}/{name}/all_high": high}
    masks = split_masks(frame[outcome], frame["truncated"])
    correct, judged = masks["correct"], masks["correct"] | masks["wrong"]
    for split in ("correct", "wrong"):
        if masks[split].any():
            metrics[f"completions/mean_length_{split}"] = float(frame["length_tokens"][masks[split]].mean())
    if judged.any():
        per_group = pd.DataFrame({"group": group, "correct": correct, "judged": judged}).groupby("group").sum()
        share, low, high = ratio(
            per_group["correct"].to_numpy(), per_group["judged"].to_numpy(), resampled_groups(len(per_group))
        )
        metrics |= {"train/accuracy": share, "train/accuracy_low": low, "train/accuracy_high": high}
        known = per_group[per_group["judged"] > 0]
        all_correct = float((known["correct"] == known["judged"]).mean())
        all_wrong = float((known["correct"] == 0).mean())
        metrics["groups/all_correct"], metrics["groups/all_wrong"] = all_correct, all_wrong
        metrics["groups/mixed"] = 1.0 - all_correct - all_wrong
    return metrics
