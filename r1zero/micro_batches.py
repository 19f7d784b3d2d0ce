"""How the rows of an optimizer step are split into micro-batches: by length, without padding that all rows share."""

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


def rows_that_move(batches: list[dict[str, Any]], window: int) -> list[int]:
    """For each optimizer step, the rows whose advantage is not zero; at least one for each of its micro-batches."""
    groups = [batches[start : start + window] for start in range(0, len(batches), window)]
    return [max(len(group), sum(int((batch["advantages"] != 0).sum()) for batch in group)) for group in groups]


def by_length(batches: list[dict[str, Any]], window: int, num_rows: list[int] | None = None) -> list[dict[str, Any]]:
    """The same rows in micro-batches of like length, longest first, each trimmed to its longest completion and prompt.

    Args:
        batches: Micro-batches of one generation batch; tensors have the rows as first axis.
        window: Micro-batches of one optimizer step. Rows stay within their window.
        num_rows: Rows to keep for each window, at least ``rows_that_move``; those left out have an advantage of exactly
            zero. None keeps all.

    Returns:
        As many micro-batches. Where rows of their window were left out, ``row_share`` is a micro-batch's rows over the
        rows it had, and ``token_share`` its completion tokens over the mean of the micro-batches it had: what turns a
        mean over what is left into its part of the mean over all.
    """
    regrouped = []
    for start in range(0, len(batches), window):
        group = batches[start : start + window]
        sizes = [len(batch["completion_mask"]) for batch in group]
        lengths_B = torch.cat([batch["completion_mask"] for batch in group]).sum(dim=1)
        mean_tokens = float(lengths_B.sum()) / len(group)
        order_B = lengths_B.argsort(descending=True, stable=True)
        if num_rows is not None:
            moves_B = torch.cat([batch["advantages"] for batch in group])[order_B] != 0
            missing = num_rows[start // window] - int(moves_B.sum())
            fillers = (~moves_B).nonzero().squeeze(1).flip(0)[:missing]  # the shortest rows cost least
            moves_B[fillers] = True
            order_B = order_B[moves_B]
        parts_B = order_B.tensor_split(len(group))
        for batch, size, rows in zip(group, sizes, parts_B, strict=True):
            chosen = {
                key: torch.cat([other[key] for other in group])[rows]
                for key, value in batch.items()
                if isinstance(value, torch.Tensor) and value.dim() > 0
            }
            shares = {}
            if len(order_B) < sum(sizes):
                shares = {"row_share": len(rows) / size, "token_share": float(lengths_B[rows].sum()) / mean_tokens}
            regrouped.append(trimmed({**batch, **chosen, **shares}))
    return regrouped


def trimmed(batch: dict[str, Any]) -> dict[str, Any]:
    """``batch`` without the columns that are padding in every row."""
    completion = max(1, int(batch["completion_mask"].sum(dim=1).max()))
    prompt = max(1, int(batch["prompt_mask"].sum(dim=1).max()))
    narrow = {key: batch[key][:, :completion] for key in COMPLETION_COLUMNS if key in batch}
    narrow |= {key: batch[key][:, -prompt:] for key in PROMPT_COLUMNS}
    return batch | narrow
