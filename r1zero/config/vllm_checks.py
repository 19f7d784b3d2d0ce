"""Which ``vllm_*`` keys of ``trainer:`` work, where, and with which values"""

from typing import Any

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value

# What vLLM 0.30 draws at: it raises lower temperatures without a word, and some versions refuse higher ones.
TEMPERATURES = (0.01, 2.0)
SERVER_KEYS = ("server_base_url", "server_host", "server_port", "server_timeout", "group_port")
CORRECTION_MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


def check_vllm(config: Config) -> None:
    """``vllm_*`` keys where they are used, with values that vLLM can start with."""
    trainer = config.trainer
    if config.rollout.backend != "vllm":
        for key in trainer:
            if key.startswith("vllm_"):
                raise ValueError(
                    f"trainer.{key} = {trainer[key]} with rollout = {config.rollout.backend}: set rollout=vllm."
                )
        return
    check_mode(trainer)
    share = trainer_value(trainer, "vllm_gpu_memory_utilization")
    if not 0 < share <= 1:
        raise ValueError(f"trainer.vllm_gpu_memory_utilization = {share}: must be in (0, 1].")
    model_impl = trainer_value(trainer, "vllm_model_impl")
    if model_impl not in ("vllm", "transformers", "auto"):
        raise ValueError(f"trainer.vllm_model_impl = {model_impl}: must be vllm, transformers or auto.")
    longest, length = trainer_value(trainer, "max_completion_length"), trainer_value(trainer, "vllm_max_model_length")
    if length is not None and longest >= length:
        raise ValueError(
            f"trainer.vllm_max_model_length = {length}: holds prompt and completion together, and a completion alone "
            f"may have trainer.max_completion_length = {longest} tokens. Set it above that by the longest prompt."
        )
    low, high = TEMPERATURES
    for key, temperature in (("trainer", trainer_value(trainer, "temperature")), ("eval", config.eval.temperature)):
        if temperature and not low <= temperature <= high:
            raise ValueError(
                f"{key}.temperature = {temperature} with rollout = vllm: vLLM draws at {low} to {high}. Set it within, "
                "or rollout=native."
            )
    check_correction(trainer)


def check_mode(trainer: dict[str, Any]) -> None:
    """An engine on each rank, and nothing that belongs to another arrangement."""
    mode = trainer_value(trainer, "vllm_mode")
    if mode not in ("colocate", "server"):
        raise ValueError(f"trainer.vllm_mode = {mode}: must be colocate or server.")
    if mode == "server":
        raise ValueError(
            "trainer.vllm_mode = server: not supported. TRL hands weights to a server over NCCL, which needs CUDA on "
            "both sides, and a seed to all completions of a prompt at once. Set trainer.vllm_mode=colocate."
        )
    for key in SERVER_KEYS:
        if f"vllm_{key}" in trainer:
            raise ValueError(f"trainer.vllm_{key} = {trainer[f'vllm_{key}']}: belongs to a server; leave it out.")
    parallel = trainer_value(trainer, "vllm_tensor_parallel_size")
    if parallel != 1:
        raise ValueError(
            f"trainer.vllm_tensor_parallel_size = {parallel}: must be 1. Each rank draws its own rows with whole "
            "weights, which it gathers for a rollout anyway, so shards would save nothing."
        )
    if trainer_value(trainer, "vllm_structured_outputs_regex") is not None:
        raise ValueError(
            "trainer.vllm_structured_outputs_regex: completions would come from another distribution than the one that "
            "is trained; leave it out."
        )


def check_correction(trainer: dict[str, Any]) -> None:
    """TRL's correction for tokens that vLLM finds more or less likely than the training forward does."""
    mode = trainer_value(trainer, "vllm_importance_sampling_mode")
    if mode not in CORRECTION_MODES:
        raise ValueError(
            f"trainer.vllm_importance_sampling_mode = {mode}: must be one of {', '.join(CORRECTION_MODES)}."
        )
    corrects = trainer_value(trainer, "vllm_importance_sampling_correction")
    if corrects and trainer_value(trainer, "loss_type") == "vespo" and not mode.startswith("token_"):
        raise ValueError(
            f"trainer.loss_type = vespo with trainer.vllm_importance_sampling_mode = {mode}: vespo weighs tokens. Set "
            "token_truncate or token_mask."
        )
