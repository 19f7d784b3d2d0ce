"""When each alarm is on: conditions on the metrics of a run, as pure functions.

A condition takes the training rows of ``metrics.jsonl`` up to now, the thresholds and the name of the accuracy judge,
and returns what the numbers say, or None when all is well.
"""

import math
from collections.abc import Sequence

import numpy as np

from r1zero.config.schema import AlarmConfig
from r1zero.runs.metrics import Row, number
from rewards.tags import TAGS

REFERENCE_WINDOWS = 5  # a change is seen against the window this many windows ago, or the first


def window(rows: Sequence[Row], key: str, num_steps: int) -> list[float] | None:
    """The last ``num_steps`` values of ``key``; None if the last steps do not all have it."""
    values = [number(row, key) for row in rows[-num_steps:]]
    known = [value for value in values if value is not None]
    return known if len(known) == num_steps else None


def two_windows(rows: Sequence[Row], key: str, num_steps: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Values of ``key`` in the last window and in a reference window before it, the same for every key that all rows
    have; None without two windows."""
    values = [value for row in rows if (value := number(row, key)) is not None]
    if len(values) < 2 * num_steps:
        return None
    start = max(0, len(values) - (REFERENCE_WINDOWS + 1) * num_steps)
    return np.array(values[-num_steps:]), np.array(values[start : start + num_steps])


def rise(rows: Sequence[Row], key: str, num_steps: int) -> tuple[float, float] | None:
    """Mean of ``key`` over the last window minus that of the reference window, and its standard error."""
    windows = two_windows(rows, key, num_steps)
    if windows is None:
        return None
    now, then = windows
    error = math.sqrt((now.var(ddof=1) + then.var(ddof=1)) / num_steps) if num_steps > 1 else 0.0
    return float(now.mean() - then.mean()), error


def growth(rows: Sequence[Row], key: str, num_steps: int) -> float | None:
    """Mean of ``key`` over the last window, over that of the reference window."""
    windows = two_windows(rows, key, num_steps)
    return None if windows is None else float(windows[0].mean()) / max(1e-9, float(windows[1].mean()))


def no_signal(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """All groups equal."""
    shares = window(rows, "frac_reward_zero_std", limits.num_steps)
    if shares is None or min(shares) < 1.0:
        return None
    wrong, correct = (number(rows[-1], f"groups/{name}") or 0.0 for name in ("all_wrong", "all_correct"))
    return (
        f"In each of the last {limits.num_steps} steps every group earned the same reward throughout, so no completion "
        f"had an advantage and nothing was learned. Groups all wrong: {wrong:.1%}, all correct: {correct:.1%}."
    )


def format_stuck(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """A judge that reads no completion at all."""
    prefix = "outcome/"
    names = {key.split("/")[1] for key in rows[-1] if key.startswith(prefix)}
    for name in sorted(names):
        unread = [
            [number(row, f"{prefix}{name}/{outcome}") or 0.0 for outcome in ("NO_ANSWER", "BAD_FORMAT")]
            for row in rows[-limits.num_steps :]
        ]
        paid = window(rows, f"rewards/{name}/mean", limits.num_steps)
        if len(unread) == limits.num_steps and paid is not None and max(paid) <= 0 and min(map(sum, unread)) > 0.999:
            return (
                f"For {limits.num_steps} steps judge '{name}' has found no completion in the form it reads. "
                f"It looks for {' ... '.join(TAGS)}, or the form its task asks for."
            )
    return None


def truncation(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """Most completions cut off."""
    shares = window(rows, "completions/clipped_ratio", limits.num_steps)
    if shares is None or min(shares) <= limits.truncated:
        return None
    longest = number(rows[-1], "completions/max_length") or 0
    return (
        f"{shares[-1]:.1%} of completions are cut off at {longest:.0f} tokens, for {limits.num_steps} steps more than "
        f"{limits.truncated:.1%}. What is cut off has no answer and earns nothing."
    )


def reward_hack(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """The reward rises and the accuracy does not."""
    reward, accuracy = (rise(rows, key, limits.num_steps) for key in ("reward", "train/accuracy"))
    if reward is None or accuracy is None:
        return None
    if reward[0] <= max(limits.reward_rise, 3 * reward[1]) or accuracy[0] > max(2 * accuracy[1], 0.2 * reward[0]):
        return None
    names = [key.split("/")[1] for key in rows[-1] if key.startswith("rewards/") and key.endswith("/mean")]
    rises = {name: rise(rows, f"rewards/{name}/mean", limits.num_steps) for name in names if name != judge}
    by_judge = ", ".join(f"{name} {change[0]:+.2f}" for name, change in rises.items() if change is not None)
    return (
        f"The reward rose by {reward[0]:.2f} while the accuracy changed by {100 * accuracy[0]:+.1f} points. "
        f"Scores of the other judges: {by_judge or 'there is none'}."
    )


def entropy_collapse(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """The policy no longer varies what it writes."""
    values = window(rows, "entropy", limits.num_steps)
    first = next((value for row in rows if (value := number(row, "entropy")) is not None), None)
    if values is None or first is None or first <= 0 or max(values) >= limits.entropy_left * first:
        return None
    return (
        f"The entropy is {values[-1]:.3g} nats a token, {values[-1] / first:.1%} of the {first:.3g} at the start: "
        "completions of a group are nearly the same, and there is little left to choose between."
    )


def wrong_length(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """Wrong completions grow and correct ones do not."""
    wrong, correct = (
        growth(rows, f"completions/mean_length_{name}", limits.num_steps) for name in ("wrong", "correct")
    )
    accuracy = rise(rows, "train/accuracy", limits.num_steps)
    if wrong is None or accuracy is None or wrong < limits.wrong_growth or accuracy[0] > 2 * accuracy[1]:
        return None
    if correct is not None and wrong < 1.5 * correct:
        return None
    beside = "there are too few correct ones to compare" if correct is None else f"correct ones {correct:.1f} times"
    ago = min(len(rows), (REFERENCE_WINDOWS + 1) * limits.num_steps)
    return f"Wrong completions are {wrong:.1f} times as long as {ago} steps ago, {beside}; the accuracy has not risen."


def repetition(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """Completions that end in a loop."""
    shares = window(rows, "emergence/loops/all", limits.num_steps)
    if shares is None or min(shares) <= limits.loops:
        return None
    return f"{shares[-1]:.1%} of completions end by repeating one string of up to 64 characters eight times or more."


def ungradeable(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """Completions that a judge cannot judge."""
    names = sorted({key.split("/")[1] for key in rows[-1] if key.startswith("outcome/") and "UNGRADEABLE" in key})
    for name in names:
        shares = window(rows, f"outcome/{name}/UNGRADEABLE", limits.num_steps)
        if shares is not None and min(shares) > limits.ungradeable:
            return (
                f"Judge '{name}' cannot judge {shares[-1]:.1%} of completions, for {limits.num_steps} steps more than "
                f"{limits.ungradeable:.1%}. They are left out: they neither pay nor punish."
            )
    return None


def kl_blow_up(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """The policy has left the reference, or the estimate has overflowed."""
    if "kl" not in rows[-1]:
        return None
    kl = number(rows[-1], "kl")
    if kl is not None and kl <= limits.kl:
        return None
    return f"The KL to the reference is {'not a number' if kl is None else f'{kl:.3g} nats a token'}."


def logprob_mismatch(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """Rollout and training forward disagree."""
    values = window(rows, "sampling/sampling_logp_difference/mean", limits.num_steps)
    if values is None or min(values) <= limits.logprob_difference:
        return None
    return (
        f"Rollout and training forward differ by {values[-1]:.3f} nats a token on the log-probability of what was "
        "sampled: the gradient is that of another policy than the one that wrote the completions."
    )
