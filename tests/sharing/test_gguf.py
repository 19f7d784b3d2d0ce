"""GGUF files, written and read back by transformers: the same tokens, and logits that only F16 tells apart."""

from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from r1zero.sharing import gguf as ours
from r1zero.sharing.gguf import SPLITS, check_gguf, compare_gguf, write_gguf

TEXT = [
    "Numbers: 3 5 7 Target: 22. I'll try 3 * 7 = 21, it's too low.",
    "What is 1234 + 99?\n\n  café",
    "the then them",
]
REGEX = {name: pattern for pattern, name in SPLITS.items()}
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,  # far from uniform, so that mistakes show
    "vocab_size": 400,  # more than the tokenizer has: models pad
}


def byte_level(split: str, bos: bool = False) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split in ("gpt-2", "smollm"))
    tokenizer.pre_tokenizer = whole
    if split == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    elif split in REGEX:
        cut = pre_tokenizers.Split(Regex(REGEX[split]), behavior="isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, whole])
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXT * 4,
        trainers.BpeTrainer(
            vocab_size=330, initial_alphabet=alphabet, special_tokens=["<|end|>", "<|begin|>"], show_progress=False
        ),
    )
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", bos_token="<|begin|>"
    )
    made.add_tokens(["<think>"])
    return made


MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "llama, wide heads": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=16, tie_word_embeddings=False)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=128, tie_word_embeddings=False)),
}


def toy(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):  # which begin at zero
                parameter.normal_(std=0.3)
    return model


@pytest.mark.parametrize(
    ("name", "split", "bos"),
    [
        ("llama", "smollm", False),
        ("llama", "llama-bpe", True),
        ("llama, wide heads", "gpt-2", False),
        ("qwen2", "qwen2", False),
        ("qwen3", "qwen2", False),
    ],
)
def test_read_back_it_is_the_same_model(name: str, split: str, bos: bool, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    model, tokenizer = toy(name), byte_level(split, bos)
    check_gguf(model.config, tokenizer)
    for kind in ("f32", "f16"):
        path = tmp_path / f"{kind}.gguf"
        write_gguf(model, tokenizer, path, kind, "toy")
        said = compare_gguf(model, tokenizer, path, kind, [*TEXT, "<think> 3 + 4 </think>"])
        assert said.startswith("read back: the same tokens, logits within ")
    assert (tmp_path / "f16.gguf").stat().st_size < (tmp_path / "f32.gguf").stat().st_size


def test_a_mistake_in_the_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf")
    model, tokenizer = toy("llama"), byte_level("smollm")
    monkeypatch.setattr(ours, "interleaved", lambda weight, head_dim: weight)
    write_gguf(model, tokenizer, tmp_path / "a.gguf", "f32", "toy")
    with pytest.raises(ValueError, match="its logits are off by"):
        compare_gguf(model, tokenizer, tmp_path / "a.gguf", "f32", TEXT)
    monkeypatch.setattr(ours, "splitting", lambda parts: "qwen2")
    write_gguf(toy("llama"), byte_level("gpt-2"), tmp_path / "b.gguf", "f32", "toy")
    with pytest.raises(ValueError, match=r"cuts .* into other tokens"):
        compare_gguf(model, byte_level("gpt-2"), tmp_path / "b.gguf", "f32", ["call 1234 now, 99 and 1234 + 99"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt_neox"}, "the architecture gpt_neox is none of llama, qwen2, qwen3"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, r"rotary embedding is scaled \(llama3\)"),
        ({"hidden_act": "gelu"}, "its activation is gelu"),
        ({"attention_bias": True}, "it has attention_bias"),
    ],
)
def test_models_that_llama_cpp_would_compute_otherwise_are_refused(change: dict, message: str) -> None:
    pytest.importorskip("gguf")
    config = LlamaConfig(**SIZES)
    for key, value in change.items():
        config.__dict__[key] = value
    with pytest.raises(ValueError, match=message):
        check_gguf(config, byte_level("gpt-2"))


def test_a_qwen3_with_other_heads_is_refused() -> None:
    pytest.importorskip("gguf")
    with pytest.raises(ValueError, match="its heads have 16 values"):
        check_gguf(Qwen3Config(**SIZES, head_dim=16), byte_level("qwen2"))


def test_tokenizers_that_llama_cpp_would_cut_otherwise_are_refused() -> None:
    pytest.importorskip("gguf")
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    lower, spaced = byte_level("gpt-2"), byte_level("gpt-2")
    lower.backend_tokenizer.normalizer = normalizers.Lowercase()
    spaced.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    for tokenizer, message in (
        (words, "the tokenizer is WordLevel"),
        (lower, r"changes text first \(Lowercase\)"),
        (spaced, "splits text in a way"),
    ):
        with pytest.raises(ValueError, match=message):
            check_gguf(LlamaConfig(**SIZES), tokenizer)
