"""In-process rollouts: sample G completions a prompt from the policy, with its weights shared in place.

What makes it faster than ``generate``: each distinct prompt is prefilled once for its whole group; keys and values go
into buffers allocated once; rows that have finished leave the batch, so the decode loop never waits for the longest
completion with a full batch. What it leaves to ``generate``: models whose cache is more than plain keys and values
(sliding windows, state space layers).

Axes: P distinct prompts, B rows (completions), T completion tokens, V vocabulary.
"""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import (
    Cache,
    DynamicCache,
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

    def truncate(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """``logits_BV`` with the tokens that top-k, top-p and min-p rule out at minus infinity, in the order of
        ``generate``.
        """
        unused = torch.LongTensor()  # the warpers' signature asks for the ids so far
        for warper in (
            TopKLogitsWarper(self.top_k) if self.top_k > 0 else None,
            TopPLogitsWarper(self.top_p) if self.top_p < 1.0 else None,
            MinPLogitsWarper(self.min_p) if self.min_p is not None else None,
        ):
            if warper is not None:
                logits_BV = warper(unused, logits_BV)
        return logits_BV


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    Attributes:
        ids: Token ids, the end-of-sequence token included when it was reached.
        logprobs: Log-probability of each id at the sampling temperature, before top-k, top-p and min-p: what the
            training forward computes. None from ``generate``.
        entropy: Of the distributions the ids were drawn from, before top-k, top-p and min-p; nats, summed over the ids.
            NaN from ``generate``.
        truncated: Reached ``max_tokens`` without an end-of-sequence token.
    """

    ids: list[int]
    logprobs: list[float] | None
    entropy: float
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
    total_B1 = cumulative_BV[:, -1:]
    # Strictly below the total even where rounding makes a uniform 1.0: what lies above has probability zero.
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    threshold_B1 = torch.minimum(uniforms_B[:, None].to(cumulative_BV) * total_B1, below_B1)
    return torch.searchsorted(cumulative_BV, threshold_B1, right=True).squeeze(1)


class RowLayer(DynamicLayer):
    """Keys and values of one layer in buffers (B, heads, prompt + capacity, head size), from which rows go."""

    def __init__(self, prefilled: DynamicLayer, row_to_prompt: torch.Tensor, capacity: int) -> None:
        super().__init__()
        assert prefilled.keys is not None and prefilled.values is not None
        self.length = prefilled.keys.size(-2)
        self.buffers = []
        for states in (prefilled.keys, prefilled.values):
            buffer = states.new_empty(len(row_to_prompt), states.size(1), self.length + capacity, states.size(3))
            buffer[:, :, : self.length] = states[row_to_prompt]
            self.buffers.append(buffer)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
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


class Record:
    """What has been sampled so far, for every row of the original batch.

    Args:
        num_rows: Rows of the batch.
        max_tokens: Longest completion.
        device: Where the tensors live.
    """

    def __init__(self, num_rows: int, max_tokens: int, device: torch.device) -> None:
        self.ids_BT = torch.zeros(num_rows, max_tokens, dtype=torch.long, device=device)
        self.logprobs_BT = torch.zeros(num_rows, max_tokens, device=device)
        self.entropy_B = torch.zeros(num_rows, device=device)
        self.length_B = torch.full((num_rows,), max_tokens, device=device)
        self.ended_B = torch.zeros(num_rows, dtype=torch.bool, device=device)

    def add(
        self, step: int, rows: torch.Tensor, ids_B: torch.Tensor, logits_BV: torch.Tensor, eos: torch.Tensor
    ) -> None:
        """Note the token ``ids_B`` that each of ``rows`` drew from ``logits_BV``; rows that have ended draw in vain."""
        log_probs_BV = logits_BV.log_softmax(dim=-1)
        running_B = ~self.ended_B[rows]
        self.ids_BT[rows, step] = ids_B
        self.logprobs_BT[rows, step] = log_probs_BV.gather(1, ids_B[:, None]).squeeze(1)
        self.entropy_B[rows] -= (log_probs_BV.exp() * log_probs_BV).sum(dim=1) * running_B
        ends = rows[running_B & torch.isin(ids_B, eos)]
        self.length_B[ends] = step + 1
        self.ended_B[ends] = True

    def completions(self) -> list[Completion]:
        """One object a row."""
        columns = (self.ids_BT, self.logprobs_BT, self.length_B, self.entropy_B, self.ended_B)
        return [
            Completion(ids[:length], logprobs[:length], entropy, not ended)
            for ids, logprobs, length, entropy, ended in zip(*(column.tolist() for column in columns), strict=True)
        ]


def prefill(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], capacity: int, pad_id: int
) -> tuple[list[RowLayer], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run each distinct prompt once and give every row its copy of the result.

    Returns:
        The cache's layers with room for ``capacity`` more positions, the logits (B, V) of the first token, the last
        position (B,) of each prompt, and the attention mask (B, prompt).
    """
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    where = {prompt: i for i, prompt in enumerate(distinct)}
    row_to_prompt = torch.tensor([where[tuple(prompt)] for prompt in prompts], device=model.device)
    ids_PS, mask_PS = left_pad(distinct, pad_id, model.device)
    positions_PS = (mask_PS.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    output = model(
        input_ids=ids_PS,
        attention_mask=mask_PS,
        position_ids=positions_PS,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    layers = [RowLayer(cast(DynamicLayer, layer), row_to_prompt, capacity) for layer in cache.layers]
    return layers, output.logits[row_to_prompt, -1], positions_PS[row_to_prompt, -1], mask_PS[row_to_prompt]


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
    layers, logits_BV, position_B, mask_BS = prefill(model, prompts, sampling.max_tokens, pad_id)
    padded = bool((mask_BS == 0).any())
    cache = Cache(layers=[*layers])
    uniforms_BT = keyed_uniforms(keys, sampling.max_tokens).to(model.device)
    eos = torch.tensor(list(eos_ids), device=model.device)
    record = Record(len(prompts), sampling.max_tokens, model.device)
    rows = torch.arange(len(prompts), device=model.device)  # those of the original batch that are still in the cache

    for step in range(sampling.max_tokens):
        logits_BV = logits_BV.float() / (1.0 if sampling.greedy else sampling.temperature)
        if sampling.greedy:
            ids_B = logits_BV.argmax(dim=-1)
        else:
            ids_B = draw(sampling.truncate(logits_BV), uniforms_BT[rows, step])
        record.add(step, rows, ids_B, logits_BV, eos)
        live = (~record.ended_B[rows]).nonzero().squeeze(1)
        if len(live) == 0 or step + 1 == sampling.max_tokens:
            break
        if len(rows) - len(live) >= DROP_SHARE * len(rows):
            rows, ids_B, position_B, mask_BS = rows[live], ids_B[live], position_B[live], mask_BS[live]
            for layer in layers:
                layer.keep_rows(live)
        position_B = position_B + 1
        mask_BS = torch.nn.functional.pad(mask_BS, (0, 1), value=1) if padded else mask_BS
        logits_BV = model(
            input_ids=ids_B[:, None],
            attention_mask=mask_BS if padded else None,
            position_ids=position_B[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    return record.completions()


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
    how: dict[str, Any] = {"do_sample": False}
    if not sampling.greedy:
        how = {"do_sample": True, "temperature": sampling.temperature, "top_k": sampling.top_k}
        how |= {"top_p": sampling.top_p, "min_p": sampling.min_p}
    with torch.random.fork_rng():
        torch.manual_seed(int.from_bytes(hashlib.sha256("\n".join(keys).encode()).digest()[:7]))
        output = cast(Any, model).generate(
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
        Completion(ids[:length], None, math.nan, not ended)
        for ids, length, ended in zip(ids_BT.tolist(), length_B.tolist(), ended_B.tolist(), strict=True)
    ]
