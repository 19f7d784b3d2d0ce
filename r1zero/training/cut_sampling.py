"""Top-k, top-p and min-p in training: the forward pass computes the distribution that the tokens were drawn from.

Without this the gradient would be that of the whole distribution, of which the completions are no sample. The cut is
made again from the logits of the training forward; the token that was drawn is always kept, also where rounding, or an
update since the rollout, would put it just outside.

Axes: B rows, S columns, N columns that are scored, V vocabulary.
"""

from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from r1zero.rollout.sampling import Sampling


def score_as_drawn(model: PreTrainedModel, sampling: Sampling) -> None:
    """Let TRL's fused head of ``model`` give log-probabilities and entropies after the cuts of ``sampling``, if any.

    It holds the logits (N, V) of a micro-batch in float32, which TRL's own head does not.

    Args:
        model: With TRL's fused head (``trl.trainer.utils.add_fused_lm_head``).
        sampling: How completions are drawn.
    """
    if not sampling.cuts:
        return
    whole: Any = model.forward

    def forward(
        *args: Any,
        fused_lm_head: bool = False,
        labels: torch.Tensor | None = None,
        shift_labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head:
            given = {"labels": labels, "shift_labels": shift_labels}
            return whole(*args, **{name: value for name, value in given.items() if value is not None}, **kwargs)
        output = whole(*args, **kwargs | {"use_cache": False})
        logits_BSV, next_BS = output.logits, shift_labels
        if next_BS is None:
            assert labels is not None
            logits_BSV, next_BS = logits_BSV[:, :-1], labels[:, 1:]
        scored_BS = next_BS != -100
        log_probs_N, entropy_N = cut_logprobs(logits_BSV[scored_BS], next_BS[scored_BS], sampling)
        zeros_BS = log_probs_N.new_zeros(scored_BS.shape)
        return FusedCausalLMOutput(
            log_probs=zeros_BS.masked_scatter(scored_BS, log_probs_N),
            entropy=zeros_BS.masked_scatter(scored_BS, entropy_N),
            label_mask=scored_BS,
            aux_loss=output.get("aux_loss"),
        )

    model.forward = forward


def cut_logprobs(logits_NV: torch.Tensor, ids_N: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (N,) of ``ids_N`` among the tokens that ``sampling`` keeps, and the entropies (N,) of those."""
    log_probs_NV = (logits_NV.float() / sampling.temperature).log_softmax(dim=-1)
    with torch.no_grad():
        kept_NV = sampling.cut(log_probs_NV).isfinite().scatter_(1, ids_N[:, None], True)
    log_probs_NV = log_probs_NV.masked_fill(~kept_NV, -torch.inf).log_softmax(dim=-1)
    entropy_N = -(log_probs_NV.exp() * log_probs_NV.masked_fill(~kept_NV, 0.0)).sum(dim=-1)
    return log_probs_NV.gather(1, ids_N[:, None]).squeeze(1), entropy_N
