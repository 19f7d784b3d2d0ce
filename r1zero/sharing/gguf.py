"""A model as one GGUF file for llama.cpp, by the ``gguf`` package; read back by transformers and compared.

Llama, Qwen2 and Qwen3 with byte-level BPE, which is what base models of the sizes that are trained here have. Weights
are F16 or F32; quantising them further is llama.cpp's work. What cannot be written as it is is refused, not bent.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

ARCHITECTURES = {"llama": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}  # model_type -> gguf.MODEL_ARCH
DTYPES = {"f16": torch.float16, "f32": torch.float32}
# How a vocabulary splits text before it merges, and llama.cpp's name for it (its src/llama-vocab.cpp).
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SUFFIXES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPLITS = {
    rf"{SUFFIXES}|{LETTERS}|\p{{N}}|{REST}": "qwen2",
    rf"{SUFFIXES}|{LETTERS}|\p{{N}}{{1,3}}|{REST}": "llama-bpe",
}
PROBE = "Step 1: 3 * (17 - 4) = 39.\n\n\tSo it's \"39\", isn't it? I'LL check: 1234567 naïve 日本語 🙂  <b>x</b>"
# Largest difference of a logit, as a share of the largest logit. Measured on SmolLM2-135M: 0.0018 in F16, 0 in F32.
TOLERANCE = {"f16": 0.01, "f32": 1e-4}


def check_gguf(config: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """The model of this transformers ``config`` and its tokenizer can be written.

    Raises:
        ValueError: They cannot, or the package is missing; says why.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ValueError("gguf: the package gguf is not installed. pip install gguf, or leave gguf out.")
    fault = fault_of_model(config) or fault_of_tokenizer(tokenizer)
    if fault is not None:
        raise ValueError(f"gguf: {fault}. Leave gguf out; the folder itself loads with transformers and vLLM.")


def fault_of_model(config: Any) -> str | None:
    """Why llama.cpp would compute something else; None if it would not."""
    if config.model_type not in ARCHITECTURES:
        return f"the architecture {config.model_type} is none of {', '.join(ARCHITECTURES)}"
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        return f"its rotary embedding is scaled ({rope['rope_type']}), which is not written yet"
    if getattr(config, "use_sliding_window", False):
        return "it has sliding-window attention, which is not written yet"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}, and llama.cpp computes silu"
    if config.model_type == "qwen3" and config.head_dim != 128:
        return f"its heads have {config.head_dim} values, and transformers reads a Qwen3 back with 128"
    biases = [name for name in ("attention_bias", "mlp_bias") if getattr(config, name, False)]
    return f"it has {biases[0]}, which transformers does not read back" if biases else None


def fault_of_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Why llama.cpp would cut text into other tokens; None if it would not."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return f"the tokenizer {type(tokenizer).__name__} has no description that can be read"
    parts = json.loads(backend.to_str())
    kind = parts["model"]["type"]
    if kind != "BPE":
        return f"the tokenizer is {kind}, and llama.cpp knows BPE"
    if (parts["normalizer"] or {"type": "NFC"})["type"] != "NFC":  # which llama.cpp leaves out, for Qwen too
        return f"the tokenizer changes text first ({parts['normalizer']['type']}), which llama.cpp does not"
    return None if splitting(parts) else "the tokenizer splits text in a way that llama.cpp has no name for"


def splitting(parts: dict[str, Any]) -> str | None:
    """llama.cpp's name for how the tokenizer with this JSON splits text; None if it has none."""
    given = parts["pre_tokenizer"] or {}
    steps = given["pretokenizers"] if given.get("type") == "Sequence" else [given]
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0]["use_regex"] and not steps[0]["add_prefix_space"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and steps[0]["behavior"] == "Isolated":
        return SPLITS.get(steps[0]["pattern"].get("Regex"))
    return None


def write_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path, kind: str, name: str) -> None:
    """Write the model and its tokenizer to ``path``; ``kind`` is ``f16`` or ``f32``, norms and biases always F32.

    Raises:
        ValueError: A weight is too large for F16.
    """
    import gguf

    config = model.config
    arch = gguf.MODEL_ARCH[ARCHITECTURES[config.model_type]]
    writer = gguf.GGUFWriter(str(path), gguf.MODEL_ARCH_NAMES[arch])
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.ALL_F32)
    add_tokenizer(writer, tokenizer, config.vocab_size)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for key, weight in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = weight.detach().to(torch.float32)
        if config.model_type == "llama" and key.endswith(("q_proj.weight", "k_proj.weight")):
            weight = interleaved(weight, head_dim)
        if weight.ndim > 1 and kind == "f16":
            if weight.abs().max() > torch.finfo(torch.float16).max:
                raise ValueError(f"gguf = f16: a weight of {key} is too large for F16. Set gguf=f32.")
            weight = weight.to(DTYPES[kind])
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), weight.cpu().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleaved(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Rows of a llama's queries or keys in llama.cpp's order: the two that are rotated together stand together."""
    halves = weight.reshape(-1, 2, head_dim // 2, weight.shape[1])
    return halves.transpose(1, 2).reshape(weight.shape)


def add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
    """Describe the byte-level BPE ``tokenizer``; ids without a token, up to ``vocab_size``, are unused ones."""
    from gguf import TokenType

    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = {index: token for token, index in tokenizer.get_vocab().items()}
    added = {token["id"]: token["special"] for token in parts["added_tokens"]}
    texts, types = [], []
    for index in range(vocab_size):
        texts.append(tokens.get(index, f"[PAD{index}]"))
        known = TokenType.NORMAL if index in tokens else TokenType.UNUSED
        special = TokenType.CONTROL if added.get(index) else TokenType.USER_DEFINED
        types.append(special if index in added else known)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting(parts))
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in parts["model"]["merges"]]
    )
    for add, index in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
    ):
        if index is not None:
            add(index)
    begins = tokenizer("x").input_ids[:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


@torch.no_grad()
def compare_gguf(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path, kind: str, texts: list[str]
) -> str:
    """A sentence that says how near the file, read back by transformers, is to the model it was written from.

    Raises:
        ValueError: It cuts a text into other tokens, or its logits are further off than F16 can account for.
    """
    back_tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    back = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    furthest = 0.0
    for text in [*texts, PROBE]:
        ids, back_ids = tokenizer(text).input_ids, back_tokenizer(text).input_ids
        if ids != back_ids:
            raise ValueError(f"gguf: read back, the tokenizer cuts {text[:40]!r} into other tokens; it is not kept.")
        batch = torch.tensor([ids])
        right = model(batch.to(model.device)).logits.to("cpu", torch.float32)
        off = (back(batch).logits.to(torch.float32) - right).abs().max() / right.abs().max()
        furthest = max(furthest, off.item())
    if not furthest <= TOLERANCE[kind]:
        raise ValueError(f"gguf: read back, its logits are off by {furthest:.2%} of the largest; it is not kept.")
    return f"read back: the same tokens, logits within {furthest:.1e} of the largest, on {len(texts) + 1} texts"
