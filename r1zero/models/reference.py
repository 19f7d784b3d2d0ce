"""The weights of a reference model that moves (``trainer.sync_ref_model``), written and read back."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch


def gathered(parameters: list[torch.nn.Parameter], modifier_rank: int | None) -> AbstractContextManager[Any]:
    """Within it, ZeRO-3 shards are whole; what ``modifier_rank`` changes goes back to all ranks."""
    if not any(hasattr(parameter, "ds_id") for parameter in parameters):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(parameters, modifier_rank=modifier_rank)


def save_reference(reference: torch.nn.Module, accelerator: Any, path: Path) -> None:
    """Rank 0 writes the weights to ``path``; all ranks must call."""
    model = accelerator.unwrap_model(reference)
    with gathered(list(model.parameters()), None):
        if accelerator.is_main_process:
            torch.save({name: weight.detach().cpu().clone() for name, weight in model.named_parameters()}, path)


def load_reference(reference: torch.nn.Module, accelerator: Any, path: Path) -> None:
    """Put the weights in ``path`` back; all ranks must call."""
    model = accelerator.unwrap_model(reference)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    with torch.no_grad(), gathered(list(model.parameters()), 0):
        for name, weight in model.named_parameters():
            if weight.shape == weights[name].shape:  # a rank that is no modifier holds nothing under ZeRO-3
                weight.copy_(weights[name])
