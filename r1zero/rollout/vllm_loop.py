"""The loop that draws completions with vLLM: our requests, stop strings and checks around an engine of vLLM's.

Each request has the row's own seed, so a completion depends on neither the rows beside it nor on what came before. The
weights are handed over at every call, since whoever calls may have changed them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from r1zero.rollout.loop import RolloutError
from r1zero.rollout.sampling import Completion, OnFinish, Sampling, seed_of
from r1zero.rollout.stop_strings import StopStrings
from r1zero.rollout.vllm_engine import ColocatedEngine, VLLMSettings, installed_version, untouched_process

# Makes an engine: (policy, settings, what it computes in, most rows at once).
StartEngine = Callable[[PreTrainedModel, VLLMSettings, torch.dtype, int], ColocatedEngine]

# Tokens of the check that weights arrive, and how far their log-probabilities may be off on average, in nats. Measured
# on the embedded model: 1e-6 in float32 and 0.004 in bfloat16; 0.13 and more with a single old matrix.
PROBE_TOKENS = 16
PROBE_LIMIT, PROBE_LIMIT_HALF = 0.01, 0.1


@dataclass
class Growing:
    """A completion that is being drawn."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class VLLMLoop:
    """``SampleRows`` by vLLM; the engine starts at the first call, from the model that it is given.

    Args:
        settings: Of the engine.
        start: Makes it.
    """

    def __init__(self, settings: VLLMSettings, start: StartEngine = ColocatedEngine) -> None:
        self.settings, self.start = settings, start
        self.engine: ColocatedEngine | None = None

    @torch.no_grad()
    def sample(
        self,
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
        """One completion for each row of ``prompts``; the arguments are those of ``SampleRows``.

        Raises:
            RolloutError: vLLM cannot start, the policy's weights do not arrive, or a row is too long for it.
        """
        with untouched_process():
            return self.sample_rows(model, prompts, keys, sampling, eos_ids, max_rows, stop, on_finish)

    def sample_rows(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        eos_ids: Sequence[int],
        max_rows: int,
        stop: StopStrings | None,
        on_finish: OnFinish | None,
    ) -> list[Completion]:
        """``sample``, in a process that vLLM may change."""
        device, first = model.device.type, self.engine is None
        if self.engine is None:
            half = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else model.dtype
            self.engine = self.start(model, self.settings, half, max_rows)
        if not prompts:
            return []
        check_lengths(prompts, sampling.max_tokens, self.engine.max_length)
        with torch.autocast(device, enabled=False):  # vLLM has its own types
            self.engine.load(checkpoint_weights(model))
        if first:
            check_arrival(self.engine, model, prompts[0])
        completions: dict[int, Completion] = {}
        with torch.autocast(device, enabled=False):
            for row, completion in finished(self.engine, prompts, keys, sampling, eos_ids, stop):
                completions[row] = completion
                if on_finish is not None:
                    on_finish(row, completion)
        self.engine.rest()
        return [completions[row] for row in range(len(prompts))]


def finished(
    engine: ColocatedEngine,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    eos_ids: Sequence[int],
    stop: StopStrings | None,
) -> Iterator[tuple[int, Completion]]:
    """Each row and its completion, as they end. A stop string ends a row behind the first token that completes one."""
    rows = {row: Growing() for row in range(len(prompts))}
    for row, (prompt, key) in enumerate(zip(prompts, keys, strict=True)):
        engine.add(row, prompt, request(sampling, key, eos_ids), in_pieces=stop is not None)
    while rows:
        done, grown = set(), []
        for piece in engine.step():
            if piece.row not in rows:
                continue  # was dropped
            rows[piece.row].ids += piece.ids
            rows[piece.row].logprobs += piece.logprobs
            grown.append((piece.row, len(piece.ids)))
            if piece.done:
                done.add(piece.row)
        stopped = cut_at_stop_strings(rows, grown, stop) if stop is not None else set()
        engine.drop(sorted(stopped - done))
        for row in sorted(done | stopped):
            ids, logprobs = rows[row].ids, rows[row].logprobs
            ended = row in stopped or ids[-1] in eos_ids
            # The mean of -log p over samples is the entropy; vLLM does not give the distributions themselves.
            yield row, Completion(ids, logprobs, -sum(logprobs), truncated=not ended)
            del rows[row]


def cut_at_stop_strings(rows: dict[int, Growing], grown: list[tuple[int, int]], stop: StopStrings) -> set[int]:
    """Cut the rows whose new tokens complete a stop string behind the first such token; which they are.

    Args:
        rows: All that are open.
        grown: Rows, and how many tokens each has new.
        stop: The strings.
    """
    ends = [
        (row, end)
        for row, new in grown
        for end in range(len(rows[row].ids) - new + 1, len(rows[row].ids) + 1)
        if stop.may_end_with(rows[row].ids[end - 1])
    ]
    recent = [rows[row].ids[max(0, end - stop.num_tokens) : end] for row, end in ends]
    stopped: set[int] = set()
    for (row, end), completed in zip(ends, stop.completed(recent) if recent else [], strict=True):
        if completed and row not in stopped:
            stopped.add(row)
            del rows[row].ids[end:], rows[row].logprobs[end:]
    return stopped


def request(sampling: Sampling, key: str, eos_ids: Sequence[int]) -> dict[str, Any]:
    """vLLM's sampling parameters for one row."""
    how: dict[str, Any] = {"max_tokens": sampling.max_tokens, "stop_token_ids": list(eos_ids), "seed": seed_of(key)}
    if sampling.greedy:
        return how | {"temperature": 0.0}
    return how | {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p or 0.0,
    }


def check_lengths(prompts: Sequence[Sequence[int]], max_tokens: int, max_length: int) -> None:
    """Every row fits; vLLM would cut a completion short and say nothing.

    Raises:
        RolloutError: One does not.
    """
    longest = max(map(len, prompts))
    if longest + max_tokens > max_length:
        raise RolloutError(
            f"rollout = vllm: a prompt of {longest} tokens and a completion of up to {max_tokens} are "
            f"{longest + max_tokens} tokens, and the engine has room for {max_length}. Set "
            f"trainer.max_completion_length (eval.max_tokens in an evaluation) to {max(1, max_length - longest)} or "
            "less, or a larger trainer.vllm_max_model_length if the model has the positions."
        )


def checkpoint_weights(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The policy's weights by their names in a checkpoint, adapters added to what they adapt; nothing is changed.

    Merging an adapter and taking it out again would leave a little of it behind at every rollout.
    """
    base = cast(Any, model).get_base_model() if hasattr(model, "peft_config") else model
    modules: dict[str, Any] = dict(base.named_modules())
    plain = {}
    for name, tensor in base.state_dict().items():
        owner, _, weight = name.rpartition(".base_layer.")
        if owner:
            if weight == "weight":
                layer = modules[owner]
                tensor = tensor + sum(layer.get_delta_weight(adapter) for adapter in layer.active_adapters)
            name = f"{owner}.{weight}"
        elif ".lora_" in name:
            continue
        plain[name] = tensor
    yield from revert_weight_conversion(base, plain).items()


def check_arrival(engine: ColocatedEngine, model: PreTrainedModel, prompt: Sequence[int]) -> None:
    """The policy's weights have reached vLLM: both find the same tokens equally likely.

    vLLM starts with random weights, so a matrix that stays behind shows.

    Raises:
        RolloutError: They do not.
    """
    num_tokens = min(PROBE_TOKENS, engine.max_length - len(prompt))
    how = {"max_tokens": num_tokens, "temperature": 1.0, "seed": 0, "ignore_eos": True}
    with torch.autocast(model.device.type, enabled=False):
        engine.add(0, prompt, how, in_pieces=False)
        while not (pieces := engine.step()):
            pass
    ids = torch.tensor([*prompt, *pieces[0].ids], device=model.device)
    log_probs_TV = model(input_ids=ids[None]).logits[0, len(prompt) - 1 : -1].float().log_softmax(dim=-1)
    expected_T = log_probs_TV.gather(1, ids[len(prompt) :, None]).squeeze(1)
    difference = float((expected_T - torch.tensor(pieces[0].logprobs, device=model.device)).abs().mean())
    exact = model.dtype is torch.float32 and not torch.is_autocast_enabled(model.device.type)
    limit = PROBE_LIMIT if exact else PROBE_LIMIT_HALF
    if not difference <= limit:
        raise RolloutError(
            f"rollout = vllm: {installed_version()} does not compute with the policy's weights: log-probabilities of "
            f"{len(pieces[0].ids)} tokens are off by {difference:.3f} nats on average, and {limit} is allowed. It "
            f"would sample from another policy than the one that learns. Set rollout=native for {type(model).__name__}."
        )
