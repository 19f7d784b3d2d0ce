"""The decoding step that is written out gives what the models' own forward passes give."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from r1zero.rollout import decode as rollout
from r1zero.rollout import decoding_step
from r1zero.rollout.decode import decode
from r1zero.rollout.decoding_step import LlamaStep, OwnStep
from r1zero.rollout.sampling import Completion, Sampling

SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
ROPE = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 32}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama, biases, wide heads, yarn": LlamaConfig(
        **SIZES, attention_bias=True, mlp_bias=True, head_dim=16, rope_parameters=ROPE
    ),
    "llama, a key for each query": LlamaConfig(**SIZES | {"num_key_value_heads": 4}, attn_implementation="eager"),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
}


def build(config: PreTrainedConfig) -> PreTrainedModel:
    """Weights far from their initial values, norms and biases too."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return model


def samples(model: PreTrainedModel, step: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[Completion]:
    """Rows that come and go, with prompts of different lengths: masks, drops and refills."""
    monkeypatch.setattr(rollout, "decoding_step", step)
    prompts = [list(range(3, 4 + length)) for length in (0, 2, 5, 9) for _ in range(4)]
    keys = [str(row) for row in range(len(prompts))]
    return decode(model, prompts, keys, Sampling(max_tokens=20), list(range(10)), pad_id=0, max_rows=6)


def assert_same(ours: list[Completion], theirs: list[Completion], atol: float) -> None:
    """The same tokens, and log-probs that agree."""
    assert [done.ids for done in ours] == [done.ids for done in theirs]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=atol, rtol=0)


@pytest.mark.parametrize("max_joined_bytes", [0, 1 << 20])
@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_models_own_forward(name: str, max_joined_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_step, "MAX_JOINED_BYTES", max_joined_bytes)
    model = build(CONFIGS[name])
    assert isinstance(decoding_step.decoding_step(model), LlamaStep)
    assert_same(samples(model, LlamaStep, monkeypatch), samples(model, OwnStep, monkeypatch), atol=1e-5)


def test_adapters_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that is more than its weight is called, not joined."""
    peft = pytest.importorskip("peft", reason="needs the extra r1zero[lora]")
    model = build(CONFIGS["qwen2"])
    bare = samples(model, LlamaStep, monkeypatch)
    lora = peft.LoraConfig(target_modules=["q_proj", "up_proj", "down_proj"], init_lora_weights=False)
    model = peft.get_peft_model(model, lora).eval()
    assert isinstance(decoding_step.decoding_step(model), LlamaStep)
    ours = samples(model, decoding_step.decoding_step, monkeypatch)
    assert_same(ours, samples(model, OwnStep, monkeypatch), atol=1e-5)
    assert [done.ids for done in ours] != [done.ids for done in bare]
    with model.disable_adapter():
        assert_same(samples(model, decoding_step.decoding_step, monkeypatch), bare, atol=1e-5)


@pytest.mark.parametrize("name", ["llama, biases, wide heads, yarn", "qwen3"])
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_rounds_where_the_model_does(name: str, autocast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps 8 bits: one product rounded elsewhere moves log-probs by some 1e-2, and other tokens follow."""
    model = build(CONFIGS[name])
    if not autocast:
        model = model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = samples(model, LlamaStep, monkeypatch)
        theirs = samples(model, OwnStep, monkeypatch)
    assert_same(ours, theirs, atol=1e-3)


@pytest.mark.parametrize(
    "config", [GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4), MistralConfig(**SIZES, sliding_window=8)]
)
def test_other_models_do_their_own(config: PreTrainedConfig) -> None:
    assert isinstance(decoding_step.decoding_step(build(config)), OwnStep)
