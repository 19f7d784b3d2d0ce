"""Every private name of another library that r1zero relies on, and what for.

A library that renames such a hook breaks nothing that one can see: our override is then a method that nobody calls, and
TRL goes on without it. So the hooks are checked when a trainer is made (``check_hooks``), and the source of every name
is recorded here as a hash: tests/training/test_internals.py says which changed and what to read again.
"""

import hashlib
import importlib
import inspect
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

LIBRARIES = ("trl", "transformers", "accelerate", "torch", "deepspeed")


@dataclass(frozen=True)
class Internal:
    """A private name.

    Attributes:
        name: ``module:attribute.attribute``.
        relied_on: What must stay true.
        test: Where it shows when it does not.
        sources: The first 12 hex digits of the SHA-256 of its source, one for each version that was read; of the line
            that sets it where it is a plain value, empty where it is made at run time.
    """

    name: str
    relied_on: str
    test: str
    sources: str

    def resolve(self) -> Any:
        """The object.

        Raises:
            ImportError, AttributeError: It is not there.
        """
        module, _, path = self.name.partition(":")
        found: Any = importlib.import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
        return found

    def digest(self) -> str:
        """The hash of the installed one."""
        found = self.resolve()
        try:
            text = inspect.getsource(cast(Any, found.fget) if isinstance(found, property) else found)
        except TypeError:  # no function or class: the line that sets it, since a process may have changed the value
            module, _, name = self.name.partition(":")
            lines = inspect.getsource(importlib.import_module(module)).splitlines()
            text = next((line for line in lines if line.startswith(f"{name} = ")), "")
        return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""


GRPO = "trl.trainer.grpo_trainer:GRPOTrainer"
TRAINER = "transformers.trainer:Trainer"
WEIGHTS = "tests/training/test_against_trl.py"
RESUME = "tests/runs/test_resume.py"
DECODING = "tests/rollout/test_decoding_step.py"

INTERNALS = (
    # TRL: the steps of a GRPO update that R1ZeroTrainer builds on.
    Internal(
        f"{GRPO}.__init__",
        "sets _step = 0, _buffered_inputs = None, _logs, _metrics, _entropy_bonus_enabled, aux_loss_enabled, ref_model "
        "and reward_weights, eos_token_ids (the tokenizer's first, then the model's)",
        WEIGHTS,
        "18f01b7a46c9",
    ),
    Internal(
        f"{GRPO}._generate_and_score_completions",
        "calls rollout_func once with this rank's prompts, then _calculate_rewards; fills _logs with all ranks' "
        "prompts, completions, rewards, extra columns and advantages in row order; with use_vllm it weighs tokens by "
        "importance_sampling_ratio, and has weights to hand over unless _last_loaded_step is this step",
        WEIGHTS,
        "1fa48922792d",
    ),
    Internal(
        f"{GRPO}._calculate_rewards",
        "returns (all ranks' rows, judges), NaN where a judge gave None; a row of NaN alone leaves the baseline",
        WEIGHTS,
        "736ae29b0838",
    ),
    Internal(
        f"{GRPO}._prepare_inputs",
        "replaces _buffered_inputs by a new list of steps_per_generation micro-batches at each rollout, and returns "
        "the one at _step modulo that",
        WEIGHTS,
        "f824e7fb0714",
    ),
    Internal(
        f"{GRPO}._get_per_token_logps_and_entropies",
        "returns log-probs (B, T), entropies or None, router loss or None; scores with the fused head under autocast",
        WEIGHTS,
        "ea73c3909275",
    ),
    Internal(
        f"{GRPO}._compute_loss",
        "uses num_items_in_batch of the batch for dapo and cispo, the rows of the micro-batch for grpo, dr_grpo, sapo "
        "and luspo; appends clip ratios to _metrics['train']",
        WEIGHTS,
        "80295546bbdb",
    ),
    Internal(f"{GRPO}.training_step", "counts _step after each micro-batch", RESUME, "9e18632f7dd8"),
    Internal(f"{GRPO}._get_train_sampler", "is a RepeatSampler over the training set", RESUME, "36497afb4d31"),
    Internal(f"{GRPO}.log", "adds the means of _metrics to logs and clears them", WEIGHTS, "1e7772819cc8"),
    Internal(
        "trl.trainer.utils:RepeatSampler",
        "draws one torch.randperm(num_samples) from generator an epoch",
        RESUME,
        "ba139f4a43ee",
    ),
    Internal(
        "trl.trainer.utils:add_fused_lm_head",
        "takes labels or shift_labels with -100 for what is not scored, and returns log_probs and entropy",
        WEIGHTS,
        "422d009f04b6",
    ),
    Internal(
        "trl.trainer.utils:_CHUNKED_LOGPROB_CHUNK_SIZE",
        "is the width of a tile of logits, read at every call",
        "tests/models/test_cpu.py",
        "0948626f2280",
    ),
    Internal(
        "trl.models.utils:unwrap_model_for_generation",
        "gives the bare model with whole weights under ZeRO-3",
        "tests/training/test_grid.py",
        "583d1303c5c5",
    ),
    # transformers: the training loop that DurableTrainer builds on.
    Internal(
        f"{TRAINER}._get_output_dir",
        "is the only source of the folder that a checkpoint goes to",
        RESUME,
        "97172085342a",
    ),
    Internal(
        f"{TRAINER}._save_checkpoint",
        "writes everything below _get_output_dir()/checkpoint-STEP",
        RESUME,
        "a9111e30faa9",
    ),
    Internal(
        f"{TRAINER}._init_training_state",
        "its fourth argument is resume_from_checkpoint; returns finished epochs and micro-batches",
        RESUME,
        "8fbd17ebb7d3",
    ),
    Internal(
        f"{TRAINER}._run_epoch", "trains at least one step; subtracts _tr_loss after logging", RESUME, "31aff00f34c3"
    ),
    Internal(
        f"{TRAINER}._load_optimizer_and_scheduler",
        "is called once, also under DeepSpeed, after the weights are loaded; it puts the file's learning rates back",
        "tests/runs/test_extend.py",
        "741032f57d6f",
    ),
    Internal(
        f"{TRAINER}._issue_warnings_after_load", "takes torch's missing and unexpected keys", RESUME, "7ccdd73aac16"
    ),
    Internal(
        f"{TRAINER}._maybe_log_save_evaluate",
        "is called once a step, after the optimizer and the counter of steps, and once more at the end of an epoch",
        RESUME,
        "af101534f0f7",
    ),
    Internal(
        f"{TRAINER}._get_grad_norm",
        "is called once a step, after clipping and before the optimizer, which steps on the gradients that are left",
        RESUME,
        "913ba6f52f07",
    ),
    Internal(f"{TRAINER}._get_learning_rate", "gives the last learning rate as a float", RESUME, "158d12f9b950"),
    Internal(
        "transformers.cache_utils:DynamicLayer",
        "holds keys and values (rows, heads, columns, head size) and returns what attention sees from update",
        "tests/rollout/test_decode.py",
        "e4b400811fcb 7c54e5066879",
    ),
    Internal(
        "transformers.cache_utils:Cache.__init__",
        "takes layers that are made already",
        "tests/rollout/test_decode.py",
        "d6aa3349b3f1",
    ),
    Internal(
        "transformers.configuration_utils:PreTrainedConfig._attn_implementation",
        "names the attention that a model uses",
        DECODING,
        "0ecad559168e",
    ),
    # The layers that rollout/decoding_step.py writes out for one token.
    Internal(
        "transformers.models.llama.modeling_llama:LlamaDecoderLayer",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "7ecbd636f826 c9b00b1773c5",
    ),
    Internal(
        "transformers.models.llama.modeling_llama:LlamaAttention",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "87ac6a454e19 1e833425cc02",
    ),
    Internal(
        "transformers.models.llama.modeling_llama:LlamaMLP",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "c35b6e992834",
    ),
    Internal(
        "transformers.models.llama.modeling_llama:LlamaRMSNorm",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "3f012147307d",
    ),
    Internal(
        "transformers.models.mistral.modeling_mistral:MistralAttention",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "da11b3deab78 1e48508d4dfa",
    ),
    Internal(
        "transformers.models.qwen2.modeling_qwen2:Qwen2Attention",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "71eaab7b2f1a dd58b30c04f9",
    ),
    Internal(
        "transformers.models.qwen3.modeling_qwen3:Qwen3Attention",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "193f79b66ef0 ad2b52e40a1e",
    ),
    Internal(
        "transformers.models.qwen3.modeling_qwen3:Qwen3RMSNorm",
        "is the arithmetic that LlamaStep repeats",
        DECODING,
        "a6be7f34ad2c",
    ),
    # What a CPU and several ranks need.
    Internal(
        "torch.library:get_kernel", "gives a dispatcher's kernel to call", "tests/models/test_cpu.py", "87172bfebf04"
    ),
    Internal(
        "torch:ops.mkldnn._linear_pointwise", "is oneDNN's linear layer in float32", "tests/models/test_cpu.py", ""
    ),
    Internal(
        "deepspeed.ops:__compatible_ops__",
        "says under deepspeed_shm_comm whether ranks on CPUs compile an all-reduce of their own",
        "tests/training/test_grid.py",
        "",
    ),
)


def check_hooks(trainer: type) -> None:
    """Every private method that a trainer of ours replaces exists in the classes behind it.

    Raises:
        RuntimeError: One does not.
    """
    ours = [cls for cls in trainer.__mro__ if cls.__module__.startswith("r1zero.")]
    theirs = [cls for cls in trainer.__mro__ if cls not in ours]
    for cls in ours:
        for name, value in vars(cls).items():
            private = name.startswith("_") and not name.startswith("__") and inspect.isfunction(value)
            if private and not any(name in vars(base) for base in theirs):
                installed = ", ".join(f"{library} {version(library)}" for library in ("trl", "transformers"))
                raise RuntimeError(
                    f"{cls.__name__}.{name} replaces a method that {installed} does not have: it would never be called "
                    "and training would go on without it. Install the versions that pyproject.toml names."
                )
