"""From prompts to a scored batch: sample, judge while others still decode, observe, and keep what is worth recording.

Knows engine, judges and numbers, and no trainer: TRL's advantages come later and are handed in for the record.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from accelerate.utils import gather_object

from r1zero.measuring.behaviours import count_behaviours
from r1zero.models.tokens import encode
from r1zero.rollout.engine import Engine
from r1zero.rollout.sampling import Completion, Sampling
from r1zero.tasks.judging import EarlyVerdicts
from r1zero.tasks.task import Judge
from r1zero.training.step_profile import StepProfile


class Collector:
    """Collects rollouts on this rank.

    Args:
        engine: Samples from the policy.
        judges: By name.
        sampling: How tokens are drawn.
        profile: Counts the time and the tokens of a step.
    """

    def __init__(self, engine: Engine, judges: Mapping[str, Judge], sampling: Sampling, profile: StepProfile) -> None:
        self.engine, self.sampling, self.profile = engine, sampling, profile
        self.verdicts = EarlyVerdicts(judges)
        self.rows: Sequence[Mapping[str, Any]] = []
        self.observations: list[dict[str, Any]] = []
        self.measured: dict[str, float] = {}

    def expect(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The next rollout is of these rows of the task: TRL hands it their prompts alone."""
        self.rows = rows

    def rollout(self, prompts: Sequence[str], name: str, first_row: int) -> dict[str, Any]:
        """One completion for each prompt with its verdicts, in the form of TRL's ``rollout_func``.

        Args:
            prompts: Of the rows that ``expect`` announced.
            name: Of the rollout; randomness is keyed by it and the row, so not by rank or order.
            first_row: Number of this rank's first row among all ranks' rows.
        """
        started = time.perf_counter()
        tokenizer = self.engine.tokenizer
        keys = [f"{name}/{first_row + row}" for row in range(len(prompts))]
        prompt_ids = [encode(prompt, tokenizer) for prompt in prompts]

        def judge(row: int, completion: Completion) -> None:
            text = str(tokenizer.decode(completion.ids, skip_special_tokens=True))
            truth = {**self.rows[row], "completion_ids": completion.ids}  # as TRL gives it to reward functions
            self.verdicts.start(row, text, truth)

        completions = self.engine.sample(prompt_ids, keys, self.sampling, judge)
        decoded = time.perf_counter()
        self.profile.add_rollout(prompt_ids, completions, decoded - started)
        verdicts = self.verdicts.collect(len(prompts))
        self.profile.judge_s += time.perf_counter() - decoded
        self.note(completions)
        logprobs = [done.logprobs for done in completions]
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [done.ids for done in completions],
            "logprobs": None if None in logprobs else logprobs,
            "verdicts": verdicts,
        }

    def note(self, completions: Sequence[Completion]) -> None:
        """Observe this rank's ``completions``, gather everyone's, and measure what TRL cannot know."""
        ids = [done.ids for done in completions]
        texts = self.engine.tokenizer.batch_decode(ids, skip_special_tokens=True)
        self.observations = gather_object(observe(completions, texts, self.rows))
        everyones = gather_object([(len(done.ids), done.truncated, done.entropy) for done in completions])
        num_tokens = sum(length for length, _, _ in everyones)
        self.profile.tokens += num_tokens
        if self.engine.scores:  # over all tokens; TRL's own misses the dropped rows
            self.measured["entropy"] = sum(entropy for _, _, entropy in everyones) / num_tokens
        if self.engine.stop is not None:  # TRL takes a completion that ends in a stop string for truncated
            self.measured |= termination((length, truncated) for length, truncated, _ in everyones)

    def metrics(self) -> dict[str, float]:
        """What was measured since the last call."""
        measured, self.measured = self.measured, {}
        return measured

    def frame(self, table: Mapping[str, list[Any]]) -> pd.DataFrame:
        """A row a completion of all ranks: TRL's ``table`` and what was observed, in the same order."""
        return pd.concat([pd.DataFrame(table), pd.DataFrame(self.observations)], axis=1)


def sample_on_all_ranks(
    engine: Engine, rank: int, num_ranks: int, prompts: Sequence[str], keys: Sequence[str], sampling: Sampling
) -> list[tuple[Completion, str]]:
    """Completions of ``prompts`` and their text; each rank decodes its share and all ranks get everything."""
    mine = range(rank, len(prompts), num_ranks)
    sampled = engine.sample_texts([prompts[i] for i in mine], [keys[i] for i in mine], sampling)
    everyones = gather_object(list(zip(mine, sampled, strict=True)))
    return [pair for _, pair in sorted(everyones, key=lambda item: item[0])]


def observe(
    completions: Sequence[Completion], texts: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One record a completion: its length, whether it was cut off, its behaviours."""
    return [
        {"length_tokens": len(done.ids), "truncated": done.truncated, **count_behaviours(text, row)}
        for done, text, row in zip(completions, texts, rows, strict=True)
    ]


def termination(completions: Iterable[tuple[int, bool]]) -> dict[str, float]:
    """TRL's metrics of terminated completions, from (length in tokens, truncated) of each."""
    pairs = list(completions)
    terminated = [length for length, truncated in pairs if not truncated] or [0]
    return {
        "completions/clipped_ratio": sum(truncated for _, truncated in pairs) / len(pairs),
        "completions/mean_terminated_length": sum(terminated) / len(terminated),
        "completions/min_terminated_length": min(terminated),
        "completions/max_terminated_length": max(terminated),
    }
