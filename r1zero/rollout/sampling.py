"""How a token is drawn, from which random numbers, and what a rollout gives back. Runs no model."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from r1zero.config.trainer_keys import trainer_value


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; the names and meanings are those of TRL's ``GRPOConfig``.

    Attributes:
        max_tokens: Longest completion, end-of-sequence token included.
        temperature: Above 0. Ignored when ``greedy``.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the smallest set of likeliest tokens with at least this probability; 1.0 keeps all.
        min_p: Keep tokens at least this fraction as likely as the likeliest; None keeps all.
        greedy: Take the likeliest token.
    """

    max_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float | None = None
    greedy: bool = False

    @property
    def cuts(self) -> bool:
        """Whether some tokens are never drawn, however likely the model finds them."""
        return not self.greedy and (self.top_k > 0 or self.top_p < 1.0 or bool(self.min_p))

    def cut(self, log_probs_BV: torch.Tensor) -> torch.Tensor:
        """Log-probabilities after top-k, top-p and min-p in the order of ``generate``: -inf for what they rule out."""
        if not self.cuts:
            return log_probs_BV
        warpers: list[LogitsProcessor] = [TopKLogitsWarper(self.top_k)] if self.top_k > 0 else []
        warpers += [TopPLogitsWarper(self.top_p)] if self.top_p < 1.0 else []
        warpers += [MinPLogitsWarper(self.min_p)] if self.min_p else []
        for warper in warpers:
            log_probs_BV = warper(torch.LongTensor(), log_probs_BV)  # the signature asks for the ids so far
        return log_probs_BV.log_softmax(dim=-1)

    def choose(
        self, log_probs_BV: torch.Tensor, probabilities_BV: torch.Tensor, uniforms_B: torch.Tensor
    ) -> torch.Tensor:
        """Token ids (B,) from a distribution that has been ``cut``."""
        return log_probs_BV.argmax(dim=-1) if self.greedy else draw(probabilities_BV, uniforms_B)


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    Attributes:
        ids: Token ids, the end-of-sequence token included when it was reached.
        logprobs: Log-probability of each id under the distribution that it was drawn from: at the sampling temperature,
            after top-k, top-p and min-p. The training forward computes the same. None from loops that do not score.
        entropy: Of those distributions; nats, summed over the ids. NaN from loops that do not score.
        truncated: Reached ``max_tokens`` without an end-of-sequence token or a stop string.
    """

    ids: list[int]
    logprobs: list[float] | None
    entropy: float
    truncated: bool


def seed_of(key: str) -> int:
    """The seed that a row's key names, of 56 bits."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])


def keyed_uniforms(keys: Sequence[str], num_tokens: int) -> torch.Tensor:
    """Random numbers in [0, 1), float64 (B, T): row b depends on ``keys[b]`` alone.

    A completion drawn from its own row of numbers does not depend on the other rows, on their order, or on which rank
    it was drawn.
    """
    rows = torch.empty(len(keys), num_tokens, dtype=torch.float64)
    generator = torch.Generator()
    for row, key in zip(rows, keys, strict=True):
        generator.manual_seed(seed_of(key))
        torch.rand(num_tokens, generator=generator, out=row, dtype=torch.float64)
    return rows


def draw(probabilities_BV: torch.Tensor, uniforms_B: torch.Tensor) -> torch.Tensor:
    """Token ids (B,): the inverse of each row's cumulative distribution at ``uniforms_B``."""
    cumulative_BV = probabilities_BV.cumsum(dim=-1)
    total_B1 = cumulative_BV[:, -1:]
    # Strictly below the total even where rounding makes a uniform 1.0: what lies above has probability zero.
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    threshold_B1 = torch.minimum(uniforms_B[:, None].to(cumulative_BV) * total_B1, below_B1)
    return torch.searchsorted(cumulative_BV, threshold_B1, right=True).squeeze(1)


# Gets a row and its completion as soon as it is known.
OnFinish = Callable[[int, Completion], None]
# (prompts, randomness keys, sampling) -> one completion and its text for each prompt
SampleTexts = Callable[[Sequence[str], Sequence[str], Sampling], list[tuple[Completion, str]]]


def training_sampling(trainer: dict[str, Any]) -> Sampling:
    """How a run with these ``trainer`` keys samples; the defaults are those of TRL's ``GRPOConfig``."""
    return Sampling(
        max_tokens=trainer_value(trainer, "max_completion_length"),
        temperature=trainer_value(trainer, "temperature"),
        top_k=trainer_value(trainer, "top_k"),
        top_p=trainer_value(trainer, "top_p"),
        min_p=trainer_value(trainer, "min_p"),
    )
