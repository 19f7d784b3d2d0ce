"""Log-probs of completions with each distinct prompt computed once for all its completions.

A group's completions continue the same prompt, and causal attention keeps the prompt's keys and values free of what
follows. So they are computed once and every completion attends to them, as a rollout's prefill does; gradients add up
through them. Also, the head meets only positions whose next token is scored: without Triton, TRL's fused head runs over
prompts and padding too.

Does not decide when it pays: ``micro_batches.worth_sharing`` counts.
"""

from typing import Any, cast

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from r1zero.rollout.kv_cache import CACHE_ARGUMENT, has_plain_cache
from r1zero.training.micro_batches import worth_sharing

ATTENTION = ("sdpa", "eager")  # those that are tested with queries that continue a cache


def can_share_prompts(model: PreTrainedModel) -> bool:
    """Whether gradients can flow through the model's cache, which checkpointing of activations turns off."""
    checkpointing = model.training and model.is_activation_checkpointing
    return has_plain_cache(model) and model.config._attn_implementation in ATTENTION and not checkpointing


def shared_logprobs(
    model: PreTrainedModel,
    ids_BS: torch.Tensor,
    mask_BS: torch.Tensor,
    completion: int,
    batch_size: int | None,
    with_entropy: bool,
) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    """Log-probs (B, T) of the last ``completion`` columns, entropies if wanted; None where sharing saves too little.

    Args:
        model: A causal LM with TRL's fused head.
        ids_BS, mask_BS: Prompts padded on the left, completions padded on the right.
        completion: T.
        batch_size: Rows to compute at once; None for all.
        with_entropy: Also compute the entropies.
    """
    prompt = ids_BS.size(1) - completion
    size = batch_size or len(ids_BS)
    parts = list(zip(ids_BS.split(size), mask_BS.split(size), strict=True))
    if not all(worth_sharing(ids[:, :prompt], completion) for ids, _ in parts):
        return None
    outputs = [completion_logprobs(model, ids, mask, prompt) for ids, mask in parts]
    entropies = torch.cat([output.entropy for output in outputs]) if with_entropy else None
    return torch.cat([output.log_probs for output in outputs]), entropies


def completion_logprobs(model: Any, ids_BS: torch.Tensor, mask_BS: torch.Tensor, prompt: int) -> Any:
    """TRL's ``FusedCausalLMOutput`` for the completion tokens: ``log_probs`` and ``entropy`` (B, T), 0 on padding.

    Args:
        model: A causal LM with TRL's fused head (``trl.trainer.utils.add_fused_lm_head``).
        ids_BS, mask_BS: Prompts padded on the left, completions padded on the right.
        prompt: Columns of the prompts, at least 1.
    """
    prompts_PS, prompt_B = ids_BS[:, :prompt].unique(dim=0, return_inverse=True)
    cache = DynamicCache(config=model.config)
    if prompt > 1:
        # Rows with the same ids have the same mask: padding is in front, and no prompt begins with it.
        mask_PS = torch.zeros_like(prompts_PS).index_copy(0, prompt_B, mask_BS[:, :prompt])
        prefix = DynamicCache(config=model.config)
        model(
            input_ids=prompts_PS[:, :-1],
            attention_mask=mask_PS[:, :-1],
            **{CACHE_ARGUMENT: prefix},
            use_cache=True,
            logits_to_keep=1,
        )
        for index, layer in enumerate(cast(list[DynamicLayer], prefix.layers)):
            # Not keys[prompt_B]: several threads add up the gradient of that in any order, another one in each run.
            keys, values = (cast(torch.Tensor, state).index_select(0, prompt_B) for state in (layer.keys, layer.values))
            cache.update(keys, values, index)
    # The prompt's last token and all but the last of the completion: each is scored on what comes next.
    return model(
        input_ids=ids_BS[:, prompt - 1 : -1],
        attention_mask=mask_BS[:, :-1],
        **{CACHE_ARGUMENT: cache},
        shift_labels=ids_BS[:, prompt:].masked_fill(mask_BS[:, prompt:] == 0, -100),
        fused_lm_head=True,
    )
