"""What the native loop has sampled so far, for every row of the batch: tokens, log-probabilities, entropies, lengths.

Knows neither model nor cache: the loop adds each token, and collects the completions that have ended.

Axes: B rows (completions) of the batch, R rows in flight, T completion tokens, V vocabulary, W tokens looked back at.
"""

from collections.abc import Sequence

import torch

from r1zero.rollout.sampling import Completion
from r1zero.rollout.stop_strings import StopStrings


class Record:
    """The tokens of all rows, and which rows are done.

    Args:
        num_rows: Rows of the batch.
        max_tokens: Longest completion.
        eos_ids: Tokens that end a completion.
        stop: Strings that end a completion.
        device: Where the tensors live.

    Attributes:
        length_B: Tokens of each row so far.
        done_B: Which rows have ended, by a token, a stop string or ``max_tokens``.
        stopped_B: Which of them a stop string ended.
        collected_B: Which of them ``collect`` has given back.
    """

    def __init__(
        self,
        num_rows: int,
        max_tokens: int,
        eos_ids: Sequence[int],
        stop: StopStrings | None,
        device: torch.device,
    ) -> None:
        self.max_tokens, self.stop = max_tokens, stop
        self.eos = torch.tensor(list(eos_ids), device=device)
        # One column more than there are tokens: rows that are done are still computed, and their tokens go there.
        self.ids_BT = torch.full((num_rows, max_tokens + 1), int(eos_ids[0]), device=device)
        self.logprobs_BT = torch.zeros(num_rows, max_tokens + 1, device=device)
        self.entropy_BT = torch.zeros(num_rows, max_tokens + 1, device=device)
        self.length_B = torch.zeros(num_rows, dtype=torch.long, device=device)
        self.stopped_B = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self.done_B = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self.collected_B = torch.zeros(num_rows, dtype=torch.bool, device=device)

    def next_column(self, rows: torch.Tensor) -> torch.Tensor:
        """The column (R,) of the next token of each of ``rows``; ``max_tokens``, behind all, for rows that are done."""
        return torch.where(self.done_B[rows], self.max_tokens, self.length_B[rows])

    def add(
        self,
        rows: torch.Tensor,
        at_R: torch.Tensor,
        ids_R: torch.Tensor,
        log_probs_RV: torch.Tensor,
        probabilities_RV: torch.Tensor,
    ) -> None:
        """Write down the token ``ids_R`` that each of ``rows`` drew for its next column ``at_R``."""
        self.ids_BT[rows, at_R] = ids_R
        self.logprobs_BT[rows, at_R] = log_probs_RV.gather(1, ids_R[:, None]).squeeze(1)
        # A token ruled out by the model itself has probability 0 and log-probability -inf: it adds 0, not NaN.
        finite_RV = log_probs_RV.clamp(min=torch.finfo(log_probs_RV.dtype).min)
        self.entropy_BT[rows, at_R] = -(probabilities_RV * finite_RV).sum(dim=1)
        self.length_B.index_add_(0, rows, (at_R < self.max_tokens).long())
        ended_R = (ids_R[:, None] == self.eos).any(dim=1)
        self.done_B[rows] |= ended_R | (at_R == self.max_tokens - 1)

    def cut_at_stop_strings(self, rows: torch.Tensor, steps: int) -> None:
        """End ``rows`` behind the first of their last ``steps`` tokens that completes a stop string."""
        if self.stop is None:
            return
        rows = rows[~self.collected_B[rows]]
        end_R1 = self.length_B[rows, None]
        columns_RW = end_R1 - torch.arange(1, steps + 1, device=rows.device)
        ids_RW = self.ids_BT[rows[:, None], columns_RW.clamp(min=0)]
        places = (torch.isin(ids_RW, self.stop.endings.to(rows.device)) & (columns_RW >= 0)).nonzero()
        ends = torch.stack([rows[places[:, 0]], columns_RW[places[:, 0], places[:, 1]] + 1], dim=1).tolist()
        if not ends:
            return
        recent = [self.ids_BT[row, max(0, end - self.stop.num_tokens) : end].tolist() for row, end in ends]
        # The last tokens come first, so a row's first stop string is the one that stays.
        for (row, end), completed in zip(ends, self.stop.completed(recent), strict=True):
            if completed:
                self.length_B[row], self.stopped_B[row], self.done_B[row] = end, True, True

    def ids(self, row: int) -> list[int]:
        """The tokens of ``row`` so far."""
        return self.ids_BT[row, : self.length_B[row]].tolist()

    def collect(self) -> dict[int, Completion]:
        """The completions that are done and have not been collected before, by row."""
        rows = (self.done_B & ~self.collected_B).nonzero().squeeze(1)
        if not len(rows):
            return {}
        self.collected_B[rows] = True
        length_B = self.length_B[rows]
        behind_BT = torch.arange(self.max_tokens + 1, device=rows.device) >= length_B[:, None]
        entropy_B = self.entropy_BT[rows].masked_fill(behind_BT, 0.0).sum(dim=1)
        ended_B = torch.isin(self.ids_BT[rows, length_B - 1], self.eos) | self.stopped_B[rows]
        columns = (rows, self.ids_BT[rows], self.logprobs_BT[rows], length_B, entropy_B, ~ended_B)
        return {
            row: Completion(ids[:length], logprobs[:length], entropy, truncated)
            for row, ids, logprobs, length, entropy, truncated in zip(
                *(column.tolist() for column in columns), strict=True
            )
        }
