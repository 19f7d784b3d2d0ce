"""How the rows of an optimizer step are split into micro-batches, so that little is computed twice or on padding."""

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


def rows_that_move(batches: list[dict[str, Any]], window: int) -> list[int]:
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
        num_rows: Rows to keep for each window, at least ``rows_that_move``; those left out have an advantage of exactly
            zero. None keeps all.
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
        moves_B = torch.cat([batch["advantages"] for batch in group])[order_B] != 0
        still = (~moves_B).nonzero().squeeze(1)
        by_cost = still[lengths_B[order_B[still]].argsort(stable=True)]  # the shortest rows cost least
        moves_B[by_cost[: keep - int(moves_B.sum())]] = True
        order_B = order_B[moves_B]
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
