"""Whether a model, its tokenizer and the prompts of a task fit each other, told before anything runs."""

from collections.abc import Iterable
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import ModelConfig
from r1zero.models.tokens import encode

LOOKED_AT = 64  # the longest text is not always the one with most tokens, but among the longest


def check_tokenizer_fits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> None:
    """Every token has a row in the embedding.

    Raises:
        ValueError: The tokenizer has more tokens.
    """
    rows = cast(torch.Tensor, model.get_input_embeddings().weight).shape[0]
    if len(tokenizer) > rows > 0:  # ZeRO-3 shows no rows here
        raise ValueError(
            f"model.path = {config.path}: its tokenizer has {len(tokenizer)} tokens and its embedding {rows} rows, so "
            "some would be out of range. Put the tokenizer that the model was trained with into the folder."
        )


def check_finite(model: PreTrainedModel, config: ModelConfig) -> None:
    """No weight is NaN or infinite.

    Raises:
        ValueError: One is; names the first such tensor.
    """
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight.detach().sum(dtype=torch.float32)):
            raise ValueError(
                f"model.path = {config.path}: {name} has values that are not finite, so that nothing can be sampled. "
                "Set a checkpoint from before they came."
            )


def longest_prompt(prompts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of the longest prompt; 0 without any."""
    candidates = sorted(set(prompts), key=len, reverse=True)[:LOOKED_AT]
    return max((len(encode(prompt, tokenizer)) for prompt in candidates), default=0)


def check_context(model: PreTrainedModel, prompt_tokens: int, max_tokens: int, key: str) -> None:
    """A prompt of ``prompt_tokens`` and a completion of ``max_tokens``, which ``key`` sets, have room.

    Raises:
        ValueError: The model has fewer positions.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and prompt_tokens + max_tokens > positions:
        remedy = f"Set {key}={positions - prompt_tokens}" if prompt_tokens < positions else "Use shorter prompts"
        raise ValueError(
            f"{key} = {max_tokens}: with a prompt of {prompt_tokens} tokens, the longest of this task, that makes "
            f"{prompt_tokens + max_tokens}, and the model has {positions} positions. {remedy}, or another model."
        )
