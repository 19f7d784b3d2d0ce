"""Every check that one value of a config makes on another; each raises a ValueError that says what to set."""

import dataclasses
import difflib
import importlib.util
import math
from typing import Any, get_args, get_type_hints

import torch
from trl import GRPOConfig

from r1zero.config.schema import (
    AlarmConfig,
    CodeConfig,
    Config,
    CountdownConfig,
    EvalConfig,
    MathConfig,
    RewardConfig,
    TaskConfig,
    TrackerConfig,
)
from r1zero.launching.placement import num_ranks
from r1zero.tasks.prompts import TEMPLATES
from rewards.math_answer import Policy
from rewards.recipes import LANGUAGES

# Keys of GRPOConfig that this project sets itself, and where the user sets them instead.
RESERVED_TRAINER_KEYS = {
    "output_dir": "hydra.run.dir",
    "seed": "seed",
    "data_seed": "seed",
    "run_name": "run_name",
    "report_to": "tracker",
    "project": "tracker.project",
    "reward_weights": "reward.weights",
    "deepspeed": "deepspeed",
    "disable_tqdm": "the terminal (the bar hides when there is none)",
    "gradient_checkpointing": "trainer.activation_checkpointing, its new name in transformers,",
    "gradient_checkpointing_kwargs": "trainer.activation_checkpointing_kwargs, its new name in transformers,",
    "log_completions": "nothing: all completions are always written",
    "logging_steps": "nothing: every step is always written",
    "resume_from_checkpoint": "resume",
    "save_total_limit": "checkpoints.keep_last",
    "load_best_model_at_end": "checkpoints.keep_best",
    "metric_for_best_model": "checkpoints.keep_best",
    "save_only_model": "nothing: a checkpoint must be able to go on; checkpoints/final has the weights alone",
    "ignore_data_skip": "nothing: a resumed run sees the data that it has not seen",
    "logging_nan_inf_filter": "guard.max_skipped_steps",
    "auto_find_batch_size": "trainer.per_device_train_batch_size (python -m r1zero.memory says what fits)",
    "use_vllm": "rollout",
    "use_transformers_continuous_batching": "rollout",
    "cache_implementation": "rollout",
    "ds3_gather_for_generation": "nothing: ranks decode different numbers of tokens, so each needs whole weights",
}

LOSS_TYPES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo")  # of TRL 1.16

# Keys of GRPOConfig that change sampling in a way our rollouts do not know; better refused than passed over.
UNSUPPORTED_TRAINER_KEYS = ("repetition_penalty",)

ROLLOUT_BACKENDS = ("native", "transformers", "continuous", "vllm")


def check_trainer_keys(trainer: dict[str, Any]) -> None:
    """``trainer`` holds GRPOConfig's keys and none of those set elsewhere."""
    known = [f.name for f in dataclasses.fields(GRPOConfig) if f.init]
    for key, value in trainer.items():
        if key in RESERVED_TRAINER_KEYS:
            raise ValueError(f"trainer.{key} = {value}: set {RESERVED_TRAINER_KEYS[key]} instead.")
        if key in UNSUPPORTED_TRAINER_KEYS:
            raise ValueError(f"trainer.{key} = {value}: rollouts do not support it yet; leave it out.")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f" Did you mean 'trainer.{near[0]}'?" if near else ""
            raise ValueError(f"trainer.{key} = {value}: TRL's GRPOConfig has no such key.{hint}")


def check_trainer_values(trainer: dict[str, Any]) -> None:
    """Numbers are numbers, and within what sampling and batching can use."""
    hints = get_type_hints(GRPOConfig)
    for key, value in trainer.items():
        kinds = get_args(hints[key]) or (hints[key],)
        if isinstance(value, str) and any(kind in kinds for kind in (int, float, bool)) and str not in kinds:
            raise ValueError(f"trainer.{key} = {value}: must be a number or true/false.")
    for key in ("num_generations", "per_device_train_batch_size", "gradient_accumulation_steps"):
        if trainer.get(key, 1) < 1:
            raise ValueError(f"trainer.{key} = {trainer[key]}: must be at least 1.")
    if trainer.get("max_completion_length", 1) < 1:
        raise ValueError(f"trainer.max_completion_length = {trainer['max_completion_length']}: must be at least 1.")
    if trainer.get("temperature", 1.0) <= 0:
        raise ValueError(
            f"trainer.temperature = {trainer['temperature']}: must be above 0; eval.greedy decodes greedily."
        )
    if trainer.get("loss_type", "dapo") not in LOSS_TYPES:
        raise ValueError(f"trainer.loss_type = {trainer['loss_type']}: must be one of {', '.join(LOSS_TYPES)}.")


def check_task(config: Config) -> None:
    """Sizes, and a template that exists and says what the judge checks."""
    task = config.task
    if task.num_test < 1:
        raise ValueError(f"task.num_test = {task.num_test}: must be at least 1.")
    if task.num_train < 0:
        raise ValueError(f"task.num_train = {task.num_train}: must not be negative.")
    if task.template not in TEMPLATES:
        raise ValueError(f"task.template = {task.template}: must be one of {', '.join(TEMPLATES)}.")
    if isinstance(task, CountdownConfig) and task.template == "nano" and not task.use_all_numbers:
        raise ValueError(
            "task.use_all_numbers = False with task.template = nano: the embedded model's prompt has no words for "
            "this rule. Set task.use_all_numbers=true, or another model and template."
        )
    if isinstance(task, MathConfig):
        check_math_task(task)
    if isinstance(task, CodeConfig):
        check_code_task(task)


def check_trains(task: TaskConfig) -> None:
    """There is something to train on."""
    if task.num_train < 1:
        raise ValueError(
            f"task.num_train = {task.num_train}: must be at least 1 to train. A task with 0 is a held-out set for "
            f"`python -m r1zero.evaluate`; {task.name} is not meant for training."
        )


def check_eval(evaluation: EvalConfig) -> None:
    """Sample counts and sampling values that can be used together."""
    if evaluation.num_samples < 1:
        raise ValueError(f"eval.num_samples = {evaluation.num_samples}: must be at least 1.")
    for k in evaluation.k:
        if not 1 <= k <= evaluation.num_samples:
            raise ValueError(
                f"eval.k = {list(evaluation.k)}: {k} is not between 1 and eval.num_samples = {evaluation.num_samples}; "
                f"pass@{k} needs at least {k} samples of a problem."
            )
    if evaluation.temperature is not None and evaluation.temperature < 0:
        raise ValueError(f"eval.temperature = {evaluation.temperature}: must not be negative; 0 decodes greedily.")
    if evaluation.temperature == 0 and evaluation.num_samples > 1:
        raise ValueError(
            f"eval.temperature = 0 with eval.num_samples = {evaluation.num_samples}: greedy completions of a problem "
            "are all the same. Set eval.num_samples=1 or a temperature above 0."
        )
    if evaluation.top_p is not None and not 0 < evaluation.top_p <= 1:
        raise ValueError(f"eval.top_p = {evaluation.top_p}: must be above 0 and at most 1.")
    if evaluation.max_tokens is not None and evaluation.max_tokens < 1:
        raise ValueError(f"eval.max_tokens = {evaluation.max_tokens}: must be at least 1.")


def check_math_task(task: MathConfig) -> None:
    """The judge's policy can work, and looks where the template tells the model to write."""
    try:
        Policy(answer_in=tuple(task.answer_in), relative_tolerance=task.relative_tolerance)
    except ValueError as error:
        raise ValueError(f"task.{error}.") from error
    asked = TEMPLATES[task.template].answer_in
    if asked is not None and asked not in task.answer_in:
        raise ValueError(
            f"task.answer_in = {list(task.answer_in)}: task.template = {task.template} asks for the answer in a "
            f"{asked}, where it would not be found. Set task.answer_in=[{asked}]."
        )


def check_code_task(task: CodeConfig) -> None:
    """Choices that exist, limits above 0, and an address where one is needed."""
    choices = {
        "score": ("all", "fraction"),
        "backend": ("local", "bubblewrap", "http"),
        "min_level": (1, 2, 3),
    }
    for key, known in choices.items():
        if getattr(task, key) not in known:
            raise ValueError(f"task.{key} = {getattr(task, key)}: must be one of {', '.join(map(str, known))}.")
    for key in ("timeout_s", "memory_mb", "num_workers"):
        value = getattr(task, key)
        if value is not None and value <= 0:
            raise ValueError(f"task.{key} = {value}: must be above 0.")
    if task.backend == "http" and not task.endpoint:
        raise ValueError(
            "task.endpoint = null with task.backend = http: give the server's address, such as http://host:8080."
        )
    if not 0 <= task.max_infrastructure_errors <= 1:
        raise ValueError(f"task.max_infrastructure_errors = {task.max_infrastructure_errors}: must be in [0, 1].")
    if task.source is None and task.template != "nano":
        raise ValueError(
            "task.source = null: generated code rows are for the embedded model. Name a file or a Hub data set."
        )


def check_reward(reward: RewardConfig) -> None:
    """Weights are not negative and at least one pays."""
    for name, weight in reward.weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(
                f"reward.weights.{name} = {weight}: a weight must not be negative, and must be finite; 0 turns it off."
            )
    if not any(reward.weights.values()):
        raise ValueError(f"reward.weights = {reward.weights}: nothing pays; set at least one weight above 0.")
    if not 0 <= reward.format_partial_credit <= 1:
        raise ValueError(f"reward.format_partial_credit = {reward.format_partial_credit}: must be in [0, 1].")
    if reward.language not in LANGUAGES:
        raise ValueError(f"reward.language = {reward.language}: must be one of {', '.join(sorted(LANGUAGES))}.")
    for key in ("repetition_ngram", "overlong_buffer_tokens"):
        if getattr(reward, key) < 1:
            raise ValueError(f"reward.{key} = {getattr(reward, key)}: must be at least 1.")


def check_rollout(config: Config) -> None:
    """A backend that exists, room for a row, and stop strings where they work."""
    rollout, trainer = config.rollout, config.trainer
    if rollout.backend not in ROLLOUT_BACKENDS:
        raise ValueError(f"rollout.backend = {rollout.backend}: must be one of {', '.join(ROLLOUT_BACKENDS)}.")
    check_vllm(config)
    if rollout.max_rows < 1:
        raise ValueError(f"rollout.max_rows = {rollout.max_rows}: must be at least 1.")
    kwargs = trainer.get("generation_kwargs") or {}
    if others := sorted(set(kwargs) - {"stop_strings"}):
        raise ValueError(f"trainer.generation_kwargs.{others[0]}: rollouts know stop_strings alone; leave it out.")
    stop_strings = kwargs.get("stop_strings", [])
    if not isinstance(stop_strings, list) or not all(isinstance(one, str) and one for one in stop_strings):
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings = {stop_strings}: must be a list of strings, e.g. ['</answer>']."
        )
    if stop_strings and rollout.backend != "native":
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings with rollout = {rollout.backend}: only rollout=native knows them."
        )
    if stop_strings and trainer.get("mask_truncated_completions"):
        raise ValueError(
            "trainer.mask_truncated_completions = True with stop_strings: TRL takes every completion without an "
            "end-of-sequence token for truncated and would mask those that a stop string ended. Set one of the two."
        )


def check_vllm(config: Config) -> None:
    """``vllm_*`` keys where they are used, with values that vLLM can start with."""
    trainer = config.trainer
    given = {key: value for key, value in trainer.items() if key.startswith("vllm_")}
    if config.rollout.backend != "vllm":
        if given:
            key, value = next(iter(given.items()))
            raise ValueError(f"trainer.{key} = {value} with rollout = {config.rollout.backend}: set rollout=vllm.")
        return
    mode = trainer.get("vllm_mode", "colocate")
    if mode not in ("colocate", "server"):
        raise ValueError(f"trainer.vllm_mode = {mode}: must be colocate or server.")
    share = trainer.get("vllm_gpu_memory_utilization", 0.3)
    if not 0 < share <= 1:
        raise ValueError(f"trainer.vllm_gpu_memory_utilization = {share}: must be in (0, 1].")
    parallel = trainer.get("vllm_tensor_parallel_size", 1)
    if mode == "colocate" and num_ranks(config) % parallel:
        raise ValueError(
            f"trainer.vllm_tensor_parallel_size = {parallel}: must divide the {num_ranks(config)} rank(s) of the run."
        )
    if trainer.get("use_cpu"):
        raise ValueError("trainer.use_cpu = True with rollout = vllm: vLLM needs a GPU. Set rollout=native.")


def check_peft(config: Config) -> None:
    """A method that exists, and nothing that adapters cannot do."""
    peft = config.peft
    if peft.method not in ("none", "lora"):
        raise ValueError(f"peft.method = {peft.method}: must be none or lora.")
    if peft.rank < 1 or peft.alpha < 1:
        raise ValueError(f"peft.rank = {peft.rank}, peft.alpha = {peft.alpha}: must be at least 1.")
    if not 0 <= peft.dropout < 1:
        raise ValueError(f"peft.dropout = {peft.dropout}: must be in [0, 1).")
    if peft.method == "lora" and config.trainer.get("sync_ref_model"):
        raise ValueError(
            "trainer.sync_ref_model = True with peft = lora: the reference is the model without its adapter, which "
            "cannot move. Set trainer.sync_ref_model=false, or peft=none."
        )
    if config.deepspeed and config.trainer.get("fp16"):
        raise ValueError(
            "trainer.fp16 = True with deepspeed: conf/deepspeed has no loss scaling. Set trainer.bf16=true."
        )


def check_launch(config: Config) -> None:
    """At least one process, and not more than there are GPUs to give one each."""
    count, gpus = config.launch.num_processes, torch.cuda.device_count()
    if count is None:
        return
    if count < 1:
        raise ValueError(f"launch.num_processes = {count}: must be at least 1, or null for every visible GPU.")
    if gpus and count > gpus and not config.trainer.get("use_cpu"):
        raise ValueError(
            f"launch.num_processes = {count}: {gpus} GPU(s) are visible and each rank needs one. Set it to {gpus} or "
            "fewer, or leave it out."
        )


def check_checkpoints(config: Config) -> None:
    """Counts that can be kept."""
    if config.checkpoints.keep_last < 1:
        raise ValueError(
            f"checkpoints.keep_last = {config.checkpoints.keep_last}: must be at least 1; "
            "trainer.save_strategy=no writes none."
        )
    for name, value in (
        ("checkpoints.keep_best", config.checkpoints.keep_best),
        ("guard.max_skipped_steps", config.guard.max_skipped_steps),
    ):
        if value < 0:
            raise ValueError(f"{name} = {value}: must not be negative.")
    if config.memory.check not in ("refuse", "warn", "off"):
        raise ValueError(f"memory.check = {config.memory.check}: must be refuse, warn or off.")


def check_rollouts_of_a_step(trainer: dict[str, Any]) -> None:
    """A loss that is a mean over a step's tokens sees all of them at once.

    TRL divides each rollout by its own tokens (grpo_trainer.py: ``num_items_in_batch``), so a step of several rollouts
    would be a mean of means, in which the tokens of a short rollout weigh more.
    """
    per_rollout, steps = trainer.get("steps_per_generation"), trainer["gradient_accumulation_steps"]
    loss = trainer.get("loss_type", "dapo")
    if per_rollout and per_rollout < steps and loss in ("dapo", "cispo", "vespo"):
        raise ValueError(
            f"trainer.steps_per_generation = {per_rollout} with trainer.loss_type = {loss}: a step of "
            f"{steps} micro-batches would hold several rollouts, and TRL divides each by its own number of tokens, not "
            f"by the step's. Leave steps_per_generation out (= {steps}), or set trainer.loss_type=grpo or dr_grpo."
        )


def check_batch(trainer: dict[str, Any], num_processes: int = 1) -> None:
    """Whole groups fit in a generation batch.

    Raises:
        ValueError: Names the nearest values that work.
    """
    given = {"num_generations": 8, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1} | trainer
    check_rollouts_of_a_step(given)
    num_generations: int = given["num_generations"]
    if num_generations < 2:
        raise ValueError(
            f"trainer.num_generations = {num_generations}: GRPO compares completions of one prompt, and a group of "
            "one has no advantage. Set it to 2 or more (TinyZero-like runs use 8)."
        )
    per_device: int = given["per_device_train_batch_size"]
    steps_key = "steps_per_generation" if given.get("steps_per_generation") else "gradient_accumulation_steps"
    steps: int = given[steps_key]
    batch = per_device * steps * num_processes
    if batch % num_generations:
        divisors = [n for n in range(2, batch + 1) if batch % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - num_generations))[:2]
        unit = num_generations // math.gcd(num_generations, steps * num_processes)
        below, above = per_device // unit * unit, (per_device // unit + 1) * unit
        batches = " or ".join(str(n) for n in (below, above) if n > 0)
        raise ValueError(
            f"trainer.num_generations = {num_generations} does not divide the generation batch of {batch} completions "
            f"({num_processes} process(es) x trainer.per_device_train_batch_size = {per_device} x trainer.{steps_key} "
            f"= {steps}), so a group would be cut. Nearest that work: trainer.per_device_train_batch_size={batches}, "
            f"or trainer.num_generations={' or '.join(map(str, sorted(nearest)))}."
        )


def check_tracker(tracker: TrackerConfig) -> None:
    """The packages of the trackers are there."""
    for name in ("tensorboard", "trackio"):
        if getattr(tracker, name) and importlib.util.find_spec(name) is None:
            raise ValueError(
                f"tracker.{name} = True: its package is not installed. pip install {name}, or '.[{name}]'."
            )
    if tracker.completions_per_step < 0:
        raise ValueError(f"tracker.completions_per_step = {tracker.completions_per_step}: must be 0 or more.")


def check_alarms(alarms: AlarmConfig) -> None:
    """Thresholds that can be crossed."""
    for field in dataclasses.fields(alarms):
        value = getattr(alarms, field.name)
        if value <= 0:
            raise ValueError(f"alarms.{field.name} = {value}: must be above 0; a very large value silences the alarm.")
