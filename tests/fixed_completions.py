"""Trainers whose completions are fixed, for tests that compare weights; as a script, the same on several ranks.

``torchrun --nproc_per_node 2 tests/fixed_completions.py FOLDER [key=value ...]`` trains TRL's own ``GRPOTrainer`` and
ours, and writes the weights of both to ``FOLDER``.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from toy import build_tiny_model, build_trainer, toy_run
from transformers import PreTrainedModel
from trl import GRPOTrainer

from r1zero.launching.placement import leave_process_group
from r1zero.models.lora import lora_config
from r1zero.nano.tokenizer import build_tokenizer
from r1zero.rollout.sampling import Completion, Sampling
from r1zero.training.reward_functions import reward_functions
from r1zero.training.trainer import R1ZeroTrainer

EOS = 2
LENGTHS = [3, 12, 5, 7, 9, 4, 3, 11, 6, 12, 3, 8, 10, 4, 5, 3]
# Four groups of four: mixed, mixed, all right, all wrong. The last two have advantage zero and are dropped; with two
# ranks, those are all that the second has.
RIGHT = [True, False, False, True, True, False, True, True, True, True, True, True, False, False, False, False]
# Each rank of two drops one of its two groups, of another length than the other rank's.
ONE_GROUP_EACH = [*RIGHT[:4], *[True] * 4, *[False] * 4, *RIGHT[4:8]]
# Plain SGD without clipping: Adam would blow up the rounding of gradients that are zero but for it, and clipping
# would hide a gradient of the wrong size.
SGD = {"optim": "sgd", "learning_rate": 0.03, "max_grad_norm": 1e6, "lr_scheduler_type": "constant"}


def fixed_ids(
    prompt: Sequence[int], row: int, rows: list[dict[str, Any]], right: list[bool | None], lengths: list[int]
) -> list[int]:
    """The completion of row ``row`` of all ranks' rows together, around and around.

    ``right`` says which start with the target of their prompt (None: with 13, which cannot be judged).
    """
    tokenizer = build_tokenizer()
    target = next(r["target"] for r in rows if tokenizer(r["prompt"])["input_ids"] == list(prompt))
    first = {True: target, False: 99, None: 13}[right[row % len(right)]]
    body = [(37 * row + 11 * j) % 150 + 30 for j in range(lengths[row % len(lengths)] - 2)]
    return [*tokenizer(str(first), add_special_tokens=False)["input_ids"], *body, EOS]


def fix_completions(trainer: R1ZeroTrainer, right: list[bool | None], lengths: list[int]) -> None:
    """Let ``trainer`` get ``fixed_ids`` instead of sampling."""
    rows = trainer.task.train

    def sample(
        prompts: list[list[int]], keys: list[str], sampling: Sampling, on_finish: Any = None
    ) -> list[Completion]:
        completions = []
        for i, (prompt, key) in enumerate(zip(prompts, keys, strict=True)):
            ids = fixed_ids(prompt, int(key.rsplit("/", 1)[1]), rows, right, lengths)
            completions.append(Completion(ids, [0.0] * len(ids), 0.0, False))
            if on_finish:
                on_finish(i, completions[-1])
        return completions

    trainer.engine.sample = sample  # type: ignore[method-assign]


def trl_trainer(
    model: PreTrainedModel,
    run_dir: Path,
    right: list[bool | None],
    lengths: list[int],
    overrides: Sequence[str] = (),
    **trainer: Any,
) -> GRPOTrainer:
    """TRL's own class, none of ours, on the toy task with ``fixed_ids``; it calls our judges as reward functions."""
    config, args, task = toy_run(run_dir, overrides=overrides, **trainer)
    functions, args.reward_weights = reward_functions(task, config.reward.weights)
    args.eval_on_start = False  # TRL's evaluation is a loss, of other completions
    tokenizer = build_tokenizer()

    def rollout(prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        first = trainer.accelerator.process_index * len(prompts)
        prompt_ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        ids = [fixed_ids(prompt, first + i, task.train, right, lengths) for i, prompt in enumerate(prompt_ids)]
        return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": [[0.0] * len(row) for row in ids]}

    return GRPOTrainer(
        model=model,
        reward_funcs=[*functions],
        args=args,
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        rollout_func=rollout,
        peft_config=lora_config(config),
    )


def our_trainer(
    model: PreTrainedModel,
    run_dir: Path,
    right: list[bool | None],
    lengths: list[int],
    overrides: Sequence[str] = (),
    last_step: int = -1,
    **trainer: Any,
) -> R1ZeroTrainer:
    """The same task and completions in our trainer."""
    built = build_trainer(R1ZeroTrainer, model, run_dir, last_step=last_step, overrides=overrides, **trainer)
    fix_completions(built, right, lengths)
    return built


def main() -> None:
    """Train both on all ranks; rank 0 writes weights and metrics."""
    folder, overrides = Path(sys.argv[1]), dict(pair.split("=") for pair in sys.argv[2:])
    right: list[bool | None] = [*(ONE_GROUP_EACH if overrides.pop("drop", "") == "one_group_each" else RIGHT)]
    mine = folder / os.environ["RANK"]
    models = [build_tiny_model(mine / "tiny") for _ in range(2)]  # once there is a process group, only rank 0 can save
    for name, build, model in zip(("trl", "ours"), (trl_trainer, our_trainer), models, strict=True):
        trainer = build(model, mine / name, right, LENGTHS, **{"max_steps": 2, "use_cpu": True, **SGD, **overrides})
        trainer.train()
        if trainer.accelerator.is_main_process:
            metrics = [row for row in trainer.state.log_history if "loss" in row]
            torch.save({"weights": model.state_dict(), "metrics": metrics}, folder / f"{name}.pt")
        if isinstance(trainer, R1ZeroTrainer):
            trainer.tracker.finish()
    leave_process_group()


if __name__ == "__main__":
    main()
