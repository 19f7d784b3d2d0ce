"""In-process rollouts: sample G completions a prompt from the policy, with its weights shared in place.

What makes it faster than ``generate``: each distinct prompt is prefilled once for its whole group; keys and values go
into buffers allocated once; rows that have finished leave the batch and waiting ones take their place, so the decode
loop never waits for the longest completion with a full batch; on CUDA a step is one launch. What it leaves to the
library (``rollout_transformers.py``): models whose cache is more than plain keys and values (sliding windows, state
spaces).

Axes: P distinct prompts, B rows (completions), R rows in flight, T completion tokens, V vocabulary.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import (
    PreTrainedModel,
)

from r1zero.rollout.cuda_graphs import Replayed
from r1zero.rollout.decoding_step import decoding_step
from r1zero.rollout.kv_cache import RowCache
from r1zero.rollout.sampling import Completion, OnFinish, Sampling, keyed_uniforms
from r1zero.rollout.slots import Queue, Slots
from r1zero.rollout.stop_strings import StopStrings


@dataclass(frozen=True)
class Pace:
    """How often the loop looks up from decoding, and how often shapes change.

    Attributes:
        look_every: Steps between two looks at which rows have finished. A look makes a GPU wait for the CPU.
        column_block: Attention sees whole blocks of so many columns of the cache.
        drop_share: Rows are dropped when this share of those in flight has finished and no others wait.
    """

    look_every: int
    column_block: int
    drop_share: float


# A CPU looks at no cost, and computes each column and row that it is given; measured on 256 rows of the embedded model.
# CUDA captures a step for every shape: with blocks and halves, 256 rows of up to 1,024 tokens, all in flight at
# once, have about a dozen. Not tuned yet: that takes a GPU.
PACES = {"cpu": Pace(1, 1, 1 / 8), "cuda": Pace(8, 256, 1 / 2)}
PACE_ELSEWHERE = Pace(8, 1, 1 / 8)


class Record:
    """What has been sampled so far, for every row of the whole batch.

    Args:
        num_rows: Rows of the batch.
        max_tokens: Longest completion.
        eos_ids: Tokens that end a completion.
        stop: Strings that end a completion.
        device: Where the tensors live.
    """

    def __init__(
        self,
        num_rows: int,
        max_tokens: int,
        eos_ids: Sequence[int],
        stop: StopStrings | None,
        device: torch.device,
    ) -> None:
        self.max_tokens, self.stop = max_tokens, stop
        self.eos = torch.tensor(list(eos_ids), device=device)
        # One column more than there are tokens: what rows that are done draw in vain goes there.
        self.ids_BT = torch.full((num_rows, max_tokens + 1), int(eos_ids[0]), device=device)
        self.logprobs_BT = torch.zeros(num_rows, max_tokens + 1, device=device)
        self.entropy_BT = torch.zeros(num_rows, max_tokens + 1, device=device)
        self.length_B = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.stopped_B = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self.done_B = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self.collected_B = torch.zeros(num_rows, dtype=torch.bool, device=device)

    def next_column(self, rows: torch.Tensor) -> torch.Tensor:
        """Where the next token of each of ``rows`` (R,) goes (R,); behind all tokens if the row is done."""
        return torch.where(self.done_B[rows], self.max_tokens, self.length_B[rows])

    def add(
        self,
        rows: torch.Tensor,
        at_R: torch.Tensor,
        ids_R: torch.Tensor,
        log_probs_RV: torch.Tensor,
        probabilities_RV: torch.Tensor,
    ) -> None:
        """Note the token ``ids_R`` that each of ``rows`` drew for its column ``at_R``, which is its next."""
        self.ids_BT[rows, at_R] = ids_R
        self.logprobs_BT[rows, at_R] = log_probs_RV.gather(1, ids_R[:, None]).squeeze(1)
        # A token ruled out by the model itself has probability 0 and log-probability -inf: it adds 0, not NaN.
        finite_RV = log_probs_RV.clamp(min=torch.finfo(log_probs_RV.dtype).min)
        self.entropy_BT[rows, at_R] = -(probabilities_RV * finite_RV).sum(dim=1)
        self.length_B.index_add_(0, rows, (at_R < self.max_tokens).long())
        ended_R = (ids_R[:, None] == self.eos).any(dim=1)
        self.done_B[rows] |= ended_R | (at_R == self.max_tokens - 1)

    def cut_at_stop_strings(self, rows: torch.Tensor, steps: int) -> None:
        """End ``rows`` behind the first of their last ``steps`` tokens that completes a stop string."""
        if self.stop is None:
            return
        rows = rows[~self.collected_B[rows]]
        end_R1 = self.length_B[rows, None]
        columns_RW = end_R1 - torch.arange(1, steps + 1, device=rows.device)
        ids_RW = self.ids_BT[rows[:, None], columns_RW.clamp(min=0)]
        places = (torch.isin(ids_RW, self.stop.endings.to(rows.device)) & (columns_RW >= 0)).nonzero()
        ends = torch.stack([rows[places[:, 0]], columns_RW[places[:, 0], places[:, 1]] + 1], dim=1).tolist()
        if not ends:
            return
        recent = [self.ids_BT[row, max(0, end - self.stop.num_tokens) : end].tolist() for row, end in ends]
        # The last tokens come first, so a row's first stop string is the one that stays.
        for (row, end), completed in zip(ends, self.stop.completed(recent), strict=True):
            if completed:
                self.length_B[row], self.stopped_B[row], self.done_B[row] = end, True, True

    def collect(self) -> dict[int, Completion]:
        """The completions that are done and have not been collected before, by row."""
        rows = (self.done_B & ~self.collected_B).nonzero().squeeze(1)
        if not len(rows):
            return {}
        self.collected_B[rows] = True
        length_B = self.length_B[rows]
        behind_BT = torch.arange(self.max_tokens + 1, device=rows.device) >= length_B[:, None]
        entropy_B = self.entropy_BT[rows].masked_fill(behind_BT, 0.0).sum(dim=1)
        ended_B = torch.isin(self.ids_BT[rows, length_B - 1], self.eos) | self.stopped_B[rows]
        columns = (rows, self.ids_BT[rows], self.logprobs_BT[rows], length_B, entropy_B, ~ended_B)
        return {
            row: Completion(ids[:length], logprobs[:length], entropy, truncated)
            for row, ids, logprobs, length, entropy, truncated in zip(
                *(column.tolist() for column in columns), strict=True
            )
        }


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    eos_ids: Sequence[int],
    pad_id: int,
    max_rows: int = 512,
    stop: StopStrings | None = None,
    on_finish: OnFinish | None = None,
) -> list[Completion]:
    """One completion for each row of ``prompts``; equal prompts next to each other are prefilled once.

    Args:
        model: A causal language model with a plain key-value cache, in evaluation mode.
        prompts: Token ids, one sequence a row, each at least one token.
        keys: Names the randomness of each row; the same key and weights give the same completion.
        sampling: How tokens are drawn.
        eos_ids: Tokens that end a completion.
        pad_id: Fills prompts to one length; never attended to.
        max_rows: Most rows in flight; the others wait for a place. Bounds the memory of keys and values.
        stop: Strings that end a completion.
        on_finish: Called with the row and its completion as soon as it is known, while others still decode.
    """
    if not prompts:
        return []
    pace = PACES.get(model.device.type, PACE_ELSEWHERE)
    longest_prefix = max(map(len, prompts)) - 1
    num_slots = min(max_rows, len(prompts))
    # A row appends max_tokens columns at most, and look_every more before somebody looks. Where others follow, half as
    # many again, so that moving the columns to the left stays rare.
    room = sampling.max_tokens + 2 * pace.look_every + (sampling.max_tokens // 2 if num_slots < len(prompts) else 0)
    layers = model.config.get_text_config().num_hidden_layers
    cache = RowCache(layers, num_slots, longest_prefix, longest_prefix + room, model.device, pace.column_block)
    record = Record(len(prompts), sampling.max_tokens, eos_ids, stop, model.device)
    queue = Queue(model, prompts, pad_id, max_rows)
    slots = Slots(queue, cache, record.done_B, num_slots, pace.drop_share)
    uniforms_BT = functional.pad(keyed_uniforms(keys, sampling.max_tokens), (0, 1)).to(model.device)
    next_logits = decoding_step(model)
    completions: dict[int, Completion] = {}

    def sample_next() -> None:
        logits_RV = slots.feed(next_logits).float() / (1.0 if sampling.greedy else sampling.temperature)
        log_probs_RV = logits_RV.log_softmax(dim=-1)
        probabilities_RV = log_probs_RV.exp()
        at_R = record.next_column(slots.rows_R)
        slots.ids_R.copy_(sampling.choose(log_probs_RV, probabilities_RV, uniforms_BT[slots.rows_R, at_R]))
        record.add(slots.rows_R, at_R, slots.ids_R, log_probs_RV, probabilities_RV)

    sample_next = Replayed(sample_next, slots.shape, model.device)
    for step in itertools.count(1):
        sample_next()
        cache.advance()
        if step % pace.look_every == 0:
            record.cut_at_stop_strings(slots.rows_R, pace.look_every)
            finished = record.collect()
            completions |= finished
            if on_finish is not None:
                for row, completion in finished.items():
                    on_finish(row, completion)
            if len(completions) == len(prompts):
                break
            slots.renew(pace.look_every)
    return [completions[row] for row in range(len(prompts))]
