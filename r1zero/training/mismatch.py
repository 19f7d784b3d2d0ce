"""Whether the rollout and the training forward agree on how likely the sampled tokens were.

They compute the same thing in two ways. Where they differ (another precision, another kernel, weights that were not
handed on) the gradient is that of a policy which did not write the completions.
"""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import gather_object


class LogprobDifference:
    """Adds up |log p(training) - log p(rollout)| over the tokens of a step, on this rank."""

    def __init__(self) -> None:
        self.forward_BT: torch.Tensor | None = None
        self.reset()

    def see(self, logprobs_BT: torch.Tensor) -> None:
        """The training forward has just computed these; the next ``add`` is about them."""
        self.forward_BT = logprobs_BT.detach()

    def reset(self) -> None:
        """Begin a step."""
        self.total = self.largest = 0.0
        self.num_tokens = 0

    def add(self, batch: Mapping[str, Any]) -> None:
        """Count a micro-batch, whose log-probabilities the training forward has just computed.

        Where the policy has moved since the rollout, TRL keeps the log-probabilities from before as
        ``old_per_token_logps``, and those are compared. A rollout that recorded none is not compared.
        """
        sampled_BT = batch.get("sampling_per_token_logps")
        old_BT = batch.get("old_per_token_logps")
        known_BT = self.forward_BT if old_BT is None else old_BT
        if sampled_BT is None or known_BT is None:
            return
        difference = (known_BT - sampled_BT)[batch["completion_mask"].bool()].abs()
        difference = difference[~difference.isnan()]  # a token that the rollout could not score
        if difference.numel():
            self.total += float(difference.sum())
            self.largest = max(self.largest, float(difference.max()))
            self.num_tokens += difference.numel()

    def metrics(self) -> dict[str, float]:
        """TRL's two metrics over all ranks, in nats; empty when nothing was compared. Begins anew."""
        everyones = gather_object([(self.total, self.largest, self.num_tokens)])
        self.reset()
        total, num_tokens = sum(row[0] for row in everyones), sum(row[2] for row in everyones)
        if num_tokens == 0:
            return {}
        name = "sampling/sampling_logp_difference"
        return {f"{name}/mean": total / num_tokens, f"{name}/max": max(row[1] for row in everyones)}
