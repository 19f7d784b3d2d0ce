"""Where a training step goes: seconds of each phase, tokens, and arithmetic against what this machine can do."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from r1zero.models.flops import matmul_peak, model_flops
from r1zero.rollout.sampling import Completion


class StepProfile:
    """Adds up what happened since the last optimizer step, on this rank.

    Args:
        model: The policy.
        device: Where it runs.
        dtype: Type of its matrix products.
    """

    def __init__(self, model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> None:
        self.flops = model_flops(model)
        self.peak_flops = matmul_peak(device, dtype)
        self.reset()

    def reset(self) -> None:
        """Begin a step."""
        self.rollout_s = self.judge_s = 0.0
        self.rollout_flops = self.train_flops = 0
        self.tokens = self.skipped_rows = 0
        self.entropy = 0.0

    def add_rollout(self, prompts: Sequence[Sequence[int]], completions: Sequence[Completion], seconds: float) -> None:
        """Count a rollout of ``completions`` from ``prompts``."""
        spans = [(len(prompt), len(done.ids)) for prompt, done in zip(prompts, completions, strict=True)]
        self.rollout_flops += self.flops.rollout([len(prompt) for prompt in set(map(tuple, prompts))], spans)
        self.rollout_s += seconds

    def add_micro_batch(self, batch: dict[str, Any]) -> None:
        """Count a forward and a backward pass, which takes twice the forward's arithmetic."""
        lengths = zip(
            batch["prompt_mask"].sum(dim=1).tolist(), batch["completion_mask"].sum(dim=1).tolist(), strict=True
        )
        self.train_flops += 3 * self.flops.forward(lengths)

    def metrics(self, step_s: float) -> dict[str, float]:
        """Of a step that took ``step_s``. ``perf/*_utilization`` is model FLOP/s over the measured peak, in [0, 1]."""
        train_s = max(step_s - self.rollout_s - self.judge_s, 1e-9)
        metrics = {
            "time/step_s": step_s,
            "time/rollout_s": self.rollout_s,
            "time/judge_s": self.judge_s,
            "time/train_s": train_s,
            "perf/tokens_per_s": self.tokens / step_s,
            "perf/skipped_rows": self.skipped_rows,
            "perf/train_utilization": self.train_flops / train_s / self.peak_flops,
        }
        if self.rollout_s > 0:  # a step that reuses completions has no rollout
            metrics["perf/rollout_utilization"] = self.rollout_flops / self.rollout_s / self.peak_flops
        return metrics
