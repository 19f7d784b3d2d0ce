"""Rollouts: the tokens, the distribution and the log-probs of the model, whatever shares the batch."""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from r1zero.rollout import cuda_graphs
from r1zero.rollout import decode as rollout
from r1zero.rollout.decode import decode
from r1zero.rollout.kv_cache import has_plain_cache
from r1zero.rollout.library_loops import generate, generate_continuously
from r1zero.rollout.sampling import Sampling, draw, keyed_uniforms
from r1zero.rollout.stop_strings import StopStrings
from r1zero.training.trainer import R1ZeroTrainer

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
@pytest.mark.parametrize("top_k", [0, 50])
def test_logprobs_are_those_of_a_plain_forward(tiny_model: LlamaForCausalLM, temperature: float, top_k: int) -> None:
    """Under the distribution that is drawn from, after top-k."""
    sampling = Sampling(max_tokens=15, temperature=temperature, top_k=top_k)
    for prompt, done in zip(PROMPTS, decode(tiny_model, PROMPTS, KEYS, sampling, [EOS], PAD), strict=True):
        logits = tiny_model(torch.tensor([prompt + done.ids])).logits[0, len(prompt) - 1 : -1] / temperature
        logits[logits < logits.topk(top_k or logits.size(1)).values[:, -1:]] = -torch.inf
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
    monkeypatch.setitem(rollout.PACES, "cpu", replace(rollout.PACES["cpu"], look_every=look_every))
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


def test_columns_that_no_row_has_written_do_not_matter(
    tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffers start as whatever the memory held, NaN too; a long prompt that comes late makes others see more of it."""
    prompts = [[1, 30]] * 4 + [list(range(3, 15))] * 2
    keys, sampling, eos = [str(i) for i in range(6)], Sampling(max_tokens=4), list(range(60, 224))
    expected = decode(tiny_model, prompts, keys, sampling, eos, PAD)
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))
    found = decode(tiny_model, prompts, keys, sampling, eos, PAD, max_rows=4)
    assert [done.ids for done in found] == [done.ids for done in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=1e-5, rtol=0)


def test_a_completion_is_handed_on_while_others_decode(
    tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is known before the model has run for the last time."""
    calls: list[str] = []
    head = tiny_model.lm_head.forward
    monkeypatch.setattr(tiny_model.lm_head, "forward", lambda hidden: (calls.append("step"), head(hidden))[1])
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


def test_weights_are_cast_once_for_a_rollout(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """Under bfloat16 autocast of float32 weights, which would else cast all of them at every token."""
    trainer = make_trainer(bf16=True, use_cpu=True)
    weight = trainer.model.model.layers[0].mlp.up_proj.weight
    sampling = Sampling(max_tokens=8)
    with torch.profiler.profile(record_shapes=True) as profile:
        done = trainer.engine.sample(PROMPTS, KEYS, sampling)
    casts = [
        event
        for event in profile.events()
        if event.name == "aten::_to_copy" and event.input_shapes[:1] == [list(weight.shape)]
    ]
    assert max(len(one.ids) for one in done) > 2
    alike = sum(other.shape == weight.shape for other in trainer.model.parameters())
    assert len(casts) == alike
    trainer.model.eval()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):  # casts at every token
        apart = decode(trainer.model, PROMPTS, KEYS, sampling, trainer.eos_token_ids, PAD)
    assert [one.ids for one in done] == [one.ids for one in apart]
    assert [one.logprobs for one in done] == [one.logprobs for one in apart]


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


class Recording(TorchDispatchMode):
    """Stands in for the capture of a CUDA graph: notes the operations of a step, and undoes what they wrote.

    Refuses what a capture refuses, an operation whose result has to be known to go on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, ...]] = []
        self.written: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags)
        if func is torch.ops.aten.index.Tensor:  # of a dynamic shape under a mask only
            waits = any(index is not None and index.dtype is torch.bool for index in args[1])
        assert not waits, f"{func} cannot be captured"
        for arg, declared in zip(args, func._schema.arguments, strict=False):
            if declared.alias_info is not None and declared.alias_info.is_write:
                self.written.setdefault(id(arg), (arg, arg.clone()))
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """The same operations on the same memory, without the Python between them."""
        now: dict[int, torch.Tensor] = {}
        for func, args, kwargs, before in self.operations:
            args, kwargs = tree_map_only(torch.Tensor, lambda tensor: now.get(id(tensor), tensor), (args, kwargs))
            result = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(result), strict=True):
                now[id(old)] = new


def record(step: Callable[[], None]) -> Callable[[], None]:
    """The replay of ``step``, which is not done yet."""
    recording = Recording()
    with recording:
        step()
    for tensor, before in recording.written.values():
        tensor.copy_(before)
    return recording.replay


@pytest.mark.parametrize("max_rows", [3, 16, 64])
@pytest.mark.parametrize("how", [{}, {"top_k": 20, "top_p": 0.9, "min_p": 0.01}, {"greedy": True}])
def test_captured_steps_give_the_same_completions(
    tiny_model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
    how: dict[str, Any],
    max_rows: int,
) -> None:
    """The pace and the fixed shapes of CUDA, on a CPU: rows leave, others enter, columns move, strings end rows."""
    prompts, keys, eos = PROMPTS * 8, [f"row {i}" for i in range(40)], list(range(2, 12))
    stop = StopStrings(["7", "(yes)", "9 1"], tokenizer)
    arguments = (tiny_model, prompts, keys, Sampling(max_tokens=40, **how), eos, PAD)
    eager = decode(*arguments, max_rows=max_rows, stop=stop)
    replays: list[str] = []

    def capture(step: Callable[[], None]) -> Callable[[], None]:
        replay = record(step)
        return lambda: (replays.append("replay"), replay())[1]

    monkeypatch.setitem(rollout.PACES, "cpu", replace(rollout.PACES["cuda"], column_block=16))
    monkeypatch.setitem(cuda_graphs.CAPTURES, "cpu", lambda: capture)
    replayed = decode(*arguments, max_rows=max_rows, stop=stop)
    assert len(replays) > 5
    assert [(done.ids, done.truncated) for done in replayed] == [(done.ids, done.truncated) for done in eager]
    for one, other in zip(replayed, eager, strict=True):
        torch.testing.assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=3e-5, rtol=0)
        assert one.entropy == pytest.approx(other.entropy, abs=1e-3)


def test_a_step_that_cannot_be_captured_runs_as_it_is(
    tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(step: Callable[[], None]) -> Callable[[], None]:
        try:
            raise ValueError("cannot copy to the CPU")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    arguments = (tiny_model, PROMPTS, KEYS, Sampling(max_tokens=20), [EOS], PAD)
    expected = [done.ids for done in decode(*arguments)]
    monkeypatch.setitem(rollout.PACES, "cpu", rollout.PACES["cuda"])
    monkeypatch.setitem(cuda_graphs.CAPTURES, "cpu", lambda: refuse)
    with caplog.at_level(logging.INFO):
        assert [done.ids for done in decode(*arguments)] == expected
    assert [record.message for record in caplog.records] == [
        "Decoding goes on without further CUDA graphs: ValueError('cannot copy to the CPU')"
    ]
    assert "cpu" not in cuda_graphs.CAPTURES
