"""What a checkpoint must hold besides weights and optimizer, and why a run may have to stop"""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


class CheckpointError(RuntimeError):
    """A checkpoint could not be written; the ones before it are whole."""


class DivergedError(RuntimeError):
    """More steps were skipped than ``guard.max_skipped_steps`` allows."""


@dataclass
class RunState:
    """What this rank must know, besides transformers' own state, to go on as if it had never stopped.

    Attributes:
        micro_step: Micro-batches so far: TRL's ``_step``.
        buffered: The rollout, split, while later steps still train on it; else None.
        num_tokens: Tokens seen: the state's counter, which the next rollout moves before its step is done.
        last_evaluated: Step of the last evaluation.
        evaluation_due: The evaluation of this step was cut off.
        skipped_steps: Steps skipped so far.
    """

    micro_step: int
    buffered: Any
    num_tokens: int
    last_evaluated: int
    evaluation_due: bool
    skipped_steps: int


@dataclass
class Randomness:
    """States of the global random generators."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    cuda: list[torch.Tensor]

    @classmethod
    def now(cls) -> "Randomness":
        """The current states."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Set the generators to these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


def diagnosis(model: torch.nn.Module, step: int, loss: float, grad_norm: float, learning_rate: float) -> str:
    """What is not finite at ``step``, for a person to read."""
    weights = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    gradients = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and not bool(torch.isfinite(weight.grad).all())
    ]
    found = [f"step {step}: loss {loss:g}, gradient norm {grad_norm:g}, learning rate {learning_rate:g}"]
    for kind, names in (("weights", weights), ("gradients", gradients)):
        if names:
            found.append(f"{kind} not finite in {len(names)} tensors, the first {names[0]}")
    return "; ".join(found)
