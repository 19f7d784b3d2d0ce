"""Will it fit? Bytes per rank of a run, before anything is loaded"""

import copy
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from r1zero.config.schema import Config
from r1zero.launching.placement import num_ranks
from r1zero.models.load import find
from r1zero.models.lora import lora_config
from r1zero.rollout.decode import PACES

log = logging.getLogger(__name__)


GB = 1e9


# CUDA context 0.5 GB, NCCL buffers and fragmentation: what nvidia-smi shows beyond tensors in runs of this size.
OVERHEAD = 2 * GB


# TRL's fused head works on tiles of (tokens, vocabulary): trl/kernels/chunked_logprob.py.
HEAD_TILE = 4096 * 8192


# Copies of the logits (R, V) that a decode step holds in float32: logits, log-probabilities, probabilities, their sum.
LOGIT_COPIES = 4


class UnknownShapeError(ValueError):
    """The model's size cannot be told without loading it."""


@dataclass(frozen=True)
class Shape:
    """What the estimate needs of a model.

    Attributes:
        parameters, trained: All of them, and those that the optimizer moves.
        largest_layer: Parameters of the largest module that ZeRO-3 gathers as one.
        layers, hidden, intermediate, kv_width, vocab: As in the model's config; ``kv_width`` is key heads x head size.
    """

    parameters: int
    trained: int
    largest_layer: int
    layers: int
    hidden: int
    intermediate: int
    kv_width: int
    vocab: int


def model_shape(config: Config) -> Shape:
    """The model's shape, from ``model.architecture`` or its ``config.json``.

    Raises:
        UnknownShapeError: Neither is there, or it is no decoder of the usual kind.
    """
    architecture = load_architecture(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture)
    largest = max(weight.numel() for weight in model.parameters())
    parameters = sum(weight.numel() for weight in model.parameters())
    if not hasattr(architecture, "intermediate_size") or not hasattr(architecture, "num_attention_heads"):
        raise UnknownShapeError(f"{config.model.name}: {architecture.model_type} is no decoder that is known here.")
    heads, hidden = architecture.num_attention_heads, architecture.hidden_size
    kv_heads = getattr(architecture, "num_key_value_heads", None) or heads
    return Shape(
        parameters=parameters,
        trained=trained_parameters(config, model),
        largest_layer=largest,
        layers=architecture.num_hidden_layers,
        hidden=hidden,
        intermediate=architecture.intermediate_size,
        kv_width=kv_heads * (getattr(architecture, "head_dim", None) or hidden // heads),
        vocab=architecture.vocab_size,
    )


def trained_parameters(config: Config, model: torch.nn.Module) -> int:
    """All parameters, or those of the LoRA adapters."""
    adapter = lora_config(config)
    if adapter is not None:
        from peft import get_peft_model

        with torch.device("meta"):
            model = get_peft_model(model, adapter)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def load_architecture(config: Config) -> PretrainedConfig:
    """transformers' config of the model, without its weights."""
    if config.model.architecture:
        return AutoConfig.for_model(**config.model.architecture)
    try:
        return AutoConfig.from_pretrained(find(config.model))
    except (OSError, ValueError) as error:
        raise UnknownShapeError(
            f"model.path = {config.model.path}: its config.json is not on this machine, so its size is not known. Set "
            "model.architecture={model_type:...,hidden_size:...,...} (the keys of config.json), or memory.check=off."
        ) from error


def estimate(config: Config, shape: Shape, ranks: int) -> dict[str, float]:
    """Bytes on each rank's device, by part. Parts that live in host memory are not counted."""
    zero = config.deepspeed.get("zero_optimization", {})
    stage = zero.get("stage", 0)
    trainer = config.trainer
    bf16 = bool(trainer.get("bf16"))
    stored = 2 if config.model.dtype != "float32" or (stage and bf16) else 4
    compute = 2 if bf16 or stored == 2 else 4
    sharded = ranks if stage >= 1 else 1
    weights = shape.parameters * stored / (ranks if stage == 3 else 1)
    parts = {
        "weights": 0.0 if "offload_param" in zero else weights,
        "gradients": shape.trained * stored / (ranks if stage >= 2 else 1),
        # AdamW keeps two moments. Under ZeRO they are float32 and so is a copy of the weights.
        "optimizer": shape.trained * (12 if stage else 2 * stored) / sharded,
        # With LoRA the reference is the model without its adapters.
        "reference": weights if trainer.get("beta", 0.0) and config.peft.method == "none" else 0.0,
    }
    if "offload_optimizer" in zero:
        parts["gradients"] = parts["optimizer"] = 0.0
    if stage == 0 and ranks > 1:
        parts["communication"] = shape.trained * float(stored)  # DDP's buckets: a second copy of the gradients
    elif stage:
        # reduce_bucket_size, allgather_bucket_size: 5e8 elements each by DeepSpeed's default; ZeRO-3 also prefetches.
        parts["communication"] = float(min(5e8, shape.trained)) * stored + (shape.largest_layer * compute) * (
            stage == 3
        )
    if stage == 0 and bf16 and config.model.dtype == "float32":
        parts["bf16 copies"] = shape.parameters * 2.0  # autocast keeps the cast weights during a forward
    return parts | {"activations": activations(config, shape, compute), "logits": head(shape, compute)}


def activations(config: Config, shape: Shape, compute: int) -> float:
    """What the backward pass needs of a micro-batch's forward."""
    trainer = config.trainer
    tokens = trainer.get("per_device_train_batch_size", 8) * sequence_tokens(config)
    # Inputs of both norms, in float32 too (8), q, k, v, attention's output twice, and gate, up and their product twice.
    layer = shape.hidden * (2 * compute + 8 + 4 * compute) + 2 * shape.kv_width * compute
    layer += 4 * shape.intermediate * compute
    if trainer.get("activation_checkpointing"):
        return float(tokens * (shape.layers * shape.hidden * compute + layer))
    return float(tokens * shape.layers * layer)


def head(shape: Shape, compute: int) -> float:
    """The fused head: tiles of logits, and the gradient of its weight in float32."""
    return float(2 * HEAD_TILE * compute + shape.vocab * shape.hidden * 4)


def rollout(config: Config, shape: Shape, ranks: int) -> dict[str, float]:
    """Bytes while sampling: the cache of the rows in flight, their logits, and whole weights where they are sharded."""
    trainer = config.trainer
    mine = trainer.get("per_device_train_batch_size", 8) * trainer.get("gradient_accumulation_steps", 1)
    rows = min(config.rollout.max_rows, max(mine, config.task.num_test // ranks))
    stored = 2 if config.model.dtype != "float32" or (trainer.get("bf16") and config.deepspeed) else 4
    compute = 2 if trainer.get("bf16") else stored
    columns = sequence_tokens(config) + trainer.get("max_completion_length", 256) // 2  # RowCache's spare room
    logits = LOGIT_COPIES * rows * shape.vocab * 4
    if for_gpu(config):  # whole blocks of columns, and a second step's logits in what captured steps hold
        columns += PACES["cuda"].column_block + 2 * PACES["cuda"].look_every
        logits *= 2
    parts = {
        "cache": 2.0 * shape.layers * shape.kv_width * rows * columns * compute,
        "rollout logits": float(logits),
    }
    if config.deepspeed.get("zero_optimization", {}).get("stage", 0) == 3:
        parts["gathered weights"] = shape.parameters * float(stored)
    if compute < stored:
        parts["bf16 copies"] = shape.trained * float(compute)  # autocast keeps those of weights that are trained
    return parts


def sequence_tokens(config: Config) -> int:
    """Tokens of the longest row."""
    return config.memory.prompt_tokens + config.trainer.get("max_completion_length", 256)


def peak(config: Config, shape: Shape, ranks: int) -> float:
    """Bytes at the worse of the two moments: a backward pass, or a rollout (without gradients and activations)."""
    training = estimate(config, shape, ranks)
    resident = sum(training[part] for part in ("weights", "optimizer", "reference"))
    sampling = resident + sum(rollout(config, shape, ranks).values())
    return max(sum(training.values()), sampling) + (OVERHEAD if for_gpu(config) else 0)


def for_gpu(config: Config) -> bool:
    """Whether the run is meant for a GPU."""
    return torch.cuda.is_available() or bool(config.memory.device_gb)


def capacity(config: Config, ranks: int) -> float | None:
    """Bytes that a rank may use: ``memory.device_gb``, else the GPU's, else its share of this machine's memory."""
    if config.memory.device_gb is not None:
        return config.memory.device_gb * GB
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    if config.deepspeed or config.trainer.get("bf16"):
        return None  # made for a GPU, and none is visible: nothing here says how large it will be
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / ranks


Change = tuple[str, Callable[[Config], bool]]


def half_batch(config: Config) -> bool:
    """Half the micro-batch, twice the accumulation; False where it cannot be halved."""
    size = config.trainer.get("per_device_train_batch_size", 8)
    if size % 2:
        return False
    config.trainer["per_device_train_batch_size"] = size // 2
    config.trainer["gradient_accumulation_steps"] = 2 * config.trainer.get("gradient_accumulation_steps", 1)
    return True


def checkpointing(config: Config) -> bool:
    """Recompute activations."""
    before = config.trainer.get("activation_checkpointing", False)
    config.trainer["activation_checkpointing"] = True
    return not before


def fewer_rows(config: Config) -> bool:
    """Half the rows in flight."""
    config.rollout.max_rows //= 2
    return config.rollout.max_rows >= 8


def zero(stage: int, offload: bool) -> Callable[[Config], bool]:
    """A higher stage than now."""

    def change(config: Config) -> bool:
        now = config.deepspeed.get("zero_optimization", {})
        if (now.get("stage", 0), "offload_optimizer" in now) >= (stage, offload):
            return False
        config.deepspeed = {"zero_optimization": {"stage": stage} | ({"offload_optimizer": {}} if offload else {})}
        if offload and stage == 3:
            config.deepspeed["zero_optimization"]["offload_param"] = {}
        return True

    return change


CHANGES: list[Change] = [
    ("trainer.activation_checkpointing=true", checkpointing),
    ("trainer.per_device_train_batch_size={batch} trainer.gradient_accumulation_steps={steps}", half_batch),
    ("rollout.max_rows={rows}", fewer_rows),
    ("deepspeed=zero2", zero(2, False)),
    ("deepspeed=zero3", zero(3, False)),
    ("deepspeed=zero2_offload", zero(2, True)),
    ("deepspeed=zero3_offload", zero(3, True)),
]


def remedies(config: Config, shape: Shape, ranks: int, limit: float) -> list[str]:
    """Settings that make it fit: each that does so alone, else the first of them together, else none."""

    def words(text: str, changed: Config) -> str:
        return text.format(
            batch=changed.trainer.get("per_device_train_batch_size"),
            steps=changed.trainer.get("gradient_accumulation_steps"),
            rows=changed.rollout.max_rows,
        )

    alone, together, used = [], copy.deepcopy(config), {}
    for text, change in CHANGES:
        one = copy.deepcopy(config)
        while change(one):
            if peak(one, shape, ranks) <= limit:
                alone.append(words(text, one))
                break
        if peak(together, shape, ranks) > limit:
            while change(together):
                used[text.split("=")[0]] = text  # of several stages only the last is set
                if peak(together, shape, ranks) <= limit:
                    break
    if alone:
        return alone
    if peak(together, shape, ranks) <= limit:
        return [" ".join(words(text, together) for text in used.values())]
    return []


def table(config: Config, shape: Shape, ranks: int) -> str:
    """The estimate as text."""
    stage = config.deepspeed.get("zero_optimization", {}).get("stage", 0)
    lines = [
        f"{config.model.name}: {shape.parameters / 1e9:.2f} B parameters, {ranks} rank(s), ZeRO stage {stage}, "
        f"GB (1e9 bytes) on each rank"
    ]
    training, sampling = estimate(config, shape, ranks), rollout(config, shape, ranks)
    lines += [f"  {part:<18}{size / GB:>9.2f}" for part, size in (training | sampling).items() if size]
    return "\n".join([*lines, f"  {'peak':<18}{peak(config, shape, ranks) / GB:>9.2f}"])


def check_memory(config: Config) -> str:
    """The table, and whether the run fits.

    Raises:
        ValueError: It cannot fit and ``memory.check`` is ``refuse``; names the settings that would make it fit.
    """
    shape, ranks = model_shape(config), num_ranks(config)
    text, limit = table(config, shape, ranks), capacity(config, ranks)
    if limit is None:
        return f"{text}\n  No GPU is visible: memory.device_gb=80 compares this with one of 80 GB."
    if peak(config, shape, ranks) <= limit:
        return f"{text}\n  {'of':<18}{limit / GB:>9.2f}  fits"
    found = remedies(config, shape, ranks, limit)
    advice = f"Would fit: {', or '.join(found)}." if found else "Nothing short of more ranks or a smaller model helps."
    message = (
        f"the run needs {peak(config, shape, ranks) / GB:.1f} GB on each rank and has {limit / GB:.1f} GB. {advice}"
    )
    if config.memory.check == "refuse":
        raise ValueError(f"{message} (memory.check=warn goes on all the same.)\n{text}")
    return f"{text}\n  warning: {message}"


def preflight(config: Config) -> None:
    """Log the table of a run that is about to start, as ``memory.check`` says.

    Raises:
        ValueError: The run cannot fit.
    """
    if config.memory.check == "off":
        return
    try:
        log.info("Memory: %s", check_memory(config))
    except UnknownShapeError as error:
        log.warning("Memory is not checked: %s", error)
