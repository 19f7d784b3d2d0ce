"""How the rows of an optimizer step are split into micro-batches, so that little is computed twice or on padding.

The gradient stays TRL's: rows only change places within one optimizer step, rows whose advantage is zero are left out,
and both only where the loss does not depend on it (``Savings``). Knows tensors of a batch, and no trainer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

# Tensors of a batch that have a column for each completion token, in TRL's names.
COMPLETION_COLUMNS = (
    "completion_ids",
    "completion_mask",
    "old_per_token_logps",
    "ref_per_token_logps",
    "sampling_per_token_logps",
    "importance_sampling_ratio",  # of vLLM; one column at sequence level
)
PROMPT_COLUMNS = ("prompt_ids", "prompt_mask")

# Prompts are shared when at most this part of the positions is left; above it, the second pass costs what it saves.
MAX_SHARED_PART = 0.8


# Loss types that divide by the rows of a micro-batch; dapo and cispo divide by the tokens of the whole batch.
MEAN_OVER_ROWS = ("grpo", "dr_grpo", "sapo", "luspo")
# TRL's metrics that are a mean over a micro-batch's tokens (at sequence level: rows) and zero on dropped rows.
CLIP_METRICS = ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "cispo_clip_ratio")


@dataclass(frozen=True)
class Savings:
    """Which work may be left out under a loss without changing its gradient.

    Attributes:
        regroup: The loss of an optimizer step is the same however its rows are split into micro-batches. bnpo, the
            entropy bonus, the entropy quantile and the router's loss are means over one micro-batch.
        drop: A row of advantage zero adds nothing to the gradient, and every metric can do without it: there is no KL
            term, the rollout measures the entropy of every row, and the loss is not vespo, whose own metric needs all.
        mean_over_rows: The loss divides by the rows of a micro-batch.
    """

    regroup: bool
    drop: bool
    mean_over_rows: bool

    @classmethod
    def of(cls, loss_type: str, beta: float, means_over_micro_batch: bool, measures_entropy: bool) -> "Savings":
        """Those of a loss.

        Args:
            loss_type, beta: As in ``GRPOConfig``.
            means_over_micro_batch: Another term or filter than the loss itself looks at a micro-batch as a whole.
            measures_entropy: The rollout knows the entropy of every row.
        """
        regroup = loss_type != "bnpo" and not means_over_micro_batch
        drop = regroup and beta == 0 and measures_entropy and loss_type != "vespo"
        return cls(regroup, drop, loss_type in MEAN_OVER_ROWS)


def cheapened(
    batches: list[dict[str, Any]],
    window: int,
    savings: Savings,
    share_prompts: bool,
    max_over_ranks: Callable[[list[int]], list[int]],
) -> list[dict[str, Any]]:
    """The micro-batches of a rollout in a form that costs less and has the same gradient.

    Args:
        batches: Micro-batches as TRL splits a rollout; tensors have the rows as first axis.
        window: Micro-batches of one optimizer step.
        savings: What the loss allows.
        share_prompts: Whether a micro-batch's rows of one prompt compute it once.
        max_over_ranks: The element-wise maximum over ranks: all must keep as many rows, since TRL gathers a value
            for each.
    """
    if not savings.regroup:
        return [trimmed(batch) for batch in batches]
    rows = max_over_ranks(rows_with_signal(batches, window)) if savings.drop else None
    return regrouped(batches, window, rows, share_prompts)


def num_rows(batches: list[dict[str, Any]]) -> int:
    """Rows of all ``batches``."""
    return sum(len(batch["advantages"]) for batch in batches)


def count_dropped_rows(
    loss: torch.Tensor, batch: dict[str, Any], logged: dict[str, list[float]], savings: Savings, share: float
) -> torch.Tensor:
    """The loss of what is left of a micro-batch, as its part of the mean over what it had; the last clip ratios too.

    Args:
        loss: Of the rows that are left.
        batch: As ``regrouped`` makes them.
        logged: TRL's metrics by name, of which the last values are this micro-batch's; changed in place.
        savings: What the loss allows.
        share: The factor from a mean over what is left on all ranks to one over what was there before.
    """
    for name in CLIP_METRICS:
        if name in logged:
            logged[name][-1] *= share
    if "clip_ratio/low_min" in logged:
        logged["clip_ratio/low_min"][-1] = 0.0  # of a dropped row
    return loss * batch["row_share"] if savings.mean_over_rows else loss


def rows_with_signal(batches: list[dict[str, Any]], window: int) -> list[int]:
    """For each optimizer step, the rows whose advantage is not zero; at least one for each of its micro-batches."""
    groups = [batches[start : start + window] for start in range(0, len(batches), window)]
    return [max(len(group), sum(int((batch["advantages"] != 0).sum()) for batch in group)) for group in groups]


def regrouped(
    batches: list[dict[str, Any]], window: int, num_rows: list[int] | None = None, share_prompts: bool = False
) -> list[dict[str, Any]]:
    """The same rows in micro-batches that are cheap to compute, each trimmed to its longest completion and prompt.

    Rows of like length go together, longest first; where prompts are shared and that is cheaper, rows of one prompt do.

    Args:
        batches: Micro-batches of one generation batch; tensors have the rows as first axis.
        window: Micro-batches of one optimizer step. Rows stay within their window.
        num_rows: Rows to keep for each window, at least ``rows_with_signal``; those left out have an advantage of
            exactly zero. None keeps all.
        share_prompts: Whether a micro-batch's rows of one prompt compute it once.

    Returns:
        As many micro-batches. Where rows of their window were left out, ``row_share`` is a micro-batch's rows over the
        rows it had, and ``token_share`` its completion tokens over the mean of the micro-batches it had: what turns a
        mean over what is left into its part of the mean over all.
    """
    chosen = []
    for start in range(0, len(batches), window):
        group = batches[start : start + window]
        keep = None if num_rows is None else num_rows[start // window]
        ways = [split(group, order_by_length(group), keep)]
        if share_prompts:
            ways.append(split(group, order_by_prompt(group), keep))
        chosen += min(ways, key=lambda way: sum(tokens_to_run(batch, share_prompts) for batch in way))
    return chosen


def order_by_length(group: list[dict[str, Any]]) -> torch.Tensor:
    """All rows of ``group``, longest completion first (B,)."""
    return lengths_of(group).argsort(descending=True, stable=True)


def order_by_prompt(group: list[dict[str, Any]]) -> torch.Tensor:
    """All rows of ``group``, those of one prompt together, prompts by their longest completion (B,)."""
    lengths_B = lengths_of(group)
    _, prompt_B = torch.cat([batch["prompt_ids"] for batch in group]).unique(dim=0, return_inverse=True)
    longest_P = torch.zeros_like(lengths_B).scatter_reduce(0, prompt_B, lengths_B, "amax")
    order_B = lengths_B.argsort(descending=True, stable=True)
    order_B = order_B[prompt_B[order_B].argsort(stable=True)]
    return order_B[longest_P[prompt_B[order_B]].argsort(descending=True, stable=True)]


def lengths_of(group: list[dict[str, Any]]) -> torch.Tensor:
    """Completion tokens of all rows (B,)."""
    return torch.cat([batch["completion_mask"] for batch in group]).sum(dim=1)


def split(group: list[dict[str, Any]], order_B: torch.Tensor, keep: int | None) -> list[dict[str, Any]]:
    """The rows of ``group`` in the order given, dealt out to as many micro-batches; see `regrouped`."""
    sizes = [len(batch["completion_mask"]) for batch in group]
    lengths_B = lengths_of(group)
    mean_tokens = float(lengths_B.sum()) / len(group)
    if keep is not None:
        signal_B = torch.cat([batch["advantages"] for batch in group])[order_B] != 0
        no_signal = (~signal_B).nonzero().squeeze(1)
        by_cost = no_signal[lengths_B[order_B[no_signal]].argsort(stable=True)]  # the shortest rows cost least
        signal_B[by_cost[: keep - int(signal_B.sum())]] = True
        order_B = order_B[signal_B]
    micro_batches = []
    for batch, size, rows in zip(group, sizes, order_B.tensor_split(len(group)), strict=True):
        chosen = {
            key: torch.cat([other[key] for other in group])[rows]
            for key, value in batch.items()
            if isinstance(value, torch.Tensor) and value.dim() > 0
        }
        shares = {}
        if len(order_B) < sum(sizes):
            shares = {"row_share": len(rows) / size, "token_share": float(lengths_B[rows].sum()) / mean_tokens}
        micro_batches.append(trimmed({**batch, **chosen, **shares}))
    return micro_batches


def tokens_to_run(batch: dict[str, Any], share_prompts: bool) -> int:
    """Positions, padding included, that a forward pass of ``batch`` computes."""
    completion = batch["completion_ids"].size(1)
    apart, shared = positions(batch["prompt_ids"], completion)
    return shared if share_prompts and worth_sharing(batch["prompt_ids"], completion) else apart


def worth_sharing(prompt_ids_BS: torch.Tensor, completion: int) -> bool:
    """Whether the positions saved are worth a second forward pass, for completions of ``completion`` columns."""
    apart, shared = positions(prompt_ids_BS, completion)
    return shared <= MAX_SHARED_PART * apart


def positions(prompt_ids_BS: torch.Tensor, completion: int) -> tuple[int, int]:
    """Positions computed with a prompt for each row, and with each distinct prompt once."""
    rows, prompt = prompt_ids_BS.shape
    return rows * (prompt + completion), len(prompt_ids_BS.unique(dim=0)) * (prompt - 1) + rows * completion


def trimmed(batch: dict[str, Any]) -> dict[str, Any]:
    """``batch`` without the columns that are padding in every row."""
    completion = max(1, int(batch["completion_mask"].sum(dim=1).max()))
    prompt = max(1, int(batch["prompt_mask"].sum(dim=1).max()))
    narrow = {key: batch[key][:, :completion] for key in COMPLETION_COLUMNS if key in batch}
    narrow |= {key: batch[key][:, -prompt:] for key in PROMPT_COLUMNS}
    return batch | narrow
