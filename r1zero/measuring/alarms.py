"""Alarms: what goes wrong in a run, said while it can still be stopped, with the likely cause and what to set.

Each alarm is a pure function of the metrics so far, so a resumed run, or a report of a run that is over, comes to the
same alarms from ``metrics.jsonl`` alone. An alarm says what the numbers look like; the cause it names is the usual one,
not a proof. Nothing is stopped or changed here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from r1zero.config.schema import AlarmConfig
from r1zero.measuring import alarm_conditions, alarm_evidence
from r1zero.runs.metrics import Row


@dataclass(frozen=True)
class Alarm:
    """One way in which a run goes wrong.

    Attributes:
        title: What it is.
        condition: (training rows up to now, thresholds, accuracy judge) -> what the numbers say, None when all is well.
        remedy: What usually causes it and what to set.
        choose: (completions of a step, accuracy judge) -> those that show it, the clearest first.
    """

    title: str
    condition: Callable[[Sequence[Row], AlarmConfig, str], str | None]
    remedy: str
    choose: Callable[[pd.DataFrame, str], pd.DataFrame]


ALARMS = {
    "no_signal": Alarm(
        "No learning signal",
        alarm_conditions.no_signal,
        "All wrong: the problems are too hard, or no answer is found in the completions; look at one, then take easier "
        "rows, a larger trainer.num_generations or a base model that solves some. All correct: take harder rows. "
        "A weight of 0 on every judge that differs does the same: see reward.weights.",
        alarm_evidence.first_rows,
    ),
    "format_stuck": Alarm(
        "Format never met",
        alarm_conditions.format_stuck,
        "Compare the completion below with the form. Usual causes: task.template does not ask for the form, the model "
        "is cut off before it (trainer.max_completion_length), or a chat model is used with a base template. A model "
        "that never writes the form by chance cannot be rewarded into it: prefill it with the template.",
        alarm_evidence.first_rows,
    ),
    "truncation": Alarm(
        "Most completions are cut off",
        alarm_conditions.truncation,
        "Raise trainer.max_completion_length; end completions at the answer with "
        'trainer.generation_kwargs={stop_strings:["</answer>"]}; check that the model knows its end-of-sequence token; '
        "or make length cost something: reward.weights.soft_overlong.",
        alarm_evidence.truncated_rows,
    ),
    "reward_hack": Alarm(
        "Reward rises, accuracy does not",
        alarm_conditions.reward_hack,
        "Likely the policy has found what another judge pays for without solving problems; early in a run it may only "
        "be learning the form. Read the best paid wrong completions below, then lower the weight of the judge that "
        "pays them (reward.weights.<judge>) or report a hole in it.",
        alarm_evidence.paid_but_wrong,
    ),
    "entropy_collapse": Alarm(
        "Entropy collapse",
        alarm_conditions.entropy_collapse,
        "Lower trainer.learning_rate, raise trainer.epsilon_high (DAPO's clip-higher: 0.28), sample at "
        "trainer.temperature=1, or add a KL term (trainer.beta).",
        alarm_evidence.first_rows,
    ),
    "wrong_length": Alarm(
        "Wrong answers grow longer",
        alarm_conditions.wrong_length,
        "A length bias: with a loss that divides by the length of each completion, long wrong ones are punished less a "
        "token (Dr. GRPO, arXiv 2503.20783). Set trainer.loss_type=dr_grpo or dapo, or reward.weights.soft_overlong.",
        alarm_evidence.longest_wrong,
    ),
    "repetition": Alarm(
        "Repeated output",
        alarm_conditions.repetition,
        "A loop that runs to the limit. Usual causes: a learning rate that broke the model, weights that did not reach "
        "the rollout, a temperature near 0. Go back to an earlier checkpoint; reward.weights.repetition makes loops "
        "cost something.",
        alarm_evidence.looping_rows,
    ),
    "ungradeable": Alarm(
        "Completions cannot be judged",
        alarm_conditions.ungradeable,
        "A fault of data or judge, not of the model: a gold answer that cannot be read, or a sandbox that fails. The "
        "detail below says which; repair or leave out those rows, or run python -m sandbox.doctor.",
        alarm_evidence.ungradeable_rows,
    ),
    "kl_blow_up": Alarm(
        "KL blow-up",
        alarm_conditions.kl_blow_up,
        "The policy has run far from the reference, which ends in gibberish or NaN (the k3 estimate is exponential). "
        "Lower trainer.learning_rate or trainer.max_grad_norm, raise trainer.beta, and start again from a checkpoint "
        "before the rise.",
        alarm_evidence.first_rows,
    ),
    "logprob_mismatch": Alarm(
        "Rollout and training disagree",
        alarm_conditions.logprob_mismatch,
        "Usual causes: another precision in the rollout than in training (trainer.bf16, model.dtype), weights that "
        "were not handed on, another attention kernel (model.attn_implementation). rollout=native shares the weights "
        "in place.",
        alarm_evidence.first_rows,
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
