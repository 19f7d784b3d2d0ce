"""How far rewards differ within groups; those whose completions all earned the same must not move the weights.

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
    sums_PG = weighted_sums(rewards_BJ, weights_J).view(-1, num_generations)
    highest_P = sums_PG.nan_to_num(nan=-torch.inf).amax(dim=1)
    lowest_P = sums_PG.nan_to_num(nan=torch.inf).amin(dim=1)
    return (highest_P <= lowest_P).repeat_interleave(num_generations)


def weighted_sums(rewards_BJ: torch.Tensor, weights_J: torch.Tensor) -> torch.Tensor:
    """The reward (B,) of each row, NaN where no judge could say."""
    sums_B = (rewards_BJ * weights_J.to(rewards_BJ)).nansum(dim=1)
    return sums_B.masked_fill(rewards_BJ.isnan().all(dim=1), torch.nan)


def std_within_groups(rewards_BJ: torch.Tensor, weights_J: torch.Tensor, num_generations: int) -> float:
    """Mean over groups of the standard deviation of their rewards; arguments as above.

    This is what advantages come from, with n - 1 in the denominator as in TRL's, and exactly 0 for an equal group.
    TRL's ``reward_std`` is over the whole batch: it is large where prompts differ, even if no group has anything to
    teach. NaN where no group has two judged rows.
    """
    sums_PG = weighted_sums(rewards_BJ, weights_J).view(-1, num_generations)
    equal_P = rows_of_equal_groups(rewards_BJ, weights_J, num_generations)[::num_generations]
    num_judged_P = (~sums_PG.isnan()).sum(dim=1)
    squares_P = (sums_PG - sums_PG.nanmean(dim=1, keepdim=True)).square().nansum(dim=1)
    std_P = (squares_P / (num_judged_P - 1)).sqrt().masked_fill(equal_P, 0.0)
    return float(std_P[num_judged_P > 1].mean())


def without_signal(equal_B: torch.Tensor, advantages_B: torch.Tensor) -> torch.Tensor:
    """``advantages_B``, exactly 0 for the rows of equal groups."""
    return advantages_B.masked_fill(equal_B, 0.0)


def silence_record(equal_B: torch.Tensor, logged: MutableSequence[float]) -> None:
    """Do the same to TRL's record of all ranks' advantages, whose last entries are these rows."""
    for place, equal in enumerate(equal_B.tolist(), start=len(logged) - len(equal_B)):
        if equal:
            logged[place] = 0.0
