"""A group whose completions all earned the same teaches nothing: no advantage, no moved weight, and it is counted."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from fixed_completions import fix_completions
from toy import build_trainer
from transformers import LlamaForCausalLM

from r1zero.training.equal_groups import rows_of_equal_groups, std_within_groups
from r1zero.training.trainer import R1ZeroTrainer
from rewards import Outcome, Verdict


def constant(score: float) -> Callable[..., Verdict]:
    """A judge that pays everybody the same."""
    return lambda text, row: Verdict(score, Outcome.WRONG)


@pytest.mark.parametrize("score", [0.1, 0.3, 0.7, 0.9])
def test_equal_rewards_move_no_weight(tiny_model: LlamaForCausalLM, score: float, tmp_path: Any) -> None:
    """With TRL's advantages alone, Adam moves weights by the whole learning rate at each of these."""
    start = copy.deepcopy(tiny_model.state_dict())
    keys = {"max_steps": 2, "optim": "adamw_torch", "learning_rate": 1e-2, "num_generations": 8}
    trainer = build_trainer(R1ZeroTrainer, tiny_model, tmp_path / "run", constant(score), **keys)
    fix_completions(trainer, [True], [5, 9, 4, 7])
    trainer.train()
    trainer.tracker.finish()
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, start[name]), name
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["frac_reward_zero_std"] for row in rows] == [1.0, 1.0]
    frame = pd.read_parquet(trainer.run_dir / "completions" / "train_00001.parquet")
    assert set(frame["advantage"]) == {0.0}


def test_of_two_groups_the_equal_one_is_left_out(tiny_model: LlamaForCausalLM, tmp_path: Any) -> None:
    """Prompts 4 and 5 are paid 0.7 for anything, the others 1 or 0: the second kind keeps TRL's advantages."""

    def judge(text: str, row: Any) -> Verdict:
        first = text.removeprefix(row["prefill"]).split()[0]
        return Verdict(0.7 if row["target"] < 6 else float(first == str(row["target"])), Outcome.WRONG)

    trainer = build_trainer(R1ZeroTrainer, tiny_model, tmp_path / "run", judge)
    fix_completions(trainer, [True, False, False, False], [5])
    trainer.train()
    trainer.tracker.finish()
    frame = pd.read_parquet(trainer.run_dir / "completions" / "train_00001.parquet")
    equal = frame["prompt"].str.contains("Target: [45] ", regex=True)
    assert equal.sum() == 8
    assert set(frame["advantage"][equal]) == {0.0}
    # Rewards 1 0 0 0: (1 - 0.25) / (0.5 + 1e-4) = 1.4997, -0.25 / 0.5001 = -0.4999
    assert sorted(frame["advantage"][~equal].round(4).unique()) == [-0.4999, 1.4997]
    (row,) = [row for row in trainer.state.log_history if "loss" in row]
    assert row["frac_reward_zero_std"] == 0.5
    assert row["reward/std_within_groups"] == pytest.approx((0 + 0 + 0.5 + 0.5) / 4)


def test_which_groups_are_equal() -> None:
    nan = torch.nan
    one, other = [[0.7, 0.1], [0.7, 0.1]], [[0.7, 0.1], [0.6, 0.1]]
    rewards = torch.tensor([*one, *other, [nan, nan], [0.3, 0.2], [nan, nan], [nan, nan]])
    weights = torch.tensor([1.0, 0.1])
    #                                             equal        differ        one judged    none judged
    assert rows_of_equal_groups(rewards, weights, 2).view(-1, 2)[:, 0].tolist() == [True, False, True, True]


def test_the_deviation_within_groups_by_hand() -> None:
    nan = torch.nan
    weights = torch.tensor([1.0, 0.5])
    # Sums 1 0 | 0.7 0.7 | 0.5, not judged: sd 1 / sqrt 2 and 0; the last group has one row that says something.
    rewards = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.7, 0.0], [0.7, 0.0], [0.0, 1.0], [nan, nan]])
    assert std_within_groups(rewards, weights, 2) == pytest.approx((0.5**0.5 + 0) / 2)
    # Groups that are equal among themselves and differ from each other: the batch has a deviation, no group has.
    apart = torch.tensor([[0.7], [0.7], [0.7], [0.1], [0.1], [0.1]])
    assert std_within_groups(apart, torch.ones(1), 3) == 0.0
    assert math.isnan(std_within_groups(rewards[4:], weights, 2))


def test_random_weights_of_random_judges() -> None:
    """Equal rows have equal sums in any arithmetic, so nothing has to be close to anything."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        row = torch.rand(1, 3, generator=generator)
        weights = torch.rand(3, generator=generator)
        assert rows_of_equal_groups(row.expand(8, 3), weights, 8).all()
        other = torch.cat([row.expand(7, 3), row + 0.01])
        assert not rows_of_equal_groups(other, weights, 8).any()
