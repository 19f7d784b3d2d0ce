"""Rows in micro-batches: which are left out, which go together, and that every row stays whole."""

import pytest
import torch

from r1zero.training.micro_batches import Savings, cheapened, count_dropped_rows, num_rows, regrouped, rows_with_signal


def test_rows_of_one_prompt_go_together_where_that_is_cheaper() -> None:
    """Two prompts of 6 tokens: a prompt a micro-batch runs 2 x (5 + 2 x 2) = 18 positions, by length 2 x 8 + 2 x 7."""
    prompts = torch.tensor([[1] * 6, [2] * 6, [1] * 6, [2] * 6])
    mask = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 1]])
    batch = {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": torch.tensor([1.0, 2.0, 3.0, 4.0]),
    }
    halves = [{key: value[i * 2 : i * 2 + 2] for key, value in batch.items()} for i in range(2)]
    apart = regrouped(halves, window=2)
    assert [part["advantages"].tolist() for part in apart] == [[3.0, 4.0], [1.0, 2.0]]
    together = regrouped(halves, window=2, share_prompts=True)
    assert [part["advantages"].tolist() for part in together] == [[3.0, 1.0], [4.0, 2.0]]


def test_regrouped_drops_rows_of_advantage_zero_and_counts_them() -> None:
    mask = torch.ones(8, 3, dtype=torch.long)
    batch = {
        "prompt_ids": mask,
        "prompt_mask": mask,
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.5, 0.0]),
    }
    halves = [{key: value[i * 4 : i * 4 + 4] for key, value in batch.items()} for i in range(2)]
    assert rows_with_signal(halves, window=2) == [3]
    kept = regrouped(halves, window=2, num_rows=[3])
    assert sorted(torch.cat([part["advantages"] for part in kept]).tolist()) == [-1.0, 0.5, 1.0]
    assert [part["row_share"] for part in kept] == [2 / 4, 1 / 4]
    assert [part["token_share"] for part in kept] == [6 / 12, 3 / 12]
    nothing = [part | {"advantages": torch.zeros(4)} for part in halves]
    assert rows_with_signal(nothing, window=2) == [2]
    assert [len(part["advantages"]) for part in regrouped(nothing, 2, num_rows=[2])] == [1, 1]
    as_many_as_another_rank = regrouped(nothing, 2, num_rows=[5])
    assert [len(part["advantages"]) for part in as_many_as_another_rank] == [3, 2]


@pytest.mark.parametrize("share_prompts", [False, True])
def test_regrouped_keeps_every_row_whole(share_prompts: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 9, (12,), generator=generator)
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.arange(12)[:, None] * 100 + torch.arange(9)
    whole = {
        "prompt_ids": torch.arange(12)[:, None].expand(-1, 4).contiguous(),
        "prompt_mask": torch.tensor([0, 1, 1, 1]).expand(12, -1).contiguous(),
        "completion_ids": ids * mask,
        "completion_mask": mask,
        "advantages": torch.arange(12.0),
        "num_items_in_batch": mask.sum(),
    }
    batches = [
        {key: value[i * 3 : i * 3 + 3] if value.dim() else value for key, value in whole.items()} for i in range(4)
    ]
    micro_batches = regrouped(batches, window=2, share_prompts=share_prompts)
    assert [len(batch["advantages"]) for batch in micro_batches] == [3, 3, 3, 3]
    for half in (0, 1):  # rows stay within their optimizer step
        rows = torch.cat([batch["advantages"] for batch in micro_batches[2 * half : 2 * half + 2]])
        assert sorted(rows.tolist()) == list(range(6 * half, 6 * half + 6))
    for batch in micro_batches:
        assert batch["prompt_ids"].size(1) == 3
        assert batch["completion_ids"].size(1) == batch["completion_mask"].sum(1).max()
        for row, index in enumerate(batch["advantages"].int().tolist()):
            length = lengths[index]
            assert batch["completion_ids"][row, :length].tolist() == ids[index, :length].tolist()
            assert batch["prompt_ids"][row, 0] == index


@pytest.mark.parametrize(
    ("loss_type", "beta", "means_over_micro_batch", "measures_entropy", "expected"),
    [
        ("dapo", 0.0, False, True, Savings(regroup=True, drop=True, mean_over_rows=False)),
        ("grpo", 0.0, False, True, Savings(regroup=True, drop=True, mean_over_rows=True)),
        ("dapo", 0.1, False, True, Savings(regroup=True, drop=False, mean_over_rows=False)),  # the KL term needs rows
        ("dapo", 0.0, False, False, Savings(regroup=True, drop=False, mean_over_rows=False)),  # the entropy does
        ("vespo", 0.0, False, True, Savings(regroup=True, drop=False, mean_over_rows=False)),
        ("bnpo", 0.0, False, True, Savings(regroup=False, drop=False, mean_over_rows=False)),
        ("dapo", 0.0, True, True, Savings(regroup=False, drop=False, mean_over_rows=False)),
    ],
)
def test_what_a_loss_allows_to_leave_out(
    loss_type: str, beta: float, means_over_micro_batch: bool, measures_entropy: bool, expected: Savings
) -> None:
    assert Savings.of(loss_type, beta, means_over_micro_batch, measures_entropy) == expected


def test_ranks_keep_as_many_rows() -> None:
    """This rank has one row that moves, another has three: three are kept here too."""
    mask = torch.ones(4, 2, dtype=torch.long)
    rows = dict.fromkeys(("prompt_ids", "prompt_mask", "completion_ids", "completion_mask"), mask)
    batches = [rows | {"advantages": torch.tensor([0.0, 1.0, 0.0, 0.0])}]
    savings = Savings(regroup=True, drop=True, mean_over_rows=False)
    assert num_rows(cheapened(batches, 1, savings, False, lambda counts: [max(count, 3) for count in counts])) == 3
    nothing = Savings(regroup=False, drop=False, mean_over_rows=False)
    assert num_rows(cheapened(batches, 1, nothing, False, lambda counts: counts)) == 4


def test_dropped_rows_count_in_the_loss_and_in_clip_ratios() -> None:
    """Of 8 rows 2 are left: a mean over rows becomes its quarter, a clip ratio over tokens the share of its tokens."""
    logged = {"clip_ratio/high_mean": [0.9, 0.4], "clip_ratio/low_min": [0.1]}
    by_rows = Savings(regroup=True, drop=True, mean_over_rows=True)
    loss = count_dropped_rows(torch.tensor(2.0), {"row_share": 2 / 8}, logged, by_rows, share=0.5)
    assert float(loss) == 0.5
    assert logged == {"clip_ratio/high_mean": [0.9, 0.2], "clip_ratio/low_min": [0.0]}
    by_tokens = Savings(regroup=True, drop=True, mean_over_rows=False)
    assert float(count_dropped_rows(torch.tensor(2.0), {"row_share": 2 / 8}, {}, by_tokens, share=0.5)) == 2.0
