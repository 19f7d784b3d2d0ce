"""Cells of the correctness grid: the weights after three steps on fixed completions, on this many ranks.

``torchrun --nproc_per_node R tests/grid.py FOLDER CELL...`` writes ``FOLDER/CELL.pt`` for each cell, such as
``zero2-split4-rollouts1-dapo-beta0``. A step has 64 rows at any number of ranks: they are sampled in ``rollouts``
portions (``gradient_accumulation_steps`` over ``steps_per_generation``), and each rank trains on its part of a portion
in ``split`` micro-batches. ``sync`` at the end moves the reference to the policy after the second step.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from fixed_completions import EOS, SGD
from toy import build_tiny_model, build_trainer, first_number_judge
from transformers import LlamaForCausalLM

from r1zero.launching.placement import leave_process_group
from r1zero.rollout.sampling import Completion, Sampling
from r1zero.training.trainer import R1ZeroTrainer

ROWS, GROUP = 64, 4
PROMPTS = [{"prompt": f"Numbers: {n} 2 3 Target: {n} <think>\n", "prefill": "", "target": n} for n in range(4, 20)]


def fix_completions(trainer: R1ZeroTrainer) -> None:
    """A row's completion depends on its prompt and its place in the group, so not on how rows are dealt to ranks."""

    def sample_ids(prompts: list[list[int]], keys: list[str], sampling: Sampling, on_finish: Any) -> list[Completion]:
        completions = []
        for i, (prompt, key) in enumerate(zip(prompts, keys, strict=True)):
            text = trainer.processing_class.decode(prompt)
            n = next(row["target"] for row in PROMPTS if row["prompt"].split("<think>")[0].strip() in text)
            place = int(key.rsplit("/", 1)[1]) % GROUP
            right = n % 4 == 0 or (n % 4 != 1 and place % 2 == 0)  # all right, all wrong, and two mixed kinds of group
            length = 2 + (5 * n + 3 * place) % 9
            first = trainer.processing_class(str(n if right else 99), add_special_tokens=False)["input_ids"]
            body = [(37 * n + 29 * place + 11 * j) % 150 + 30 for j in range(length)]
            ids = [*first, *body, EOS]
            completions.append(Completion(ids, [0.0] * len(ids), 0.0, False))
            on_finish(i, completions[-1])
        return completions

    trainer.engine.sample = sample_ids  # type: ignore[method-assign, assignment]


def train(name: str, folder: Path, ranks: int) -> dict[str, Any]:
    """Whole weights and the metrics of each step, of one cell."""
    stage, split_text, rollouts_text, loss, beta, *sync = name.split("-")
    split, rollouts = int(split_text[5:]), int(rollouts_text[8:])
    moving = {"sync_ref_model": "true", "ref_model_sync_steps": 2, "ref_model_mixup_alpha": 1.0} if sync else {}
    trainer = build_trainer(
        R1ZeroTrainer,
        lambda: LlamaForCausalLM.from_pretrained(folder / "tiny"),  # under ZeRO-3 it is sharded as it is loaded
        folder / f"{name}-{os.environ.get('RANK', '0')}",
        first_number_judge,
        overrides=[f"deepspeed={stage}"],
        rows=PROMPTS,
        max_steps=3,
        eval_on_start="false",
        num_generations=GROUP,
        per_device_train_batch_size=ROWS // (ranks * split * rollouts),
        gradient_accumulation_steps=split * rollouts,
        steps_per_generation=split,
        loss_type=loss,
        beta=float(beta[4:]),
        **SGD | moving,
    )
    fix_completions(trainer)
    trainer.train()
    trainer.tracker.finish()
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) or {}  # under ZeRO-3 whole on rank 0 alone
    metrics = [row for row in trainer.state.log_history if "loss" in row]
    return {"weights": {name: weight.cpu() for name, weight in weights.items()}, "metrics": metrics}


def main() -> None:
    """Train every cell; rank 0 writes."""
    torch.set_num_threads(1)
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    mine = folder / f"rank{rank}"
    build_tiny_model(mine / "tiny")
    for name in names:
        result = train(name, mine, ranks)
        if rank == 0:
            torch.save(result, folder / f"{name}.pt")
    leave_process_group()


if __name__ == "__main__":
    main()
