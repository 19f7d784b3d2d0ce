"""From prompts to a scored batch: sample, judge while sampling, observe, record"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from r1zero.measuring.behaviours import count_behaviours
from r1zero.models.tokens import encode
from r1zero.rollout.sampling import Completion


def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
    """TRL's ``rollout_func``: one completion for each prompt, keyed by (seed, step, row), so not by rank or order.

    Judges start on a completion when it is finished, while others still decode.
    """
    started = time.perf_counter()
    first = trainer.accelerator.process_index * len(prompts)
    part = trainer._step % trainer.args.gradient_accumulation_steps
    place = f"train/{trainer.args.seed}/{trainer.state.global_step}/{part}"
    keys = [f"{place}/{first + row}" for row in range(len(prompts))]
    prompt_ids = [encode(prompt, trainer.tokenizer) for prompt in prompts]

    def judge(row: int, completion: Completion) -> None:
        text = trainer.tokenizer.decode(completion.ids, skip_special_tokens=True)
        truth = trainer.truths[row] | {"completion_ids": completion.ids}  # as TRL gives it to reward functions
        trainer.early_verdicts.start(row, text, truth)

    completions = trainer.engine.sample(prompt_ids, keys, trainer.sampling, judge)
    decoded = time.perf_counter()
    trainer.profile.add_rollout(prompt_ids, completions, decoded - started)
    verdicts = trainer.early_verdicts.collect(len(prompts))
    trainer.profile.judge_s += time.perf_counter() - decoded
    trainer.note_rollout(completions)
    logprobs = [done.logprobs for done in completions]
    return {
        "prompt_ids": prompt_ids,
        "completion_ids": [done.ids for done in completions],
        "logprobs": None if None in logprobs else logprobs,
        "verdicts": verdicts,
    }


def observe(
    completions: Sequence["Completion"], texts: Sequence[str], truths: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One record a completion: its length, whether it was cut off, its behaviours."""
    return [
        {"length_tokens": len(done.ids), "truncated": done.truncated, **count_behaviours(text, truth)}
        for done, text, truth in zip(completions, texts, truths, strict=True)
    ]


def observed_frame(table: dict[str, list[Any]], observations: list[dict[str, Any]]) -> pd.DataFrame:
    """TRL's ``table`` of completions with what was observed of each, in the same order."""
    return pd.concat([pd.DataFrame(table), pd.DataFrame(observations)], axis=1)
