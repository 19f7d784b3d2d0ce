"""Counts steps that were skipped because their loss or gradient was not finite; too many in a row end the run.

The skipping itself is ``DurableTrainer``'s."""

import math

import torch


class DivergedError(RuntimeError):
    """More steps in a row were skipped than ``guard.max_skipped_steps`` allows."""


class StepGuard:
    """Counts skipped steps.

    Args:
        max_in_a_row: Skipped steps in a row that a run survives.

    Attributes:
        skipped: Steps skipped so far.
        in_a_row: Of these, the last ones without a good step between them.
    """

    def __init__(self, max_in_a_row: int) -> None:
        self.max_in_a_row = max_in_a_row
        self.skipped = self.in_a_row = 0
        self.reason = ""

    def admit(self) -> None:
        """A step is good."""
        self.in_a_row = 0

    def skip(self, reason: str) -> None:
        """A step is skipped because of ``reason``."""
        self.skipped += 1
        self.in_a_row += 1
        self.reason = reason

    def check(self) -> None:
        """End the run when too many steps in a row were skipped.

        Raises:
            DivergedError: They were; says why the last one was.
        """
        if self.in_a_row > self.max_in_a_row:
            raise DivergedError(self.reason)


def is_finite(loss: float, grad_norm: float) -> bool:
    """Whether a step with this loss and gradient norm may move the weights."""
    return math.isfinite(loss) and math.isfinite(grad_norm)


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
