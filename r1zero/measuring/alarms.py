"""Alarms: what goes wrong in a run, said while it can still be stopped, with the likely cause and what to set.

Each alarm is a pure function of the metrics so far, so a resumed run, or a report of a run that is over, comes to the
same alarms from ``metrics.jsonl`` alone. An alarm says what the numbers look like; the cause it names is the usual one,
not a proof. Nothing is stopped or changed here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from r1zero.config.schema import AlarmConfig
from r1zero.runs.metrics import Row, number
from rewards.tags import TAGS

Condition = Callable[[Sequence[Row], AlarmConfig, str], str | None]
Chooser = Callable[[pd.DataFrame, str], pd.DataFrame]

REFERENCE_WINDOWS = 5  # a change is seen against the window this many windows ago, or the first


@dataclass(frozen=True)
class Alarm:
    """One kind of trouble.

    Attributes:
        title: What it is.
        condition: (rows, thresholds, accuracy judge) -> what the numbers say, None when all is well. ``rows`` are the
            rows of ``metrics.jsonl`` that have training metrics, up to now.
        remedy: What usually causes it and what to set.
        choose: The completions of a step that show it, given the accuracy judge.
    """

    title: str
    condition: Condition
    remedy: str
    choose: Chooser


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
        f"had an advantage and nothing was learned. Groups all wrong: {wrong:.0%}, all correct: {correct:.0%}."
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
        f"{shares[-1]:.0%} of completions are cut off at {longest:.0f} tokens, for {limits.num_steps} steps more than "
        f"{limits.truncated:.0%}. What is cut off has no answer and earns nothing."
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
        f"The reward rose by {reward[0]:.2f} while the accuracy changed by {accuracy[0]:+.2f}. "
        f"Scores of the other judges: {by_judge or 'there is none'}."
    )


def entropy_collapse(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> str | None:
    """The policy no longer varies what it writes."""
    values = window(rows, "entropy", limits.num_steps)
    first = next((value for row in rows if (value := number(row, "entropy")) is not None), None)
    if values is None or first is None or first <= 0 or max(values) >= limits.entropy_left * first:
        return None
    return (
        f"The entropy is {values[-1]:.3g} nats a token, {values[-1] / first:.0%} of the {first:.3g} at the start: "
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
    return f"{shares[-1]:.0%} of completions end by repeating one string of up to 64 characters eight times or more."


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


def first_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """In the order of the file."""
    return frame


def truncated_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Those cut off."""
    return frame[frame["truncated"]] if "truncated" in frame else frame


def paid_but_wrong(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Not correct, best paid first."""
    scores = [column for column in frame if str(column).endswith("/score")]
    order = frame[scores].sum(axis=1).sort_values(ascending=False, kind="stable").index
    ranked = frame.loc[order]
    return ranked[ranked[f"{judge}/outcome"] != "CORRECT"]


def longest_wrong(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Not correct, longest first."""
    wrong = frame[frame[f"{judge}/outcome"] != "CORRECT"]
    return wrong.loc[wrong["completion"].str.len().sort_values(ascending=False, kind="stable").index]


def looping_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Those that end in a loop."""
    return frame[frame["loops"] > 0] if "loops" in frame else frame


def ungradeable_rows(frame: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Those that a judge could not judge."""
    outcomes = frame[[column for column in frame if str(column).endswith("/outcome")]]
    return frame[(outcomes == "UNGRADEABLE").any(axis=1)]


ALARMS = {
    "no_signal": Alarm(
        "No learning signal",
        no_signal,
        "All wrong: the problems are too hard, or no answer is found in the completions; look at one, then take easier "
        "rows, a larger trainer.num_generations or a base model that solves some. All correct: take harder rows. "
        "A weight of 0 on every judge that differs does the same: see reward.weights.",
        first_rows,
    ),
    "format_stuck": Alarm(
        "Format never met",
        format_stuck,
        "Compare the completion below with the form. Usual causes: task.template does not ask for the form, the model "
        "is cut off before it (trainer.max_completion_length), or a chat model is used with a base template. A model "
        "that never writes the form by chance cannot be rewarded into it: prefill it with the template.",
        first_rows,
    ),
    "truncation": Alarm(
        "Most completions are cut off",
        truncation,
        "Raise trainer.max_completion_length; end completions at the answer with "
        'trainer.generation_kwargs={stop_strings:["</answer>"]}; check that the model knows its end-of-sequence token; '
        "or make length cost something: reward.weights.soft_overlong.",
        truncated_rows,
    ),
    "reward_hack": Alarm(
        "Reward rises, accuracy does not",
        reward_hack,
        "Likely the policy has found what another judge pays for without solving problems; early in a run it may only "
        "be learning the form. Read the best paid wrong completions below, then lower the weight of the judge that "
        "pays them (reward.weights.<judge>) or report a hole in it.",
        paid_but_wrong,
    ),
    "entropy_collapse": Alarm(
        "Entropy collapse",
        entropy_collapse,
        "Lower trainer.learning_rate, raise trainer.epsilon_high (DAPO's clip-higher: 0.28), sample at "
        "trainer.temperature=1, or add a KL term (trainer.beta).",
        first_rows,
    ),
    "wrong_length": Alarm(
        "Wrong answers grow longer",
        wrong_length,
        "A length bias: with a loss that divides by the length of each completion, long wrong ones are punished less a "
        "token (Dr. GRPO, arXiv 2503.20783). Set trainer.loss_type=dr_grpo or dapo, or reward.weights.soft_overlong.",
        longest_wrong,
    ),
    "repetition": Alarm(
        "Repeated output",
        repetition,
        "A loop that runs to the limit. Usual causes: a learning rate that broke the model, weights that did not reach "
        "the rollout, a temperature near 0. Go back to an earlier checkpoint; reward.weights.repetition makes loops "
        "cost something.",
        looping_rows,
    ),
    "ungradeable": Alarm(
        "Completions cannot be judged",
        ungradeable,
        "A fault of data or judge, not of the model: a gold answer that cannot be read, or a sandbox that fails. The "
        "detail below says which; repair or leave out those rows, or run python -m sandbox.doctor.",
        ungradeable_rows,
    ),
    "kl_blow_up": Alarm(
        "KL blow-up",
        kl_blow_up,
        "The policy has run far from the reference, which ends in gibberish or NaN (the k3 estimate is exponential). "
        "Lower trainer.learning_rate or trainer.max_grad_norm, raise trainer.beta, and start again from a checkpoint "
        "before the rise.",
        first_rows,
    ),
    "logprob_mismatch": Alarm(
        "Rollout and training disagree",
        logprob_mismatch,
        "Usual causes: another precision in the rollout than in training (trainer.bf16, model.dtype), weights that "
        "were not handed on, another attention kernel (model.attn_implementation). rollout=native shares the weights "
        "in place.",
        first_rows,
    ),
}


def training_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows of ``metrics.jsonl`` of steps that sampled completions: no evaluations, no steps that reuse them."""
    return [row for row in rows if "reward" in row or "train/accuracy" in row]


def raised(rows: Sequence[Row], limits: AlarmConfig, judge: str) -> dict[str, str]:
    """Alarm -> what the numbers say, for those that hold at the last of ``rows``, which are training rows."""
    if not rows:
        return {}
    found = ((name, alarm.condition(rows, limits, judge)) for name, alarm in ALARMS.items())
    return {name: said for name, said in found if said is not None}


def evidence(name: str, frame: pd.DataFrame, judge: str, limit: int = 3) -> list[dict[str, Any]]:
    """Up to ``limit`` completions of a step that show alarm ``name``, with all their columns."""
    chosen = ALARMS[name].choose(frame, judge).head(limit).to_dict("records")
    return [{str(column): value for column, value in row.items()} for row in chosen]


def judge_lines(row: dict[str, Any]) -> list[str]:
    """What each judge said of a completion: ``format: BAD_FORMAT 0.1, 2 <answer>``."""
    judges = [str(column).removesuffix("/outcome") for column in row if str(column).endswith("/outcome")]
    lines = []
    for judge in sorted(judges):
        score, detail = row.get(f"{judge}/score"), row.get(f"{judge}/detail")
        said = f"{judge}: {row[f'{judge}/outcome']}" + ("" if score is None or pd.isna(score) else f" {score:g}")
        lines.append(said + (f", {detail}" if isinstance(detail, str) and detail else ""))
    return lines
