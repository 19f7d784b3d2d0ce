"""From prompts to a scored batch, and a guard: parts of the trainer, tried without one."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from r1zero.rollout.sampling import Completion, Sampling
from r1zero.training.collecting import Collector, termination
from r1zero.training.guard import DivergedError, StepGuard
from rewards import Outcome, Verdict


class FixedEngine:
    """Answers 22 to every prompt; the second completion is cut off."""

    scores, stop = True, None

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer, self.keys = tokenizer, []

    def sample(self, prompts: Sequence[list[int]], keys: Sequence[str], sampling: Sampling, on_finish: Any) -> Any:
        self.keys += keys
        ids = [*self.tokenizer("22", add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]
        completions = [Completion(ids, [-0.5] * len(ids), 0.25 * len(ids), row == 1) for row in range(len(prompts))]
        for row in reversed(range(len(prompts))):  # the order in which rows end is not that of the rows
            on_finish(row, completions[row])
        return completions


def test_a_rollout_is_sampled_judged_and_observed(tokenizer: PreTrainedTokenizerFast) -> None:
    engine = FixedEngine(tokenizer)
    seen: list[str] = []

    def judge(text: str, row: Any) -> Verdict:
        seen.append(text)
        return Verdict(float(row["target"] == 22), Outcome.CORRECT if row["target"] == 22 else Outcome.WRONG)

    profile: Any = SimpleNamespace(judge_s=0.0, tokens=0, add_rollout=lambda prompts, completions, seconds: None)
    collector = Collector(engine, {"toy": judge}, Sampling(4), profile)  # type: ignore[arg-type]
    prompt = "Numbers: 3 5 7 Target: 22 <think>\n"
    rows = [{"prompt": prompt, "prefill": "<think>\n", "target": target} for target in (22, 23)]
    collector.expect(rows)
    batch = collector.rollout([prompt, prompt], "train/0/7/0", first_row=6)
    assert engine.keys == ["train/0/7/0/6", "train/0/7/0/7"]  # rows of all ranks are counted through
    assert [by_judge["toy"].outcome for by_judge in batch["verdicts"]] == [Outcome.CORRECT, Outcome.WRONG]
    assert all(text.startswith("<think>\n") for text in seen)  # judges read prefill and completion
    assert batch["logprobs"] == [[-0.5] * len(ids) for ids in batch["completion_ids"]]
    assert collector.metrics() == {"entropy": 0.25}  # 0.25 nats a token
    assert collector.metrics() == {}
    frame = collector.frame({"prompt": [prompt, prompt]})
    assert frame["truncated"].tolist() == [False, True]
    assert profile.tokens == sum(map(len, batch["completion_ids"]))


def test_a_loop_without_log_probs_gives_none(tokenizer: PreTrainedTokenizerFast) -> None:
    engine = FixedEngine(tokenizer)
    engine.scores = False
    plain = engine.sample
    engine.sample = lambda *args: [  # type: ignore[method-assign]
        Completion(done.ids, None, math.nan, done.truncated) for done in plain(*args)
    ]
    profile: Any = SimpleNamespace(judge_s=0.0, tokens=0, add_rollout=lambda prompts, completions, seconds: None)
    collector = Collector(engine, {}, Sampling(4), profile)  # type: ignore[arg-type]
    collector.expect([{"prefill": ""}])
    assert collector.rollout(["Numbers: 3 5 7 Target: 22 <think>\n"], "train/0/0/0", 0)["logprobs"] is None
    assert collector.metrics() == {}


def test_termination_by_hand() -> None:
    assert termination([(5, False), (12, True), (3, False), (12, True)]) == {
        "completions/clipped_ratio": 0.5,
        "completions/mean_terminated_length": 4.0,
        "completions/min_terminated_length": 3,
        "completions/max_terminated_length": 5,
    }
    assert termination([(12, True)])["completions/max_terminated_length"] == 0


def test_the_guard_survives_as_many_skipped_steps_as_allowed() -> None:
    guard = StepGuard(max_in_a_row=2)
    for _ in range(2):
        guard.skip("loss nan")
        guard.check()
    guard.admit()
    guard.skip("loss nan")
    guard.check()
    assert (guard.skipped, guard.in_a_row) == (3, 1)
    guard.skip("loss nan")
    guard.skip("gradient norm inf")
    with pytest.raises(DivergedError, match="gradient norm inf"):
        guard.check()
