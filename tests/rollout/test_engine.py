"""The engine: one contract for all loops, and completions that can be followed while they grow."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from toy import compose_config
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from r1zero.config.schema import RolloutConfig
from r1zero.rollout import engine as rollout
from r1zero.rollout.decode import decode
from r1zero.rollout.engine import LOOPS, Engine, stop_strings_of
from r1zero.rollout.library_loops import generate
from r1zero.rollout.loop import Loop
from r1zero.rollout.sampling import Completion, Sampling, keyed_uniforms
from r1zero.rollout.stop_strings import StopStrings

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPT = "Numbers: 3 5 7 Target: 22 <think>\n"


def make_engine(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, backend: str = "native", **how: Any
) -> Engine:
    """An engine around ``model`` as it is."""
    how = {"stop_strings": [], "opened": lambda: nullcontext(model)} | how
    return Engine(model, tokenizer, RolloutConfig(backend), **how)


@torch.no_grad()
def plainly(model: LlamaForCausalLM, ids: list[int], key: str, sampling: Sampling, eos: int) -> Iterator[list[int]]:
    """The tokens so far, each from a forward pass over all before it, without a cache."""
    drawn: list[int] = []
    for uniform_1 in keyed_uniforms([key], sampling.max_tokens).unbind(dim=1):
        logits_1V = model(torch.tensor([ids + drawn])).logits[:, -1]
        log_probs_1V = (logits_1V / (1.0 if sampling.greedy else sampling.temperature)).log_softmax(dim=-1)
        log_probs_1V = sampling.cut(log_probs_1V)
        drawn.append(int(sampling.choose(log_probs_1V, log_probs_1V.exp(), uniform_1)))
        yield drawn
        if drawn[-1] == eos:
            return


@pytest.mark.parametrize("sampling", [Sampling(25), Sampling(25, temperature=0.7, top_k=20), Sampling(25, greedy=True)])
def test_a_stream_grows_token_by_token(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sampling: Sampling
) -> None:
    engine = make_engine(tiny_model, tokenizer)
    ids, eos = tokenizer(PROMPT)["input_ids"], tokenizer.eos_token_id
    for key in ("a", "b", "c"):
        texts = [engine.text(list(drawn)) for drawn in plainly(tiny_model, ids, key, sampling, eos)]
        assert list(engine.stream(PROMPT, key, sampling)) == texts
        assert engine.sample_texts([PROMPT], [key], sampling)[0][1] == texts[-1]


def test_a_stream_ends_behind_a_stop_string(tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    free = list(make_engine(tiny_model, tokenizer).stream(PROMPT, "a", Sampling(25)))
    stop_string = free[-1].split()[3]
    stopped = list(make_engine(tiny_model, tokenizer, stop_strings=[stop_string]).stream(PROMPT, "a", Sampling(25)))
    assert stopped == free[: len(stopped)]
    assert stop_string in stopped[-1]
    assert not any(stop_string in text for text in stopped[:-1])


def test_streams_that_are_read_in_turn_keep_their_autocast(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Also when the one that began first ends first; and their reader has none."""

    @contextmanager
    def opened() -> Iterator[LlamaForCausalLM]:
        with torch.autocast("cpu", torch.bfloat16):
            yield tiny_model

    engine = make_engine(tiny_model, tokenizer, opened=opened)
    alone = [list(engine.stream(PROMPT, "a", Sampling(length, greedy=True))) for length in (5, 20)]
    first, second = (engine.stream(PROMPT, "a", Sampling(length, greedy=True)) for length in (5, 20))
    in_turn = [[next(first)], [next(second)]]
    assert not torch.is_autocast_enabled("cpu")
    in_turn[0] += first
    in_turn[1] += second
    assert not torch.is_autocast_enabled("cpu")
    assert in_turn == alone


def test_a_loop_of_whole_completions_streams_its_text_once(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    engine = make_engine(tiny_model, tokenizer, "transformers")
    ((_, text),) = engine.sample_texts([PROMPT], ["a"], Sampling(8))
    assert list(engine.stream(PROMPT, "a", Sampling(8))) == [text]


def test_a_new_loop_is_one_entry(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def echo(
        model: Any,
        prompts: Any,
        keys: Any,
        sampling: Sampling,
        eos_ids: Any,
        pad_id: int,
        max_rows: int = 512,
        stop: StopStrings | None = None,
        on_finish: Any = None,
    ) -> list[Completion]:
        given.extend((model, keys, sampling, eos_ids, pad_id, max_rows, stop))
        completions = [Completion(prompt[:2], None, math.nan, truncated=False) for prompt in prompts]
        for row, completion in enumerate(completions):
            on_finish(row, completion)
        return completions

    monkeypatch.setitem(rollout.LOOPS, "native", Loop(echo))
    engine = make_engine(tiny_model, tokenizer)
    ((_, text),) = engine.sample_texts([PROMPT], ["k"], Sampling(8))
    assert text == engine.text(tokenizer(PROMPT)["input_ids"][:2])
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert given == [tiny_model, ["k"], Sampling(8), [eos], pad, 512, None]
    assert not engine.scores
    assert list(engine.stream(PROMPT, "k", Sampling(8))) == [text]


@pytest.mark.parametrize("backend", ["transformers", "continuous"])
def test_loops_without_stop_strings_are_given_none(
    backend: str, tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ValueError, match="LlamaForCausalLM has no loop for them"):
        make_engine(tiny_model, tokenizer, backend, stop_strings=["</answer>"])
    stop = StopStrings(["</answer>"], tokenizer)
    with pytest.raises(RuntimeError, match="not given stop strings"):
        LOOPS[backend].sample(tiny_model, [[1]], ["k"], Sampling(2), [2], 0, 1, stop)


@pytest.mark.parametrize("backend", sorted({*LOOPS} - {"vllm"}))  # vllm: tests/rollout/test_vllm_loop.py
def test_no_prompts_give_no_completions(
    backend: str, tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """A rank that has no held-out problem of its own."""
    assert make_engine(tiny_model, tokenizer, backend).sample([], [], Sampling(2)) == []


def test_which_loops_score() -> None:
    assert {name for name, loop in LOOPS.items() if loop.scores} == {"native", "vllm"}
    assert LOOPS["native"].sample is decode
    assert LOOPS["transformers"].sample is generate


BOXED = ["task=jsonl", "task.source=rows.jsonl", "reward=math"]


@pytest.mark.parametrize(
    ("overrides", "stop_strings"),
    [
        ([], []),  # the embedded model's template
        (BOXED, ["\nQuestion:"]),
        ([*BOXED, "trainer.generation_kwargs={stop_strings:[]}"], []),
        ([*BOXED, "trainer.generation_kwargs={stop_strings:['}$']}"], ["}$"]),
        ([*BOXED, "trainer.mask_truncated_completions=true"], []),
        ([*BOXED, "rollout=transformers"], []),  # it knows none; the judge does not read on either
    ],
)
def test_a_next_question_ends_a_completion(overrides: list[str], stop_strings: list[str]) -> None:
    config = compose_config(*overrides)
    assert stop_strings_of(config, LOOPS[config.rollout.backend]) == stop_strings


def test_tasks_evaluated_together_stop_each_at_its_own(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    engine = make_engine(tiny_model, tokenizer, stop_strings=["Target"])
    other = engine.stopping_at(["Numbers"])
    assert other.stop.strings == ["Numbers"] and engine.stop.strings == ["Target"]
    assert engine.stopping_at([]).stop is None
