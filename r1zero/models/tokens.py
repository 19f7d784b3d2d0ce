"""From text to token ids, and from token ids to padded tensors."""

import torch
from transformers import PreTrainedTokenizerBase


def encode(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of ``prompt``; a beginning-of-text token that the chat template already wrote is not doubled."""
    has_bos = tokenizer.bos_token is not None and prompt.startswith(tokenizer.bos_token)
    return tokenizer(prompt, add_special_tokens=not has_bos)["input_ids"]


def left_pad(prompts: list[list[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both (P, longest prompt), padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        if prompt:
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
