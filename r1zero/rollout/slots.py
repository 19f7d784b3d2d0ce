"""Which rows are in flight, and which wait.

Axes: B rows in all, R rows in flight, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from r1zero.rollout.decoding_step import DecodingStep
from r1zero.rollout.kv_cache import Prefix, RowCache, moved_in_place, prefill

# Finished rows are replaced when they are this share of the batch: that copies a part of the cache, so doing it for
# every single row would cost more than it saves (measured on 256 rows of the embedded model).
RENEW_SHARE = 1 / 8


class Queue:
    """Rows that wait for a place, in order; their distinct prompts are prefilled in batches of what fits at once.

    Args:
        model: A causal language model.
        prompts: Token ids, one sequence a row.
        pad_id: Fills prompts to one length; never attended to.
        max_rows: Most rows in flight.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int, max_rows: int) -> None:
        self.model, self.prompts, self.pad_id, self.max_rows = model, prompts, pad_id, max_rows
        self.next_row = self.prefilled_to = 0
        self.prefix: Prefix
        self.which: list[int] = []

    def __len__(self) -> int:
        return len(self.prompts) - self.next_row

    def take(self, count: int) -> tuple[range, Prefix, list[int]]:
        """At most ``count`` rows, and which entries of the prefix are theirs."""
        if self.next_row == self.prefilled_to:
            self.prefilled_to = min(self.next_row + self.max_rows, len(self.prompts))
            chunk = [tuple(prompt) for prompt in self.prompts[self.next_row : self.prefilled_to]]
            distinct = {prompt: i for i, prompt in enumerate(dict.fromkeys(chunk))}
            self.which = [distinct[prompt] for prompt in chunk]
            self.prefix = prefill(self.model, [list(prompt) for prompt in distinct], self.pad_id)
        taken = range(self.next_row, min(self.next_row + count, self.prefilled_to))
        self.next_row = taken.stop
        which, self.which = self.which[: len(taken)], self.which[len(taken) :]
        return taken, self.prefix, which


class Slots:
    """The rows in flight: which they are, the token each feeds next, and its position.

    Args:
        queue: Where rows come from.
        cache: Their keys and values.
        done_B: Which rows are done; the decode loop updates it.
        num_slots: Most rows in flight.
        drop_share: Finished rows that no other replaces are dropped when they are this share of the batch.
    """

    def __init__(self, queue: Queue, cache: RowCache, done_B: torch.Tensor, num_slots: int, drop_share: float) -> None:
        self.queue, self.cache, self.done_B, self.drop_share = queue, cache, done_B, drop_share
        self.device = done_B.device
        self.rows_R, self.ids_R, self.position_R = torch.zeros(3, num_slots, dtype=torch.long, device=self.device)
        self.fill(torch.arange(num_slots, device=self.device))

    def fill(self, free: torch.Tensor) -> torch.Tensor:
        """Let waiting rows take the slots ``free``; those that stay free are returned."""
        while len(self.queue) and len(free):
            taken, prefix, which = self.queue.take(len(free))
            slots, free = free[: len(taken)], free[len(taken) :]
            prompts = [self.queue.prompts[row] for row in taken]
            self.cache.admit(slots, prefix, torch.tensor(which, device=self.device))
            self.rows_R[slots] = torch.tensor(taken, device=self.device)
            self.ids_R[slots] = torch.tensor([prompt[-1] for prompt in prompts], device=self.device)
            self.position_R[slots] = torch.tensor([len(prompt) - 1 for prompt in prompts], device=self.device)
        return free

    def renew(self, steps: int) -> None:
        """Fill or drop the slots of rows that are done, when enough are or the cache has no room for ``steps`` more."""
        done_R = self.done_B[self.rows_R]
        free = done_R.nonzero().squeeze(1)
        share = RENEW_SHARE if len(self.queue) else self.drop_share
        if len(free) < share * len(done_R) and self.cache.room() > steps:
            return
        free = self.fill(free)
        if len(free):
            num_rows = len(done_R) - len(free)
            kept_R = torch.ones_like(done_R).index_fill(0, free, value=False)
            # Only rows behind the new end move, into the places of finished ones before it.
            holes, movers = free[free < num_rows], kept_R[num_rows:].nonzero().squeeze(1) + num_rows
            self.cache.drop(holes, movers, num_rows)
            self.rows_R, self.ids_R, self.position_R = (
                moved_in_place(values, holes, movers, num_rows) for values in (self.rows_R, self.ids_R, self.position_R)
            )

    def shape(self) -> tuple[int, int, int]:
        """Equal for steps that run the same kernels: the rows in flight, and the columns that attention sees."""
        seen = self.cache.columns.seen
        return len(self.rows_R), seen.start, seen.stop

    def feed(self, step: DecodingStep) -> torch.Tensor:
        """The logits (R, V) of each row's next token; ``cache.advance`` then counts the column on the CPU's side."""
        mask_RS = self.cache.attention_mask() if self.cache.padded() else None
        logits_RV = step(self.ids_R, self.position_R, mask_RS, self.cache)
        self.cache.columns.next_1 += 1
        self.position_R += ~self.done_B[self.rows_R]  # rows that are done must not leave the model's range of positions
        return logits_RV
