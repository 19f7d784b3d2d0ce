"""How much arithmetic a step needs, and how fast this machine could do it.

Counts what the model must compute (multiply-adds of its matrix products and of attention, two FLOPs each), not what an
implementation repeats or pads; so a share of the peak below 1 is time spent on something else.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel


@dataclass(frozen=True)
class ModelFlops:
    """FLOPs of one forward pass.

    Attributes:
        per_token: Of every weight that a token is multiplied with, head excluded.
        per_logit: Of the head, for each position whose next token is predicted.
        per_pair: Of attention, for each pair of a position and one it looks at.
    """

    per_token: int
    per_logit: int
    per_pair: int

    def forward(self, spans: Iterable[tuple[int, int]]) -> int:
        """FLOPs of rows given as (prompt tokens, completion tokens); each completion token is predicted."""
        total = 0
        for prompt, completion in spans:
            length = prompt + completion
            total += self.per_token * length + self.per_logit * completion
            total += self.per_pair * length * (length + 1) // 2
        return total

    def rollout(self, prompts: Iterable[int], spans: Iterable[tuple[int, int]]) -> int:
        """FLOPs of decoding ``spans`` from distinct prompts of ``prompts`` tokens, each run once."""
        spans = list(spans)
        shared = sum(self.forward([(prompt, 0)]) for prompt in prompts)
        return shared + self.forward(spans) - sum(self.forward([(prompt, 0)]) for prompt, _ in spans)


def model_flops(model: PreTrainedModel) -> ModelFlops:
    """The counts for a decoder made of linear layers and full attention.

    Raises:
        ValueError: The model has no output embeddings.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(f"{type(model).__name__} has no output embeddings: it does not predict tokens.")
    linear = sum(count(layer.weight) for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    config = model.config.get_text_config()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Scores and the weighted sum: two products of head_size multiply-adds for each query head.
    per_pair = 2 * 2 * config.num_hidden_layers * config.num_attention_heads * head_size
    return ModelFlops(2 * (linear - count(head.weight)), 2 * count(head.weight), per_pair)


def count(weight: torch.Tensor) -> int:
    """Elements of the whole weight, of which ZeRO-3 leaves each rank a part."""
    return getattr(weight, "ds_numel", weight.numel())


def matmul_peak(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> float:
    """FLOP/s of a large square matrix product on ``device``: the best of ``repeats``, after one to warm up."""
    size = 1024 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(repeats + 1):
        started = time.perf_counter()
        product = a @ a
        product[0, 0].item()  # waits for an accelerator
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
