"""In-process rollouts: sample G completions a prompt from the policy, with its weights shared in place.

What makes it faster than ``generate``: each distinct prompt is prefilled once for its whole group; keys and values go
into buffers allocated once; rows that have finished leave the batch, so the decode loop never waits for the longest
completion with a full batch. What it leaves to ``generate``: models whose cache is more than plain keys and values
(sliding windows, state space layers).

Axes: P distinct prompts, B rows (completions), T completion tokens, V vocabulary.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import (
    Cache,
    DynamicCache,
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicLayer

log = logging.getLogger(__name__)

# Finished rows are dropped when they are this share of the batch: dropping copies the live part of the cache, so doing
# it for every single row would cost more than it saves (measured on 256 rows of the embedded model).
DROP_SHARE = 1 / 8


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; the names and meanings are those of TRL's ``GRPOConfig``.

    Attributes:
        max_tokens: Longest completion, end-of-sequence token included.
        temperature: Above 0. Ignored when ``greedy``.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the smallest set of likeliest tokens with at least this probability; 1.0 keeps all.
        min_p: Keep tokens at least this fraction as likely as the likeliest; None keeps all.
        greedy: Take the likeliest token.
    """

    max_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float | None = None
    greedy: bool = False

    def truncation(self) -> LogitsProcessorList:
        """The processors for top-k, top-p and min-p, in the order ``generate`` applies them."""
        processors = LogitsProcessorList()
        if self.top_k > 0:
            processors.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1.0:
            processors.append(TopPLogitsWarper(self.top_p))
        if self.min_p is not None:
            processors.append(MinPLogitsWarper(self.min_p))
        return processors


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    Attributes:
        ids: Token ids, the end-of-sequence token included when it was reached.
        logprobs: Log-probability of each id at the sampling temperature, before top-k, top-p and min-p: what the
            training forward computes. None from ``generate``.
        truncated: Reached ``max_tokens`` without an end-of-sequence token.
    """

    ids: list[int]
    logprobs: list[float] | None
    truncated: bool


def keyed_uniforms(keys: Sequence[str], num_tokens: int) -> torch.Tensor:
    """Random numbers in [0, 1), float64 (B, T): row b depends on ``keys[b]`` alone.

    A completion drawn from its own row of numbers does not depend on the other rows, on their order, or on which rank
    it was drawn.
    """
    rows = torch.empty(len(keys), num_tokens, dtype=torch.float64)
    generator = torch.Generator()
    for row, key in zip(rows, keys, strict=True):
        generator.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:7]))
        torch.rand(num_tokens, generator=generator, out=row, dtype=torch.float64)
    return rows


def draw(logits_BV: torch.Tensor, uniforms_B: torch.Tensor) -> torch.Tensor:
    """Token ids (B,): the inverse of the cumulative distribution of softmax(logits) at ``uniforms_B``."""
    cumulative_BV = logits_BV.softmax(dim=-1).cumsum(dim=-1)
    threshold_B1 = uniforms_B[:, None].to(cumulative_BV) * cumulative_BV[:, -1:]
    ids_B1 = torch.searchsorted(cumulative_BV, threshold_B1, right=True)
    return ids_B1.squeeze(1).clamp(max=logits_BV.size(1) - 1)


class RowLayer(DynamicLayer):
    """Keys and values of one layer in buffers (B, heads, capacity, head size), from which rows can be dropped."""

    def __init__(self, prefilled: DynamicLayer, prompt_of_row: torch.Tensor, capacity: int) -> None:
        super().__init__()
        self.length = prefilled.keys.size(-2)
        self.buffers = []
        for states in (prefilled.keys, prefilled.values):
            buffer = states.new_empty(len(prompt_of_row), states.size(1), capacity, states.size(3))
            buffer[:, :, : self.length] = states[prompt_of_row]
            self.buffers.append(buffer)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        """Append one position and return views of all so far."""
        end = self.length + key_states.size(-2)
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.length : end] = states
        self.length = end
        keys, values = self.buffers
        return keys[:, :, :end], values[:, :, :end]

    def get_seq_length(self) -> int:
        """Positions held."""
        return self.length

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Drop every row not in ``rows``; copies only the positions in use."""
        for i, buffer in enumerate(self.buffers):
            kept = buffer[: len(rows)]
            kept[:, :, : self.length] = buffer[:, :, : self.length].index_select(0, rows)
            self.buffers[i] = kept


def has_plain_cache(model: PreTrainedModel) -> bool:
    """Whether every layer caches plain keys and values, which is what the native loop can handle."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def left_pad(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both (P, longest prompt), padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    eos_ids: Sequence[int],
    pad_id: int,
) -> list[Completion]:
    """One completion for each row of ``prompts``; equal prompts are prefilled once.

    Args:
        model: A causal language model with a plain key-value cache, in evaluation mode.
        prompts: Token ids, one sequence a row.
        keys: Names the randomness of each row; the same key and weights give the same completion.
        sampling: How tokens are drawn.
        eos_ids: Tokens that end a completion.
        pad_id: Fills prompts to one length; never attended to.
    """
    device = model.device
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    where = {prompt: i for i, prompt in enumerate(distinct)}
    prompt_of_row = torch.tensor([where[tuple(prompt)] for prompt in prompts], device=device)
    ids_PS, mask_PS = left_pad(distinct, pad_id, device)
    padded = bool((mask_PS == 0).any())
    prompt_length, num_rows = ids_PS.size(1), len(prompts)

    prefill = DynamicCache(config=model.config)
    positions_PS = (mask_PS.cumsum(dim=1) - 1).clamp(min=0)
    logits_PV = model(
        input_ids=ids_PS,
        attention_mask=mask_PS,
        position_ids=positions_PS,
        past_key_values=prefill,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    cache = Cache(
        layers=[RowLayer(layer, prompt_of_row, prompt_length + sampling.max_tokens) for layer in prefill.layers]
    )
    logits_BV = logits_PV[prompt_of_row]
    position_B = positions_PS[prompt_of_row, -1]
    mask_BS = torch.ones(num_rows, prompt_length + sampling.max_tokens, dtype=mask_PS.dtype, device=device)
    mask_BS[:, :prompt_length] = mask_PS[prompt_of_row]

    uniforms_BT = keyed_uniforms(keys, sampling.max_tokens).to(device)
    truncation = sampling.truncation()
    eos = torch.tensor(list(eos_ids), device=device)
    ids_BT = torch.full((num_rows, sampling.max_tokens), pad_id, device=device)
    logprobs_BT = torch.zeros(num_rows, sampling.max_tokens, device=device)
    length_B = torch.full((num_rows,), sampling.max_tokens, device=device)
    ended_B = torch.zeros(num_rows, dtype=torch.bool, device=device)
    rows = torch.arange(num_rows, device=device)  # of the original batch, those still in the cache

    for step in range(sampling.max_tokens):
        logits_BV = logits_BV.float() / (1.0 if sampling.greedy else sampling.temperature)
        if sampling.greedy:
            next_B = logits_BV.argmax(dim=-1)
        else:
            next_B = draw(truncation(None, logits_BV) if truncation else logits_BV, uniforms_BT[rows, step])
        ids_BT[rows, step] = next_B
        logprobs_BT[rows, step] = logits_BV.log_softmax(dim=-1).gather(1, next_B[:, None]).squeeze(1)
        just_ended = torch.isin(next_B, eos) & ~ended_B[rows]
        length_B[rows[just_ended]] = step + 1
        ended_B[rows[just_ended]] = True

        live = (~ended_B[rows]).nonzero().squeeze(1)
        if len(live) == 0 or step + 1 == sampling.max_tokens:
            break
        if len(rows) - len(live) >= DROP_SHARE * len(rows):
            rows, next_B, position_B, mask_BS = rows[live], next_B[live], position_B[live], mask_BS[live]
            for layer in cache.layers:
                layer.keep_rows(live)
        position_B = position_B + 1
        logits_BV = model(
            input_ids=next_B[:, None],
            attention_mask=mask_BS[:, : prompt_length + step + 1] if padded else None,
            position_ids=position_B[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]

    return collect(ids_BT, logprobs_BT, length_B, ended_B)


def collect(
    ids_BT: torch.Tensor, logprobs_BT: torch.Tensor, length_B: torch.Tensor, ended_B: torch.Tensor
) -> list[Completion]:
    """The padded results as one object a row."""
    return [
        Completion(ids[:length], logprobs[:length], not ended)
        for ids, logprobs, length, ended in zip(
            ids_BT.tolist(), logprobs_BT.tolist(), length_B.tolist(), ended_B.tolist(), strict=True
        )
    ]


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    eos_ids: Sequence[int],
    pad_id: int,
) -> list[Completion]:
    """The same as ``decode`` through ``model.generate``, for any model; without log-probabilities.

    The randomness depends on all ``keys`` together, not on each row's own.
    """
    ids_PS, mask_PS = left_pad(prompts, pad_id, model.device)
    how = {"do_sample": False}
    if not sampling.greedy:
        how = {"do_sample": True, "temperature": sampling.temperature, "top_k": sampling.top_k}
        how |= {"top_p": sampling.top_p, "min_p": sampling.min_p}
    with torch.random.fork_rng():
        torch.manual_seed(int.from_bytes(hashlib.sha256("\n".join(keys).encode()).digest()[:7]))
        output = model.generate(
            input_ids=ids_PS,
            attention_mask=mask_PS,
            max_new_tokens=sampling.max_tokens,
            eos_token_id=list(eos_ids),
            pad_token_id=pad_id,
            **how,
        )
    ids_BT = output[:, ids_PS.size(1) :]
    is_eos_BT = torch.isin(ids_BT, torch.tensor(list(eos_ids), device=ids_BT.device))
    ended_B = is_eos_BT.any(dim=1)
    length_B = torch.where(ended_B, is_eos_BT.int().argmax(dim=1) + 1, ids_BT.size(1))
    return [
        Completion(ids[:length], None, not ended)
        for ids, length, ended in zip(ids_BT.tolist(), length_B.tolist(), ended_B.tolist(), strict=True)
    ]
