"""Groups whose completions all earned the same have nothing to teach, and must not move the weights.

TRL subtracts a mean that is a float32 sum: for eight times 0.7 it is not 0.7, and every row of the group gets the same
small advantage. Adam divides by the gradient's own size, so a step in which nothing was learned moves the weights as
far as any other.
"""

from collections.abc import MutableSequence

import torch


def rows_of_equal_groups(rewards_BJ: torch.Tensor, weights_J: torch.Tensor, num_generations: int) -> torch.Tensor:
    """True (B,) for rows of groups whose judged rows all have the same weighted sum of rewards.

    Args:
        rewards_BJ: Rewards of each row by each judge, groups of ``num_generations`` rows one after the other; a row of
            NaN alone was not judged and says nothing about its group.
        weights_J: Of the judges.
        num_generations: G.
    """
    sums_B = (rewards_BJ * weights_J.to(rewards_BJ)).nansum(dim=1).masked_fill(rewards_BJ.isnan().all(dim=1), torch.nan)
    sums_PG = sums_B.view(-1, num_generations)
    highest_P = sums_PG.nan_to_num(nan=-torch.inf).amax(dim=1)
    lowest_P = sums_PG.nan_to_num(nan=torch.inf).amin(dim=1)
    return (highest_P <= lowest_P).repeat_interleave(num_generations)


def without_signal(equal_B: torch.Tensor, advantages_B: torch.Tensor) -> torch.Tensor:
    """``advantages_B``, exactly 0 for the rows of equal groups."""
    return advantages_B.masked_fill(equal_B, 0.0)


def silence_record(equal_B: torch.Tensor, logged: MutableSequence[float]) -> None:
    """Do the same to TRL's record of all ranks' advantages, whose last entries are these rows."""
    for place, equal in enumerate(equal_B.tolist(), start=len(logged) - len(equal_B)):
        if equal:
            logged[place] = 0.0
