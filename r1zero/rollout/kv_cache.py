"""A key-value cache whose rows come and go while the others decode.

All rows share one set of columns and end at the same one; each starts at its own. So a step appends one column for all,
a finished row's place can be taken by another whose prompt is written right-aligned in front of the next column, and a
place that no row takes is dropped. Nothing is reallocated between steps. Where attention sees whole blocks of columns,
the number of the column to write is in a tensor, so that a step that was captured as a CUDA graph can be replayed for
every column of the same blocks.

Axes: R rows in flight, H key-value heads, S columns, D head size.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
import transformers
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from r1zero.models.tokens import left_pad

# What a model's forward pass calls its cache. transformers 5.24 warns of the old name; 5.23 knows no other.
NEW_NAME = tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 24)
CACHE_ARGUMENT = "cache" if NEW_NAME else "past_key_values"


@dataclass
class Columns:
    """Which columns are in use: [first, end) of ``capacity``.

    Attributes:
        next_1: ``end`` as a tensor (1,) on the model's device.
        block: Attention sees whole blocks of so many columns; ``capacity`` is a multiple.
    """

    first: int
    end: int
    capacity: int
    block: int
    next_1: torch.Tensor

    @property
    def seen(self) -> slice:
        """What attention sees: the columns in use, the next one, and what fills their blocks."""
        return slice(self.first // self.block * self.block, (self.end // self.block + 1) * self.block)


class RowLayer(DynamicLayer):
    """Keys and values of one layer in buffers (R, H, capacity, D)."""

    def __init__(self, num_rows: int, columns: Columns) -> None:
        super().__init__()
        self.num_rows, self.columns = num_rows, columns
        self.buffers: list[torch.Tensor] = []
        self.is_initialized = True

    def allocate(self, states: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Make the buffers for ``states`` at the first call; their memory is not touched: most rows never fill theirs.

        Where attention sees whole blocks they are zeroed: also what a mask hides must be finite. Under autocast they
        have its type, else attention would cast all of them at every step.
        """
        if not self.buffers:
            device = states[0].device.type
            casts = torch.is_autocast_enabled(device)
            for state in states:
                shape = (self.num_rows, state.size(1), self.columns.capacity, state.size(3))
                dtype = torch.get_autocast_dtype(device) if casts else state.dtype
                make = state.new_empty if self.columns.block == 1 else state.new_zeros
                self.buffers.append(make(shape, dtype=dtype))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one column and return views of all that attention sees."""
        self.allocate((key_states, value_states))
        columns = self.columns
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            if columns.block == 1:
                buffer[:, :, columns.end : columns.end + 1] = states
            else:  # a captured step has to find the column in a tensor
                buffer.index_copy_(2, columns.next_1, states.to(buffer.dtype))
        keys, values = self.buffers
        return keys[:, :, self.columns.seen], values[:, :, self.columns.seen]

    def get_seq_length(self) -> int:
        """Columns that attention sees, without the one that is about to be written: what transformers asks for."""
        return self.columns.seen.stop - self.columns.seen.start - 1

    def clear(self, first: int, end: int) -> None:
        """Make columns [first, end), which no row in flight uses, finite before attention sees them."""
        for buffer in self.buffers:
            buffer[:, :, first:end] = 0

    def write(self, rows: torch.Tensor, states: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Put ``states`` (len(rows), H, width, D) into ``rows``, right-aligned in front of the next column."""
        end = self.columns.end
        for buffer, prefix in zip(self.buffers, states, strict=True):
            buffer[rows, :, end - prefix.size(2) : end] = prefix.to(buffer.dtype)

    def drop(self, holes: torch.Tensor, movers: torch.Tensor, num_rows: int) -> None:
        """Let ``movers`` take the places ``holes`` and keep the first ``num_rows``; copies only the columns in use."""
        used = slice(self.columns.first, self.columns.end)
        for i, buffer in enumerate(self.buffers):
            if len(movers):
                buffer[holes, :, used] = buffer[movers, :, used]
            self.buffers[i] = buffer[:num_rows]

    def shift(self, by: int) -> None:
        """Move the columns in use ``by`` columns to the left."""
        first, end = self.columns.first, self.columns.end
        for buffer in self.buffers:
            buffer[:, :, first - by : end - by] = buffer[:, :, first:end].clone()


@dataclass(frozen=True)
class Prefix:
    """What a batch of prompts, all but their last tokens, left in each layer.

    Attributes:
        layers: Keys and values (P, H, width, D) of each layer, padded on the left.
        lengths: Tokens of each prefix (P,).
    """

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    lengths: torch.Tensor


class RowCache(Cache):
    """The cache of the rows in flight.

    Args:
        num_layers: Of the model.
        num_rows: Rows in flight.
        longest_prefix: Tokens of the longest prompt that will ever enter, but its last.
        capacity: Columns to allocate, up to a multiple of ``block``; more than ``longest_prefix`` and the columns that
            one row may append.
        device: Where the model is.
        block: Attention sees whole blocks of so many columns.
    """

    def __init__(
        self, num_layers: int, num_rows: int, longest_prefix: int, capacity: int, device: torch.device, block: int = 1
    ) -> None:
        capacity = math.ceil(capacity / block) * block
        next_1 = torch.tensor([longest_prefix], device=device)
        self.columns = Columns(longest_prefix, longest_prefix, capacity, block, next_1)
        self.longest_prefix = longest_prefix
        self.start_R = torch.full((num_rows,), longest_prefix, device=device)
        super().__init__(layers=[RowLayer(num_rows, self.columns) for _ in range(num_layers)])

    @property
    def row_layers(self) -> list[RowLayer]:
        """The layers, typed."""
        return cast(list[RowLayer], self.layers)

    def admit(self, rows: torch.Tensor, prefix: Prefix, which: torch.Tensor) -> None:
        """Let ``rows`` hold the prefixes ``which`` (len(rows),) of ``prefix`` and nothing else."""
        self.start_R[rows] = self.columns.end - prefix.lengths[which]
        before, self.columns.first = self.columns.first, int(self.start_R.min())
        for layer, (keys, values) in zip(self.row_layers, prefix.layers, strict=bool(prefix.layers)):
            layer.allocate((keys, values))
            layer.clear(self.columns.first, before)
            layer.write(rows, (keys[which], values[which]))

    def drop(self, holes: torch.Tensor, movers: torch.Tensor, num_rows: int) -> None:
        """Let ``movers`` take the places ``holes`` and keep the first ``num_rows``."""
        for layer in self.row_layers:
            layer.drop(holes, movers, num_rows)
        self.start_R = moved_in_place(self.start_R, holes, movers, num_rows)
        self.columns.first = int(self.start_R.min())

    def advance(self) -> None:
        """Count the column that a step has just written; make room when it was the last."""
        self.columns.end += 1
        if self.columns.end == self.columns.capacity:
            by = min(self.columns.first, self.columns.end - self.longest_prefix)
            for layer in self.row_layers:
                layer.shift(by)
            self.start_R -= by
            self.columns.next_1 -= by
            self.columns.first -= by
            self.columns.end -= by

    def room(self) -> int:
        """Columns left before others have to move."""
        return self.columns.capacity - self.columns.end

    def attention_mask(self) -> torch.Tensor:
        """True (R, S) where a row may look: from its start to the column that is about to be written."""
        seen = self.columns.seen
        positions_S = torch.arange(seen.start, seen.stop, device=self.start_R.device)
        return (positions_S >= self.start_R[:, None]) & (positions_S <= self.columns.next_1)

    def padded(self) -> bool:
        """Whether attention sees columns that some row may not look at."""
        return self.columns.block > 1 or bool((self.start_R > self.columns.first).any())


def moved_in_place(values_R: torch.Tensor, holes: torch.Tensor, movers: torch.Tensor, num_rows: int) -> torch.Tensor:
    """The first ``num_rows`` values, after ``movers`` took the places ``holes``; they stay at the address that captured
    steps know.
    """
    values_R[holes] = values_R[movers]
    return values_R[:num_rows]


def has_plain_cache(model: PreTrainedModel) -> bool:
    """Whether every layer caches plain keys and values, which is all that ``RowCache`` can hold."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def prefill(model: PreTrainedModel, prompts: list[list[int]], pad_id: int) -> Prefix:
    """Run ``prompts`` but for their last tokens, which the decode loop feeds."""
    ids_PS, mask_PS = left_pad([prompt[:-1] for prompt in prompts], pad_id, model.device)
    lengths = mask_PS.sum(dim=1)
    if ids_PS.size(1) == 0:  # prompts of one token leave nothing to run
        return Prefix([], lengths)
    cache = DynamicCache(config=model.config)
    model(
        input_ids=ids_PS,
        attention_mask=mask_PS,
        position_ids=(mask_PS.cumsum(dim=1) - 1).clamp(min=0),
        **{CACHE_ARGUMENT: cache},
        use_cache=True,
        logits_to_keep=1,
    )
    layers = [cast(DynamicLayer, layer) for layer in cache.layers]
    return Prefix([(cast(torch.Tensor, layer.keys), cast(torch.Tensor, layer.values)) for layer in layers], lengths)
