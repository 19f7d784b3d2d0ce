"""Rollouts: the tokens, the distribution and the log-probs of the model, whatever shares the batch."""

import copy
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from r1zero import rollout
from r1zero.kv_cache import has_plain_cache
from r1zero.rollout import Sampling, decode, draw, keyed_uniforms
from r1zero.rollout_transformers import generate, generate_continuously
from r1zero.stop_strings import StopStrings

EOS, PAD = 2, 0
PROMPTS = [[1, 30, 31], [1, 40], [1, 50, 51, 52, 53], [1, 30, 31], [1, 60, 61]]
KEYS = [f"row {i}" for i in range(len(PROMPTS))]


def test_greedy_is_what_generate_gives(tiny_model: LlamaForCausalLM) -> None:
    sampling = Sampling(max_tokens=20, greedy=True)
    ours = decode(tiny_model, PROMPTS, KEYS, sampling, [EOS, 40], PAD)
    theirs = generate(tiny_model, PROMPTS, KEYS, sampling, [EOS, 40], PAD)
    assert [done.ids for done in ours] == [done.ids for done in theirs]
    assert [done.truncated for done in ours] == [done.truncated for done in theirs]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_a_plain_forward(tiny_model: LlamaForCausalLM, temperature: float) -> None:
    sampling = Sampling(max_tokens=15, temperature=temperature, top_k=50)
    for prompt, done in zip(PROMPTS, decode(tiny_model, PROMPTS, KEYS, sampling, [EOS], PAD), strict=True):
        logits = tiny_model(torch.tensor([prompt + done.ids])).logits[0, len(prompt) - 1 : -1] / temperature
        expected = logits.log_softmax(-1).gather(1, torch.tensor(done.ids)[:, None]).squeeze(1)
        torch.testing.assert_close(torch.tensor(done.logprobs), expected, atol=1e-5, rtol=0)


def test_a_completion_depends_on_its_key_alone(tiny_model: LlamaForCausalLM) -> None:
    """Not on the order of the batch, nor on who else is in it, nor on when others finish."""
    eos = list(range(2, 60))  # a quarter of the vocabulary ends a row, so rows leave the batch at all times
    sampling = Sampling(max_tokens=25)
    prompts, keys = PROMPTS * 8, [f"row {i}" for i in range(40)]
    together = decode(tiny_model, prompts, keys, sampling, eos, PAD)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1)).tolist()
    shuffled = decode(tiny_model, [prompts[i] for i in order], [keys[i] for i in order], sampling, eos, PAD)
    assert [together[i].ids for i in order] == [done.ids for done in shuffled]
    for i in (0, 7, 39):
        assert decode(tiny_model, [prompts[i]], [keys[i]], sampling, eos, PAD)[0].ids == together[i].ids
    assert len({len(done.ids) for done in together}) > 5


def test_a_row_ends_with_its_first_eos_or_is_truncated(tiny_model: LlamaForCausalLM) -> None:
    eos = list(range(2, 60))
    done_rows = decode(tiny_model, PROMPTS * 8, [str(i) for i in range(40)], Sampling(max_tokens=6), eos, PAD)
    for done in done_rows:
        assert not any(token in eos for token in done.ids[:-1])
        assert done.truncated == (done.ids[-1] not in eos)
        assert len(done.ids) == len(done.logprobs) == 6 or not done.truncated
    assert {done.truncated for done in done_rows} == {True, False}


@pytest.mark.parametrize("look_every", [1, 3, 8])
@pytest.mark.parametrize("max_rows", [1, 3, 7, 16])
def test_waiting_rows_take_the_places_of_finished_ones(
    tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch, max_rows: int, look_every: int
) -> None:
    """However few rows fit at once and however rarely somebody looks, prompts of 1 to 8 tokens, 40 of them."""
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(3, 200, (i % 8 + 1,), generator=generator).tolist() for i in range(10)]
    prompts = [prompt for prompt in prompts for _ in range(4)]
    keys, eos, sampling = [str(i) for i in range(40)], list(range(2, 12)), Sampling(max_tokens=25)
    at_once = decode(tiny_model, prompts, keys, sampling, eos, PAD)
    monkeypatch.setitem(rollout.LOOK_EVERY, "cpu", look_every)
    finished: dict[int, rollout.Completion] = {}
    in_turn = decode(tiny_model, prompts, keys, sampling, eos, PAD, max_rows=max_rows, on_finish=finished.__setitem__)
    assert [done.ids for done in in_turn] == [done.ids for done in at_once]
    assert [done.truncated for done in in_turn] == [done.truncated for done in at_once]
    for one, other in zip(in_turn, at_once, strict=True):
        torch.testing.assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=3e-5, rtol=0)
        assert one.entropy == pytest.approx(other.entropy, abs=1e-3)
    assert [finished[row] for row in range(40)] == in_turn
    assert any(done.truncated for done in in_turn)
    assert not all(done.truncated for done in in_turn)


def test_a_completion_is_handed_on_while_others_decode(
    tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is known before the model has run for the last time."""
    calls: list[str] = []
    forward = tiny_model.forward
    monkeypatch.setattr(
        tiny_model, "forward", lambda *args, **kwargs: (calls.append("step"), forward(*args, **kwargs))[1]
    )
    eos = list(range(2, 60))
    decode(tiny_model, PROMPTS, KEYS, Sampling(max_tokens=25), eos, PAD, on_finish=lambda *_: calls.append("finished"))
    assert calls.index("finished") < len(calls) - 1 - calls[::-1].index("step")


def test_stop_strings_end_a_completion(tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """The same samples as without, cut behind the first token that completes one."""
    prompts, keys, sampling = PROMPTS * 8, [f"row {i}" for i in range(40)], Sampling(max_tokens=20)
    stop_strings = ["7", "</answer>", "(yes)", "9 1"]
    free = decode(tiny_model, prompts, keys, sampling, [EOS], PAD)
    stop = StopStrings(stop_strings, tokenizer)
    stopped = decode(tiny_model, prompts, keys, sampling, [EOS], PAD, stop=stop)
    for whole, cut in zip(free, stopped, strict=True):
        texts = [tokenizer.decode(whole.ids[:length]) for length in range(1, len(whole.ids) + 1)]
        ends = [any(string in text for string in stop_strings) for text in texts]
        length = ends.index(True) + 1 if True in ends else len(whole.ids)
        assert cut.ids == whole.ids[:length]
        assert cut.truncated == (True not in ends and whole.truncated)
    assert 0 < sum(cut.truncated for cut in stopped) < sum(whole.truncated for whole in free)


def test_bfloat16_decodes_what_its_forward_says(tiny_model: LlamaForCausalLM) -> None:
    """A step and a whole forward round differently; bfloat16 keeps 8 bits, so log-probs agree to some 1e-1."""
    model = copy.deepcopy(tiny_model).to(torch.bfloat16)
    sampling = Sampling(max_tokens=15)
    for prompt, done in zip(PROMPTS, decode(model, PROMPTS, KEYS, sampling, [EOS], PAD), strict=True):
        logits = model(torch.tensor([prompt + done.ids])).logits[0, len(prompt) - 1 : -1].float()
        expected = logits.log_softmax(-1).gather(1, torch.tensor(done.ids)[:, None]).squeeze(1)
        torch.testing.assert_close(torch.tensor(done.logprobs), expected, atol=0.25, rtol=0)


def test_the_first_token_follows_the_model(tiny_model: LlamaForCausalLM) -> None:
    """Chi-square of 4,000 samples at temperature 0.8 and top-k 30 against the exact probabilities.

    30 tokens; those expected less than 5 times share a bin. p = 0.001 at 58.3 for 29 degrees of
    freedom, at less for fewer.
    """
    count = 4_000
    sampling = Sampling(max_tokens=1, temperature=0.8, top_k=30)
    keys = [str(i) for i in range(count)]
    rows = decode(tiny_model, [PROMPTS[0]] * count, keys, sampling, [EOS], PAD, max_rows=1000)
    drawn = torch.tensor([done.ids[0] for done in rows]).bincount(minlength=tiny_model.config.vocab_size).double()
    logits = tiny_model(torch.tensor([PROMPTS[0]])).logits[0, -1].double() / 0.8
    logits[logits < logits.topk(30).values[-1]] = -torch.inf
    expected = logits.softmax(-1) * count
    assert drawn[expected == 0].sum() == 0
    rare = (expected > 0) & (expected < 5)
    often = expected >= 5
    statistic = ((drawn[often] - expected[often]) ** 2 / expected[often]).sum()
    if rare.any():
        statistic += (drawn[rare].sum() - expected[rare].sum()) ** 2 / expected[rare].sum()
    assert often.sum() > 5
    assert statistic < 58.3


@pytest.mark.parametrize("loop", [generate, pytest.param(generate_continuously, marks=pytest.mark.slow)])
def test_the_librarys_loops_give_the_same_greedy_tokens(tiny_model: LlamaForCausalLM, loop: Any) -> None:
    sampling = Sampling(max_tokens=12, greedy=True)
    ours = decode(tiny_model, PROMPTS, KEYS, sampling, [EOS, 40], PAD)
    theirs = loop(tiny_model, PROMPTS, KEYS, sampling, [EOS, 40], PAD, max_rows=2)
    assert [(done.ids, done.truncated) for done in theirs] == [(done.ids, done.truncated) for done in ours]
    assert theirs[0].logprobs is None


def test_samples_follow_the_exact_distribution() -> None:
    """Chi-square against known probabilities: 20,000 draws over 10 tokens, 9 degrees of freedom, p = 0.001 at 27.9."""
    probabilities = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005])
    count = 20_000
    uniforms = keyed_uniforms([str(i) for i in range(count)], 1)[:, 0]
    drawn = draw(probabilities.expand(count, -1), uniforms)
    expected = probabilities * count
    statistic = ((drawn.bincount(minlength=10) - expected) ** 2 / expected).sum()
    assert statistic < 27.9


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    uniforms = torch.tensor([0.0, 0.499999, 0.5, 0.75, 1 - 1e-9], dtype=torch.float64)
    assert draw(logits.softmax(dim=-1).expand(5, -1), uniforms).tolist() == [1, 1, 3, 3, 3]


def test_truncation_keeps_only_the_likeliest(tiny_model: LlamaForCausalLM) -> None:
    """top_k = 1 and a tiny top_p both leave one token: greedy."""
    greedy = [done.ids for done in decode(tiny_model, PROMPTS, KEYS, Sampling(9, greedy=True), [EOS], PAD)]
    for sampling in (Sampling(9, top_k=1), Sampling(9, top_p=1e-6), Sampling(9, min_p=1.0)):
        assert [done.ids for done in decode(tiny_model, PROMPTS, KEYS, sampling, [EOS], PAD)] == greedy


def test_generate_is_repeatable_and_leaves_the_global_generator_alone(tiny_model: LlamaForCausalLM) -> None:
    state = torch.get_rng_state()
    first = generate(tiny_model, PROMPTS, KEYS, Sampling(8), [EOS], PAD)
    again = generate(tiny_model, PROMPTS, KEYS, Sampling(8), [EOS], PAD)
    assert [done.ids for done in first] == [done.ids for done in again]
    assert torch.equal(state, torch.get_rng_state())


def test_a_sliding_window_model_is_left_to_generate(tiny_model: LlamaForCausalLM) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    window = MistralForCausalLM(
        MistralConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            sliding_window=4,
        )
    )
    assert not has_plain_cache(window)
    assert has_plain_cache(tiny_model)
