"""Every key of TRL's ``GRPOConfig``: those that ``trainer:`` may hold, those set elsewhere, and those refused.

The table is that of TRL 1.16 on transformers 5.23; a test compares it with the installed ``GRPOConfig``. TRL's
documentation says what a key means, and ``r1zero.config.trainer_checks`` which values fit together.
"""

import dataclasses
import difflib
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True)
class TrainerKeys:
    """The keys that ``trainer:`` may hold, with TRL's types and defaults. Names that TRL has as an enum are strings.

    GRPOConfig or its trainer replaces these defaults by what they compute from other keys: None of ``bf16``,
    ``activation_checkpointing`` (both: see ``trainer_value``), ``steps_per_generation`` (gradient_accumulation_steps),
    ``eval_steps`` (every step), ``epsilon_high`` (epsilon) and ``router_aux_loss_coef`` (the model's);
    ``dataloader_pin_memory`` is false with ``use_cpu``; ``torch_compile`` is true where its backend or mode is set.
    """

    # Length of the run, batches
    max_steps: int = -1
    num_train_epochs: float = 3.0
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_generations: int | None = 8
    steps_per_generation: int | None = None
    num_iterations: int = 1
    shuffle_dataset: bool | None = True
    # Optimizer
    learning_rate: float = 1e-6
    lr_scheduler_type: str = "linear"
    lr_scheduler_kwargs: dict | str | None = None
    warmup_steps: float = 0
    optim: str = "adamw_torch_fused"
    optim_args: str | None = None
    optim_target_modules: str | list[str] | None = None
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    # Loss
    loss_type: str = "dapo"
    beta: float = 0.0
    epsilon: float = 0.2
    epsilon_high: float | None = None
    delta: float | None = None
    scale_rewards: str = "group"
    multi_objective_aggregation: str = "sum_then_normalize"
    importance_sampling_level: str = "token"
    mask_truncated_completions: bool = False
    off_policy_mask_threshold: float | None = None
    use_bias_correction_kl: bool = True
    top_entropy_quantile: float = 1.0
    entropy_coef: float = 0.0
    use_adaptive_entropy: bool = False
    entropy_coef_min: float = 0.0
    entropy_coef_max: float = 1.0
    entropy_coef_delta: float = 0.005
    entropy_target: float = 0.2
    sapo_temperature_neg: float = 1.05
    sapo_temperature_pos: float = 1.0
    vespo_k_pos: float = 2.0
    vespo_lambda_pos: float = 3.0
    vespo_k_neg: float = 3.0
    vespo_lambda_neg: float = 2.0
    router_aux_loss_coef: float | None = None
    sync_ref_model: bool = False
    ref_model_mixup_alpha: float = 0.6
    ref_model_sync_steps: int = 512
    # Sampling
    max_completion_length: int | None = 512
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None
    generation_kwargs: dict | str | None = None
    # Evaluation and checkpoints: when
    eval_strategy: str = "no"
    eval_steps: float | None = None
    eval_delay: float = 0
    eval_on_start: bool = False
    save_strategy: str = "steps"
    save_steps: float = 500
    # Precision, memory, speed
    bf16: bool | None = None
    fp16: bool = False
    tf32: bool | None = None
    use_cpu: bool = False
    full_determinism: bool = False
    disable_dropout: bool = False
    cast_lm_head_to_fp32: bool = False
    activation_checkpointing: bool | None = None
    activation_checkpointing_kwargs: dict[str, Any] | str | None = None
    torch_empty_cache_steps: int | None = None
    torch_compile: bool = False
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    use_liger_kernel: bool = False
    liger_kernel_config: dict[str, bool] | None = None
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    dataloader_persistent_workers: bool = False
    dataloader_prefetch_factor: int | None = None
    dataloader_multiprocessing_context: str | None = None
    # Ranks
    ddp_find_unused_parameters: bool | None = None
    ddp_bucket_cap_mb: int | None = None
    ddp_broadcast_buffers: bool | None = None
    ddp_static_graph: bool | None = None
    ddp_backend: str | None = None
    ddp_timeout: int = 1800
    # What the libraries say
    log_level: str = "passive"
    log_level_replica: str = "warning"
    debug: str | list[str] = ""
    # vLLM
    vllm_mode: str = "colocate"
    vllm_model_impl: str = "vllm"
    vllm_enable_sleep_mode: bool = False
    vllm_structured_outputs_regex: str | None = None
    vllm_server_base_url: str | None = None
    vllm_server_host: str = "0.0.0.0"
    vllm_server_port: int = 8000
    vllm_server_timeout: float = 240.0
    vllm_group_port: int = 51216
    vllm_gpu_memory_utilization: float = 0.3
    vllm_max_model_length: int | None = None
    vllm_tensor_parallel_size: int = 1
    vllm_importance_sampling_correction: bool = True
    vllm_importance_sampling_mode: str = "sequence_mask"
    vllm_importance_sampling_clip_max: float | None = 3.0
    vllm_importance_sampling_clip_min: float | None = None


# Keys that this project sets itself, and what the user sets instead.
_EVERY_COMPLETION = "nothing: all completions are always written"
_EVERY_STEP = "nothing: every step is always written"
SET_ELSEWHERE = {
    "output_dir": "hydra.run.dir",
    "seed": "seed",
    "data_seed": "seed",
    "run_name": "run_name",
    "report_to": "tracker",
    "project": "tracker.project",
    "reward_weights": "reward.weights",
    "deepspeed": "deepspeed",
    "local_rank": "launch.num_processes",
    "disable_tqdm": "the terminal (the bar hides when there is none)",
    "gradient_checkpointing": "trainer.activation_checkpointing, its new name in transformers,",
    "gradient_checkpointing_kwargs": "trainer.activation_checkpointing_kwargs, its new name in transformers,",
    "log_completions": _EVERY_COMPLETION,
    "log_completions_hub_repo": _EVERY_COMPLETION,
    "log_unique_prompts": _EVERY_COMPLETION,
    "num_completions_to_print": _EVERY_COMPLETION,
    "logging_steps": _EVERY_STEP,
    "logging_strategy": _EVERY_STEP,
    "logging_first_step": _EVERY_STEP,
    "logging_nan_inf_filter": "guard.max_skipped_steps",
    "num_generations_eval": "eval.num_samples",
    "per_device_eval_batch_size": "rollout.max_rows",
    "resume_from_checkpoint": "resume",
    "save_total_limit": "checkpoints.keep_last",
    "load_best_model_at_end": "checkpoints.keep_best",
    "metric_for_best_model": "checkpoints.keep_best",
    "greater_is_better": "checkpoints.keep_best",
    "save_only_model": "nothing: a checkpoint must be able to go on; checkpoints/final has the weights alone",
    "ignore_data_skip": "nothing: a resumed run sees the data that it has not seen",
    "auto_find_batch_size": "trainer.per_device_train_batch_size (python -m r1zero.memory says what fits)",
    "generation_batch_size": "trainer.steps_per_generation",
    "model_init_kwargs": "model.dtype and model.attn_implementation",
    "chat_template_kwargs": "task.template",
    "train_sampling_strategy": "trainer.shuffle_dataset",
    "use_vllm": "rollout",
    "use_transformers_continuous_batching": "rollout",
    "use_transformers_paged": "rollout",
    "transformers_continuous_batching_config": "rollout and rollout.max_rows",
    "cache_implementation": "rollout",
    "ds3_gather_for_generation": "nothing: ranks decode different numbers of tokens, so each needs whole weights",
    "vllm_importance_sampling_cap": "trainer.vllm_importance_sampling_clip_max, its new name in TRL,",
    "fsdp": "deepspeed=zero3, which shards the same and is gathered for rollouts,",
    "fsdp_config": "deepspeed=zero3, which shards the same and is gathered for rollouts,",
    "parallelism_config": "deepspeed=zero3, which shards the weights over the ranks,",
}

# Keys that would be passed over, or would break what this project does, and why.
_EVALUATION = "it belongs to TRL's evaluation of a loss, and ours samples completions (see eval); leave it out."
_HUB = "uploads would meet checkpoints that are not whole yet. Leave it out, and upload checkpoints/final at the end."
_TRACKIO = "the tracker trackio writes on this machine; leave it out."
REFUSED = {
    "repetition_penalty": "rollouts do not support it yet; leave it out.",
    "max_tool_calling_iterations": "completions call no tools; leave it out.",
    "trust_remote_code": "code that comes with a model is never run; leave it out.",
    "neftune_noise_alpha": "the policy that is trained would not be the one that sampled; leave it out.",
    "label_smoothing_factor": "GRPO's loss has no labels; leave it out.",
    "label_names": "GRPO's loss has no labels; leave it out.",
    "average_tokens_across_devices": "the loss always counts the tokens of all ranks; leave it out.",
    "use_cache": "rollouts always have a cache, and the training forward has no use for one; leave it out.",
    "pad_to_multiple_of": "micro-batches are always trimmed to their longest row; leave it out.",
    "length_column_name": "rows are sorted by the length of their completions; leave it out.",
    "remove_unused_columns": "judges need the columns that would be removed; leave it out.",
    "dataloader_drop_last": "a rollout always has all its rows; leave it out.",
    "dataloader_in_order": "a resumed run must see the data in the same order; leave it out.",
    "accelerator_config": "groups of completions would be cut where it splits batches; leave it out.",
    "include_num_input_tokens_seen": "num_tokens is always written; leave it out.",
    "skip_memory_metrics": "its numbers would not reach metrics.jsonl; leave it out.",
    "log_on_each_node": "rank 0 writes for all; leave it out.",
    "log_multimodal": "prompts are text; leave it out.",
    "save_on_each_node": "all nodes share the run directory, and rank 0 writes; leave it out.",
    "enable_jit_checkpoint": "a run that is asked to stop always saves first; leave it out.",
    "restore_callback_states_from_checkpoint": "a run that was asked to stop would stop again at once; leave it out.",
    "do_train": "r1zero.train always trains; leave it out.",
    "do_eval": "trainer.eval_strategy says whether to evaluate; leave it out.",
    "do_predict": "held-out problems are what is predicted; leave it out.",
    **dict.fromkeys(
        ("bf16_full_eval", "fp16_full_eval", "prediction_loss_only", "eval_do_concat_batches"), _EVALUATION
    ),
    **dict.fromkeys(("eval_use_gather_object", "eval_accumulation_steps", "include_for_metrics"), _EVALUATION),
    "batch_eval_metrics": _EVALUATION,
    **dict.fromkeys(("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy"), _HUB),
    **dict.fromkeys(("hub_always_push", "hub_revision"), _HUB),
    **dict.fromkeys(("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"), _TRACKIO),
}

DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainerKeys)}
TYPES = {key: get_args(hint) or (hint,) for key, hint in get_type_hints(TrainerKeys).items()}


def trainer_value(trainer: dict[str, Any], key: str) -> Any:
    """What TRL works with for ``key``: the value in ``trainer``, else TRL's default.

    >>> trainer_value({"temperature": 0.7}, "temperature"), trainer_value({}, "max_completion_length")
    (0.7, 512)
    >>> trainer_value({}, "bf16"), trainer_value({"fp16": True}, "bf16")
    (True, False)
    """
    value = trainer.get(key, DEFAULTS[key])
    if value is None and key == "bf16":
        return not trainer_value(trainer, "fp16")
    if value is None and key == "activation_checkpointing":
        return True  # the default of gradient_checkpointing, its old name
    return value


def check_trainer_keys(trainer: dict[str, Any]) -> None:
    """``trainer`` holds keys of GRPOConfig that are set here and do something here."""
    for key, value in trainer.items():
        if key in SET_ELSEWHERE:
            elsewhere, _, why = SET_ELSEWHERE[key].partition("nothing: ")
            remedy = f"set {elsewhere} instead" if elsewhere else f"leave it out; {why}"
            raise ValueError(f"trainer.{key} = {value}: {remedy}.")
        if key in REFUSED:
            raise ValueError(f"trainer.{key} = {value}: {REFUSED[key]}")
        if key not in DEFAULTS:
            near = difflib.get_close_matches(key, [*DEFAULTS, *SET_ELSEWHERE, *REFUSED], n=1, cutoff=0.5)
            hint = f" Did you mean 'trainer.{near[0]}'?" if near else ""
            raise ValueError(f"trainer.{key} = {value}: TRL's GRPOConfig has no such key.{hint}")


def check_trainer_types(trainer: dict[str, Any]) -> None:
    """Values are of their key's type where that is a number; null only where TRL knows it."""
    for key, value in trainer.items():
        kinds = TYPES[key]
        if value is None and NoneType not in kinds:
            raise ValueError(f"trainer.{key} = null: must have a value; leave it out for TRL's {DEFAULTS[key]}.")
        if {*kinds} <= {int, float, bool, NoneType} and not isinstance(value, int | float | None):
            raise ValueError(f"trainer.{key} = {value}: must be a number or true/false.")
        if isinstance(value, float) and int in kinds and float not in kinds and not value.is_integer():
            raise ValueError(f"trainer.{key} = {value}: must be a whole number.")
