"""What makes a model faster on a CPU: products at full speed on AMD, dense logits, memory kept between steps.

All three change torch, TRL or glibc for the whole process, until it ends; ``model.cpu_kernels=false`` leaves them as
they come. ``python -m benchmarks.train_step`` gives them to our trainer alone, ``--same-kernels`` to TRL's as well.
"""

import ctypes
import functools
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer import utils as trl_utils

from r1zero.config.schema import ModelConfig

log = logging.getLogger(__name__)

# Smaller products (multiply-adds) take less time than the way through Python.
MIN_PRODUCT = 1 << 20
# Of weights. A step of SmolLM2-135M (540 MB) took 38.7 s before, 25 s with both, at the same peak of memory. To the
# embedded model (4 MB), memory that is kept brings nothing that stands out from the noise.
MIN_MODEL_BYTES_TO_KEEP_MEMORY = 100 << 20
# oneDNN keeps a kernel for every shape it has met, 1,024 of them by default: megabytes each, and no two micro-batches
# have one shape. A micro-batch needs about a dozen.
KERNELS_TO_KEEP = "32"
# The private name of TRL's limit on the logits that it computes at once for a token. None: this TRL has no such limit.
TILE_WIDTH = "_CHUNKED_LOGPROB_CHUNK_SIZE"
WIDEST_TILE: int | None = getattr(trl_utils, TILE_WIDTH, None)
# Of mallopt(3): map no block on its own; give memory back to the kernel only above TRIM_BYTES; ask for PAD_BYTES more.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TRIM_BYTES, PAD_BYTES = 2**31 - 1, 64 << 20


def speed_up_cpu(model: PreTrainedModel, config: ModelConfig) -> list[str]:
    """What was changed in this process, from now on, to make ``model`` faster on this CPU; results differ in rounding.

    Empty on a machine with a GPU, and when ``config.cpu_kernels`` is false.
    """
    if torch.cuda.is_available() or not config.cpu_kernels:
        return []
    done = {
        "oneDNN float32 products": use_onednn_where_faster() is not None,
        "logit tiles as wide as the vocabulary": fit_logit_tiles(model.config.get_text_config().vocab_size),
        "freed memory kept": is_large(model) and keep_freed_memory(),
    }
    return [what for what, whether in done.items() if whether]


def is_large(model: PreTrainedModel) -> bool:
    """Whether a step frees and asks for so much memory that keeping it pays."""
    return model.num_parameters() * model.dtype.itemsize >= MIN_MODEL_BYTES_TO_KEEP_MEMORY


def fit_logit_tiles(vocab_size: int) -> bool:
    """Let TRL's tiles of logits be no wider than the vocabulary; whether that makes them narrower.

    A tile has one row a token in a buffer 32,768 logits wide. With a vocabulary of 223 the rows that are used lie
    128 KB apart, and at that distance all of them compete for the same lines of the processor's cache.
    """
    if WIDEST_TILE is None:
        return False
    setattr(trl_utils, TILE_WIDTH, min(WIDEST_TILE, vocab_size))
    return vocab_size < WIDEST_TILE


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step, else the kernel zeroes it again; whether this libc can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wishes = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, TRIM_BYTES), (M_TOP_PAD, PAD_BYTES))
    return all(mallopt(name, value) == 1 for name, value in wishes)


def served_at_half_speed() -> bool:
    """Whether this is an AMD processor with AVX-512: MKL, where torch takes products, serves it with AVX2 alone."""
    info = Path("/proc/cpuinfo")
    amd = info.exists() and "AuthenticAMD" in info.read_text(encoding="utf-8", errors="replace")
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return amd and wide and torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()


def onednn_pays(left_MK: torch.Tensor, right_KN: torch.Tensor) -> bool:
    """Whether oneDNN is faster than MKL for this product, as measured on one such processor."""
    both_float = left_MK.dtype is torch.float32 and right_KN.dtype is torch.float32
    return both_float and left_MK.numel() * right_KN.size(1) >= MIN_PRODUCT


def onednn_mm(left_MK: torch.Tensor, right_KN: torch.Tensor, bias_N: torch.Tensor | None = None) -> torch.Tensor:
    """The product (M, N), plus a bias; float32.

    A left side that is not contiguous, as in the gradient of a weight, is copied first: then the smaller side should be
    the left one. The product of 5,152 rows for a weight (512, 128) takes 2.5 ms so, 3.9 ms as it is given and 4.2 ms
    with MKL.
    """
    linear = torch.ops.mkldnn._linear_pointwise.default
    if bias_N is None and not left_MK.is_contiguous() and left_MK.size(0) > right_KN.size(1):
        return linear(right_KN.t(), left_MK, None, "none", [], "").t().contiguous()
    return linear(left_MK, right_KN.t(), bias_N, "none", [], "")


@functools.cache
def use_onednn_where_faster() -> torch.library.Library | None:
    """Let oneDNN, which torch carries as well, compute the float32 products that it is faster at.

    Returns:
        The registration, which keeps the kernels in place; None where there is nothing to gain.
    """
    if not served_at_half_speed() or not hasattr(torch.library, "get_kernel"):
        return None
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # of oneDNN, and of torch's bridge to it
        os.environ.setdefault(cache, KERNELS_TO_KEEP)
    mkl = {name: torch.library.get_kernel(f"aten::{name}", "CPU") for name in ("mm", "addmm")}

    def mm(keys: Any, left_MK: torch.Tensor, right_KN: torch.Tensor) -> torch.Tensor:
        if onednn_pays(left_MK, right_KN):
            return onednn_mm(left_MK, right_KN)
        return mkl["mm"].call_boxed(keys, left_MK, right_KN)

    def addmm(
        keys: Any, bias: torch.Tensor, left_MK: torch.Tensor, right_KN: torch.Tensor, beta: Any = 1, alpha: Any = 1
    ) -> torch.Tensor:
        plain = beta == 1 and alpha == 1 and bias.shape == right_KN.shape[1:] and bias.dtype is torch.float32
        if plain and onednn_pays(left_MK, right_KN):
            return onednn_mm(left_MK, right_KN, bias)
        return mkl["addmm"].call_boxed(keys, bias, left_MK, right_KN, beta=beta, alpha=alpha)

    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel")
        for name, kernel in (("mm", mm), ("addmm", addmm)):
            library.impl(name, kernel, "CPU", with_keyset=True)
    log.info("float32 matrix products go through oneDNN: MKL does not use this processor's AVX-512.")
    return library
