"""Bytes that a run needs on each rank, by part, and bytes that a rank may use: an estimate, from the config alone.

What to do with the two is ``r1zero.training.preflight``'s business.
"""

import os

import torch

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.rollout.decode import PACES
from r1zero.rollout.vllm_engine import CPU_CACHE_BYTES, VLLMSettings
from r1zero.training.model_shape import Shape

GB = 1e9
PROMPT_TOKENS = 256  # where the task's own are not known; the longest prompt of the tasks here has about 200
# CUDA context 0.5 GB, NCCL buffers and fragmentation: what nvidia-smi shows beyond tensors in runs of this size.
OVERHEAD = 2 * GB
# TRL's fused head works on tiles of (tokens, vocabulary): trl/kernels/chunked_logprob.py.
HEAD_TILE = 4096 * 8192
# Copies of the logits (R, V) that a decode step holds in float32: logits, log-probabilities, probabilities, their sum.
LOGIT_COPIES = 4


def estimate(config: Config, shape: Shape, ranks: int) -> dict[str, float]:
    """Bytes on each rank's device, by part. Parts that live in host memory are not counted."""
    zero = config.deepspeed.get("zero_optimization", {})
    stage = zero.get("stage", 0)
    trainer = config.trainer
    bf16 = trainer_value(trainer, "bf16")
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
        "reference": weights if trainer_value(trainer, "beta") and config.peft.method == "none" else 0.0,
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
    tokens = trainer_value(trainer, "per_device_train_batch_size") * sequence_tokens(config)
    # Inputs of both norms, in float32 too (8), q, k, v, attention's output twice, and gate, up and their product twice.
    layer = shape.hidden * (2 * compute + 8 + 4 * compute) + 2 * shape.kv_width * compute
    layer += 4 * shape.intermediate * compute
    if trainer_value(trainer, "activation_checkpointing"):
        return float(tokens * (shape.layers * shape.hidden * compute + layer))
    return float(tokens * shape.layers * layer)


def head(shape: Shape, compute: int) -> float:
    """The fused head: tiles of logits, and the gradient of its weight in float32."""
    return float(2 * HEAD_TILE * compute + shape.vocab * shape.hidden * 4)


def rollout(config: Config, shape: Shape, ranks: int) -> dict[str, float]:
    """Bytes while sampling: the cache of the rows in flight, their logits, and whole weights where they are sharded."""
    trainer = config.trainer
    mine = trainer_value(trainer, "per_device_train_batch_size") * trainer_value(trainer, "gradient_accumulation_steps")
    rows = min(config.rollout.max_rows, max(mine, config.task.num_test // ranks))
    stored = 2 if config.model.dtype != "float32" or (trainer_value(trainer, "bf16") and config.deepspeed) else 4
    compute = 2 if trainer_value(trainer, "bf16") else stored
    columns = sequence_tokens(config) + trainer_value(trainer, "max_completion_length") // 2  # RowCache's spare room
    logits = LOGIT_COPIES * rows * shape.vocab * 4
    if for_gpu(config):  # whole blocks of columns, and a second step's logits in what captured steps hold
        columns += PACES["cuda"].column_block + 2 * PACES["cuda"].look_every
        logits *= 2
    parts = {
        "cache": 2.0 * shape.layers * shape.kv_width * rows * columns * compute,
        "rollout logits": float(logits),
    }
    if config.rollout.backend == "vllm":
        parts = {"vLLM": vllm_engine(config, shape, ranks, compute)}
    if config.deepspeed.get("zero_optimization", {}).get("stage", 0) == 3:
        parts["gathered weights"] = shape.parameters * float(stored)
    if compute < stored:
        parts["bf16 copies"] = shape.trained * float(compute)  # autocast keeps those of weights that are trained
    return parts


def vllm_engine(config: Config, shape: Shape, ranks: int, compute: int) -> float:
    """Bytes of vLLM's weights, keys and values: its share of a GPU; on a CPU, weights and a cache of its own size."""
    settings, device = VLLMSettings.of(config.trainer), capacity(config, ranks)
    if for_gpu(config) and device is not None:
        return settings.memory_share * device
    return shape.parameters * float(compute) + CPU_CACHE_BYTES


def sequence_tokens(config: Config) -> int:
    """Tokens of the longest row."""
    return (config.memory.prompt_tokens or PROMPT_TOKENS) + trainer_value(config.trainer, "max_completion_length")


def peak(config: Config, shape: Shape, ranks: int) -> float:
    """Bytes at the worse of the two moments: a backward pass, or a rollout (without gradients and activations)."""
    training = estimate(config, shape, ranks)
    resident = sum(training[part] for part in ("weights", "optimizer", "reference"))
    drawing = rollout(config, shape, ranks)
    asleep = for_gpu(config) and VLLMSettings.of(config.trainer).sleeps
    stays = 0.0 if asleep else drawing.get("vLLM", 0.0)
    return max(sum(training.values()) + stays, resident + sum(drawing.values())) + (OVERHEAD if for_gpu(config) else 0)


def for_gpu(config: Config) -> bool:
    """Whether the run is meant for a GPU."""
    return torch.cuda.is_available() or bool(config.memory.device_gb)


def capacity(config: Config, ranks: int) -> float | None:
    """Bytes that a rank may use: ``memory.device_gb``, else the GPU's, else its share of this machine's memory."""
    if config.memory.device_gb is not None:
        return config.memory.device_gb * GB
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    if config.deepspeed or trainer_value(config.trainer, "bf16"):
        return None  # made for a GPU, and none is visible: nothing here says how large it will be
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / ranks
