"""The native loop: G completions a prompt, drawn in this process from the weights that are being trained.

What makes it faster than ``generate``: each distinct prompt is computed once for its whole group; keys and values go
into buffers that are allocated once; rows that have ended leave the batch and waiting ones take their place, so no step
computes many rows for the sake of the longest; on CUDA a step is one launch. Models whose cache is more than plain keys
and values (sliding windows, state spaces) are left to ``r1zero.rollout.library_loops``.

Axes: P distinct prompts, B rows (completions), R rows in flight, T completion tokens, V vocabulary.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from r1zero.rollout.cuda_graphs import Replayed
from r1zero.rollout.decoding_step import decoding_step
from r1zero.rollout.kv_cache import RowCache
from r1zero.rollout.record import Record
from r1zero.rollout.sampling import Completion, OnFinish, Sampling, keyed_uniforms
from r1zero.rollout.slots import Queue, Slots
from r1zero.rollout.stop_strings import StopStrings


@dataclass(frozen=True)
class Pace:
    """How often the loop looks which rows have ended, and how often the shapes of its tensors change.

    Attributes:
        look_every: Steps from one look to the next. At a look the CPU waits until a GPU has done all steps so far.
            Between two looks, rows that have ended are still computed, and what they draw is thrown away.
        column_block: Attention reads the cache in blocks of this many columns, so that the number of columns it reads
            changes once in so many steps. With 1 it reads the columns in use and no others.
        drop_share: Where no rows wait, rows that have ended are taken out of the batch once they are this share of it.
    """

    look_every: int
    column_block: int
    drop_share: float


# On a CPU a look is free, and each row and column costs time: look at every step, and compute little that is not needed
# (measured on 256 rows of the embedded model). On CUDA each new shape is captured once more: 256 rows of up to 1,024
# tokens, all in flight at once, have about a dozen shapes with blocks of 256 and halves. Not tuned on a GPU yet.
PACES = {"cpu": Pace(1, 1, 1 / 8), "cuda": Pace(8, 256, 1 / 2)}
PACE_ELSEWHERE = Pace(8, 1, 1 / 8)


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
    """One completion for each row of ``prompts``; the arguments are those of ``r1zero.rollout.loop.SampleRows``.

    The model is one with a plain key-value cache (``has_plain_cache``). Each row depends on its own key alone.
    """
    completions: dict[int, Completion] = {}
    for _, ended in looks(model, prompts, keys, sampling, eos_ids, pad_id, max_rows, stop):
        completions |= ended
        if on_finish is not None:
            for row, completion in ended.items():
                on_finish(row, completion)
    return [completions[row] for row in range(len(prompts))]


def follow(
    model: PreTrainedModel,
    prompt: Sequence[int],
    key: str,
    sampling: Sampling,
    eos_ids: Sequence[int],
    pad_id: int,
    stop: StopStrings | None,
) -> Iterator[list[int]]:
    """The tokens so far of the completion that ``decode`` gives, after each look; see ``FollowRow``."""
    for record, _ in looks(model, [prompt], [key], sampling, eos_ids, pad_id, 1, stop):
        yield record.ids(0)


@torch.no_grad()
def looks(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    eos_ids: Sequence[int],
    pad_id: int,
    max_rows: int,
    stop: StopStrings | None,
) -> Iterator[tuple[Record, dict[int, Completion]]]:
    """After each look, until all rows have ended: the record, and the completions that ended since the last look."""
    if not prompts:
        return
    pace = PACES.get(model.device.type, PACE_ELSEWHERE)
    num_slots = min(max_rows, len(prompts))
    cache = make_cache(model, prompts, sampling.max_tokens, num_slots, pace)
    record = Record(len(prompts), sampling.max_tokens, eos_ids, stop, model.device)
    slots = Slots(Queue(model, prompts, pad_id, max_rows), cache, record.done_B, num_slots, pace.drop_share)
    uniforms_BT = functional.pad(keyed_uniforms(keys, sampling.max_tokens), (0, 1)).to(model.device)
    next_logits = decoding_step(model)

    def sample_next() -> None:
        logits_RV = slots.feed(next_logits).float() / (1.0 if sampling.greedy else sampling.temperature)
        log_probs_RV = sampling.cut(logits_RV.log_softmax(dim=-1))
        probabilities_RV = log_probs_RV.exp()
        at_R = record.next_column(slots.rows_R)
        slots.ids_R.copy_(sampling.choose(log_probs_RV, probabilities_RV, uniforms_BT[slots.rows_R, at_R]))
        record.add(slots.rows_R, at_R, slots.ids_R, log_probs_RV, probabilities_RV)

    sample_next = Replayed(sample_next, slots.shape, model.device)
    num_open = len(prompts)
    for step in itertools.count(1):
        sample_next()
        cache.advance()
        if step % pace.look_every == 0:
            record.cut_at_stop_strings(slots.rows_R, pace.look_every)
            ended = record.collect()
            yield record, ended
            num_open -= len(ended)
            if num_open == 0:
                return
            slots.renew(pace.look_every)


def make_cache(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], max_tokens: int, num_slots: int, pace: Pace
) -> RowCache:
    """A cache with room for ``num_slots`` rows in flight, whichever of ``prompts`` they continue."""
    longest_prefix = max(map(len, prompts)) - 1
    # A row appends max_tokens columns at most, and look_every more before the next look. Where rows wait, half as many
    # again, so that the columns seldom have to be moved to the left.
    room = max_tokens + 2 * pace.look_every + (max_tokens // 2 if num_slots < len(prompts) else 0)
    layers = model.config.get_text_config().num_hidden_layers
    return RowCache(layers, num_slots, longest_prefix, longest_prefix + room, model.device, pace.column_block)
