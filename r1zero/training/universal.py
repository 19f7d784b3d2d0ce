"""What DeepSpeed 0.19 gets wrong when ZeRO-3 loads a universal checkpoint, put right.

It gives the moments of all weights one and the same step counter, which then counts once for each group of weights, and
it gives all groups the settings of the first, so that weights without decay would begin to decay.
"""

from pathlib import Path
from typing import Any

import torch

from r1zero.runs.reshard import UNIVERSAL


def mend_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Path) -> None:
    """A step counter for each weight, and each group's own settings, from the universal checkpoint in ``checkpoint``.

    Args:
        optimizer: Torch's own, inside DeepSpeed's.
        checkpoint: The folder that was loaded.
    """
    for state in optimizer.state.values():
        if isinstance(step := state.get("step"), torch.Tensor):
            state["step"] = step.clone()
    file = checkpoint / UNIVERSAL / "zero" / "optimizer_state.pt"
    saved: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=False)
    for group, settings in zip(optimizer.param_groups, groups_of(saved), strict=True):
        group |= {key: value for key, value in settings.items() if key != "params"}


def groups_of(saved: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of each group: ZeRO-3 keeps them one level deeper than ZeRO-1 and ZeRO-2."""
    return saved.get("optimizer_state_dict", saved)["param_groups"]
