"""A key-value cache whose rows come and go while the others decode.

All rows share one set of columns and end at the same one; each starts at its own. So a step appends one column for all,
a finished row's place can be taken by another whose prompt is written right-aligned in front of the next column, and a
row that nobody takes is dropped. Nothing is reallocated between steps.

Axes: R rows in flight, H key-value heads, S columns, D head size.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


@dataclass
class Columns:
    """Which columns are in use: [first, end) of ``capacity``."""

    first: int
    end: int
    capacity: int


class RowLayer(DynamicLayer):
    """Keys and values of one layer in buffers (R, H, capacity, D)."""

    def __init__(self, num_rows: int, columns: Columns) -> None:
        super().__init__()
        self.num_rows, self.columns = num_rows, columns
        self.buffers: list[torch.Tensor] = []
        self.is_initialized = True

    def allocate(self, states: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Buffers like ``states``; zeros, since what a mask hides must still be finite."""
        if not self.buffers:
            self.buffers = [s.new_zeros(self.num_rows, s.size(1), self.columns.capacity, s.size(3)) for s in states]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one column and return views of all in use, it included."""
        self.allocate((key_states, value_states))
        first, end = self.columns.first, self.columns.end
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, end : end + 1] = states
        keys, values = self.buffers
        return keys[:, :, first : end + 1], values[:, :, first : end + 1]

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.columns.end - self.columns.first

    def write(self, rows: torch.Tensor, states: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Put ``states`` (len(rows), H, width, D) into ``rows``, right-aligned in front of the next column."""
        self.allocate(states)
        end = self.columns.end
        for buffer, prefix in zip(self.buffers, states, strict=True):
            buffer[rows, :, end - prefix.size(2) : end] = prefix

    def keep(self, rows: torch.Tensor) -> None:
        """Drop every row not in ``rows``; copies only the columns in use."""
        used = slice(self.columns.first, self.columns.end)
        for i, buffer in enumerate(self.buffers):
            kept = buffer[: len(rows)]
            kept[:, :, used] = buffer[:, :, used].index_select(0, rows)
            self.buffers[i] = kept

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
        capacity: Columns to allocate; more than ``longest_prefix`` and the columns that one row may append.
        device: Where the model is.
    """

    def __init__(
        self, num_layers: int, num_rows: int, longest_prefix: int, capacity: int, device: torch.device
    ) -> None:
        self.columns = Columns(longest_prefix, longest_prefix, capacity)
        self.longest_prefix = longest_prefix
        self.start_R = torch.full((num_rows,), longest_prefix, device=device)
        super().__init__(layers=[RowLayer(num_rows, self.columns) for _ in range(num_layers)])

    @property
    def row_layers(self) -> list[RowLayer]:
        """The layers, typed."""
        return cast(list[RowLayer], self.layers)

    def admit(self, rows: torch.Tensor, prefix: Prefix, which: torch.Tensor) -> None:
        """Let ``rows`` hold the prefixes ``which`` (len(rows),) of ``prefix`` and nothing else."""
        for layer, (keys, values) in zip(self.row_layers, prefix.layers, strict=bool(prefix.layers)):
            layer.write(rows, (keys[which], values[which]))
        self.start_R[rows] = self.columns.end - prefix.lengths[which]
        self.columns.first = int(self.start_R.min())

    def keep(self, rows: torch.Tensor) -> None:
        """Drop every row not in ``rows``."""
        for layer in self.row_layers:
            layer.keep(rows)
        self.start_R = self.start_R[rows]
        self.columns.first = int(self.start_R.min())

    def advance(self) -> None:
        """Count the column that the layers have just written; make room when it was the last."""
        self.columns.end += 1
        if self.columns.end == self.columns.capacity:
            by = min(self.columns.first, self.columns.end - self.longest_prefix)
            for layer in self.row_layers:
                layer.shift(by)
            self.start_R -= by
            self.columns.first -= by
            self.columns.end -= by

    def room(self) -> int:
        """Columns left before others have to move."""
        return self.columns.capacity - self.columns.end

    def attention_mask(self) -> torch.Tensor:
        """True (R, S) where a row may look: from its start to the column that is about to be written."""
        positions_S = torch.arange(self.columns.first, self.columns.end + 1, device=self.start_R.device)
        return positions_S >= self.start_R[:, None]

    def padded(self) -> bool:
        """Whether some row starts later than another."""
        return bool((self.start_R > self.columns.first).any())


def has_plain_cache(model: PreTrainedModel) -> bool:
    """Whether every layer caches plain keys and values, which is all that ``RowCache`` can hold."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


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
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    layers = [cast(DynamicLayer, layer) for layer in cache.layers]
    return Prefix([(cast(torch.Tensor, layer.keys), cast(torch.Tensor, layer.values)) for layer in layers], lengths)
