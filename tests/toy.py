"""A toy for tests: a tiny random model, a task of four prompts, and a trainer around them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig

from r1zero.config.checks import check_ranks
from r1zero.config.compose import register_schema, resolve
from r1zero.config.schema import Config
from r1zero.evaluating.accuracy import HeldOutAccuracy
from r1zero.launching.placement import connect_deepspeed, num_gpus, num_ranks
from r1zero.nano.tokenizer import build_tokenizer
from r1zero.tasks.task import Judge, Task
from r1zero.training.settings import grpo_config
from r1zero.training.trainer import R1ZeroTrainer
from r1zero.watching.tracking import Tracker
from rewards import Outcome, Verdict


def compose_config(*overrides: str) -> Config:
    """The config of a command line, checked as ``r1zero.train`` does."""
    register_schema()
    with initialize_config_module(version_base="1.3", config_module="conf"):
        config = resolve(compose("train", overrides=list(overrides)))
    check_ranks(config, num_ranks(config), num_gpus())
    return config


def build_tiny_model(folder: Path) -> LlamaForCausalLM:
    """A random two-layer model with grouped-query attention, in float32; on disk, where TRL finds the reference."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.3,  # far from uniform, so that mistakes show
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder).eval()


def first_number_judge(text: str, row: Any) -> Verdict:
    """Pays 1.0 for a completion that starts with the target, 0.0 for another; 13 cannot be judged."""
    first = text.removeprefix(row["prefill"]).split()[0]
    if first == "13":
        return Verdict(None, Outcome.UNGRADEABLE, "thirteen")
    return Verdict(
        float(first == str(row["target"])), Outcome.CORRECT if first == str(row["target"]) else Outcome.WRONG
    )


def toy_run(
    run_dir: Path,
    judge: Judge = first_number_judge,
    overrides: Sequence[str] = (),
    rows: list[dict[str, Any]] | None = None,
    **trainer: Any,
) -> tuple[Config, GRPOConfig, Task]:
    """A run on a toy task, by default of 4 prompts in groups of 4; keyword arguments are ``trainer`` keys."""
    keys = {
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "max_completion_length": 12,
        "max_steps": 1,
        "learning_rate": 1e-2,
        "eval_strategy": "no",
        "save_strategy": "no",
    } | trainer
    config = compose_config("tracker=none", *overrides, *(f"++trainer.{key}={value}" for key, value in keys.items()))
    rows = rows or [
        {"prompt": f"Numbers: {n} 2 3 Target: {n} <think>\n", "prefill": "", "target": n} for n in (4, 5, 6, 7)
    ]
    config.reward.weights = {"toy": 1.0}
    return config, grpo_config(config, run_dir), Task("toy", rows, rows, {"toy": judge}, "toy")


def build_trainer(
    cls: type,
    model: LlamaForCausalLM | Callable[[], LlamaForCausalLM],
    run_dir: Path,
    judge: Judge = first_number_judge,
    last_step: int = -1,
    overrides: Sequence[str] = (),
    rows: list[dict[str, Any]] | None = None,
    **trainer: Any,
) -> R1ZeroTrainer:
    """A trainer of ``toy_run``.

    ``last_step`` is a resumed run's; a ``model`` to be called is loaded when DeepSpeed's config is known, as in a run.
    """
    run_dir.mkdir(parents=True, exist_ok=last_step >= 0)
    config, args, task = toy_run(run_dir, judge, overrides, rows, **trainer)
    tracker = Tracker(config, run_dir, 1, last_step if last_step >= 0 else None)
    if config.deepspeed:
        connect_deepspeed()
    if not isinstance(model, LlamaForCausalLM):
        model = model()
    held_out = HeldOutAccuracy(task, config.eval, config.seed)
    return cls(config, args, task, held_out, model, build_tokenizer(), run_dir, tracker)
