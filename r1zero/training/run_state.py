"""What a run must know, besides weights, optimizer and transformers' own state, to go on exactly where it was."""

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass
class RunState:
    """What this rank must know, besides transformers' own state, to go on as if it had never stopped.

    Attributes:
        micro_step: Micro-batches so far.
        buffered: The rollout, split into micro-batches, while later steps still train on it; else None.
        num_tokens: transformers' counter of tokens at the end of the step; the next rollout advances it before its own
            step ends. A resumed run takes it from transformers' state.
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

    def save(self, path: Path) -> None:
        """Write to ``path``."""
        torch.save(asdict(self), path)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "RunState":
        """What ``save`` wrote, tensors on ``device``."""
        place = device if device.type != "cpu" else "cpu"  # of several ranks it is cpu:0, which torch.load refuses
        return cls(**torch.load(path, map_location=place, weights_only=True))


@dataclass
class Randomness:
    """States of the global random generators at the end of a step, to save it after a later one was cut off."""

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
