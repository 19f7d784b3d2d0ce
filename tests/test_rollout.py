"""Rollouts: the tokens, the distribution and the log-probs of the model, whatever shares the batch."""

import pytest
import torch
from transformers import LlamaForCausalLM

from r1zero.rollout import Sampling, decode, draw, generate, has_plain_cache, keyed_uniforms

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


def test_samples_follow_the_exact_distribution() -> None:
    """Chi-square against known probabilities: 20,000 draws over 10 tokens, 9 degrees of freedom, p = 0.001 at 27.9."""
    probabilities = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.03, 0.015, 0.005])
    count = 20_000
    uniforms = keyed_uniforms([str(i) for i in range(count)], 1)[:, 0]
    drawn = draw(probabilities.log().expand(count, -1), uniforms)
    expected = probabilities * count
    statistic = ((drawn.bincount(minlength=10) - expected) ** 2 / expected).sum()
    assert statistic < 27.9


def test_a_token_of_probability_zero_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    uniforms = torch.tensor([0.0, 0.499999, 0.5, 0.75, 1 - 1e-9], dtype=torch.float64)
    assert draw(logits.expand(5, -1), uniforms).tolist() == [1, 1, 3, 3, 3]


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
