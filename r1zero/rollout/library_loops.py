"""The loops of transformers, for any causal language model: ``generate`` and continuous batching.

They give no log-probabilities, know no stop strings, and draw all rows from one generator: so a completion changes with
the rows beside it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedModel

from r1zero.models.tokens import left_pad
from r1zero.rollout.sampling import Completion, OnFinish, Sampling, seed_of
from r1zero.rollout.stop_strings import StopStrings


@contextmanager
def seeded(keys: Sequence[str]) -> Iterator[None]:
    """Within it, torch's global generator is seeded by ``keys``; afterwards it is as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed_of("\n".join(keys)))
        yield


def generation_config(
    sampling: Sampling, eos_ids: Sequence[int], pad_id: int, stop: StopStrings | None
) -> GenerationConfig:
    """The library's form of what a loop is given.

    Raises:
        RuntimeError: There are stop strings, with which the engine never calls these loops.
    """
    if stop is not None:
        raise RuntimeError("the loops of transformers are not given stop strings: Loop.stops is false for them.")
    how: dict[str, Any] = {"do_sample": False}
    if not sampling.greedy:
        how = {"do_sample": True, "temperature": sampling.temperature, "top_k": sampling.top_k}
        how |= {"top_p": sampling.top_p, "min_p": sampling.min_p}
    return GenerationConfig(max_new_tokens=sampling.max_tokens, eos_token_id=list(eos_ids), pad_token_id=pad_id, **how)


def cut(ids: list[int], eos_ids: Sequence[int]) -> Completion:
    """``ids`` up to the first end-of-sequence token."""
    length = next((i + 1 for i, token in enumerate(ids) if token in eos_ids), None)
    return Completion(ids[:length], None, math.nan, truncated=length is None)


def announced(completions: Iterable[Completion], first_row: int, on_finish: OnFinish | None) -> list[Completion]:
    """``completions`` as a list, after each was given to ``on_finish`` with its row; the first is ``first_row``."""
    known = list(completions)
    if on_finish is not None:
        for row, completion in enumerate(known, start=first_row):
            on_finish(row, completion)
    return known


@torch.no_grad()
def generate(
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
    """One completion for each row of ``prompts`` by ``model.generate``; the arguments are those of ``SampleRows``.

    Decodes ``max_rows`` rows at a time, until the longest of them ends; ``on_finish`` gets them then.
    """
    how = generation_config(sampling, eos_ids, pad_id, stop)
    completions: list[Completion] = []
    with seeded(keys):
        for start in range(0, len(prompts), max_rows):
            chunk = [list(prompt) for prompt in prompts[start : start + max_rows]]
            ids_PS, mask_PS = left_pad(chunk, pad_id, model.device)
            output = cast(Any, model).generate(input_ids=ids_PS, attention_mask=mask_PS, generation_config=how)
            completions += announced(
                (cut(ids, eos_ids) for ids in output[:, ids_PS.size(1) :].tolist()), start, on_finish
            )
    return completions


@torch.no_grad()
def generate_continuously(
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
    """One completion for each row of ``prompts`` by paged attention, rows that end making room for waiting ones.

    The arguments are those of ``SampleRows``; ``on_finish`` gets all rows at the end.
    """
    if not prompts:  # which the library takes for an error
        return []
    with seeded(keys):
        outputs = cast(Any, model).generate_batch(
            [list(prompt) for prompt in prompts],
            generation_config=generation_config(sampling, eos_ids, pad_id, stop),
            continuous_batching_config=ContinuousBatchingConfig(max_requests_per_batch=max_rows),
            progress_bar=False,
        )
    if len(outputs) != len(prompts):
        raise RuntimeError(f"rollout=continuous: {len(outputs)} completions came back for {len(prompts)} prompts.")
    return announced((cut(output.generated_tokens, eos_ids) for output in outputs.values()), 0, on_finish)
