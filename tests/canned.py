"""Trainers whose completions are fixed, for tests that compare weights; as a script, the same on several ranks.

``torchrun --nproc_per_node 2 tests/canned.py FOLDER [key=value ...]`` trains TRL's micro-batches and ours, and writes
the weights of both to ``FOLDER``.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from conftest import build_tiny_model, build_trainer
from trl import GRPOTrainer

from r1zero.launching.placement import leave_process_group
from r1zero.rollout.sampling import Completion, Sampling
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


class PaddedTrainer(R1ZeroTrainer):
    """Ours with TRL's micro-batches and TRL's forward pass."""

    _prepare_inputs = GRPOTrainer._prepare_inputs

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        result = GRPOTrainer._get_per_token_logps_and_entropies(self, *args, **kwargs)
        self.train_logprobs = result[0].detach()
        return result


def can_completions(trainer: R1ZeroTrainer, right: list[bool | None], lengths: list[int]) -> None:
    """Fix the completions: ``right`` says which start with the target (None: with 13, which cannot be judged).

    Row i of all ranks' rows together takes entry i, around and around.
    """
    rows = trainer.task.train

    def sample_ids(
        prompts: list[list[int]], keys: list[str], sampling: Sampling, on_finish: Any = None
    ) -> list[Completion]:
        completions = []
        for i, (prompt, key) in enumerate(zip(prompts, keys, strict=True)):
            row = int(key.rsplit("/", 1)[1])
            target = next(r["target"] for r in rows if trainer.tokenizer(r["prompt"])["input_ids"] == prompt)
            first = {True: target, False: 99, None: 13}[right[row % len(right)]]
            body = [(37 * row + 11 * j) % 150 + 30 for j in range(lengths[row % len(lengths)] - 2)]
            ids = trainer.tokenizer(str(first), add_special_tokens=False)["input_ids"] + body + [EOS]
            completions.append(Completion(ids, [0.0] * len(ids), 0.0, False))
            if on_finish:
                on_finish(i, completions[-1])
        return completions

    trainer.engine.sample = sample_ids


def main() -> None:
    """Train both on all ranks; rank 0 writes weights and metrics."""
    folder, overrides = Path(sys.argv[1]), dict(pair.split("=") for pair in sys.argv[2:])
    right = ONE_GROUP_EACH if overrides.pop("drop", "") == "one_group_each" else RIGHT
    mine = folder / os.environ["RANK"]
    models = [build_tiny_model(mine / "tiny") for _ in range(2)]  # once there is a process group, only rank 0 can save
    for name, cls, model in zip(("trl", "ours"), (PaddedTrainer, R1ZeroTrainer), models, strict=True):
        trainer = build_trainer(cls, model, mine / name, **{"max_steps": 2, "use_cpu": True, **SGD, **overrides})
        can_completions(trainer, right, LENGTHS)
        trainer.train()
        if trainer.accelerator.is_main_process:
            metrics = [row for row in trainer.state.log_history if "loss" in row]
            torch.save({"weights": model.state_dict(), "metrics": metrics}, folder / f"{name}.pt")
        trainer.tracker.finish()
    leave_process_group()


if __name__ == "__main__":
    main()
