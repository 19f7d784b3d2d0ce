"""The same weights as TRL's own ``GRPOTrainer``, whatever work ours leaves out.

The other side is TRL's class itself, with TRL's micro-batches, forward passes and reward calls; only the completions
are given to both. Weights move by more than 1e-3 and agree to 2e-6: float32 sums in another order.
"""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fixed_completions import LENGTHS, RIGHT, SGD, our_trainer, trl_trainer
from toy import first_number_judge
from transformers import LlamaForCausalLM

from r1zero.config.trainer_checks import LOSS_TYPES
from r1zero.tasks.judging import EarlyVerdicts
from r1zero.training.reward_functions import RewardFunction
from r1zero.training.trainer import R1ZeroTrainer
from rewards import Outcome, Verdict

pytestmark = pytest.mark.usefixtures("one_thread")
# The third row of every group of four cannot be judged.
UNGRADEABLE = [True, False, None, False] * 2 + RIGHT[8:]


def trained(
    tiny_model: LlamaForCausalLM, folder: Path, right: list[bool | None], **keys: Any
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Weights and logged steps of TRL's trainer, then of ours, from the same start."""
    start = copy.deepcopy(tiny_model.state_dict())
    found: list[Any] = []
    for name, build in (("trl", trl_trainer), ("ours", our_trainer)):
        tiny_model.load_state_dict(start)
        trainer = build(tiny_model, folder / name, right, LENGTHS, **{"max_steps": 2, **SGD, **keys})
        torch.manual_seed(0)  # TRL shuffles the rows of a rollout over its micro-batches
        trainer.train()
        if isinstance(trainer, R1ZeroTrainer):
            trainer.tracker.finish()
        found.append({name: weight.detach().clone() for name, weight in trainer.model.named_parameters()})
        found.append([row for row in trainer.state.log_history if "loss" in row])
    moved = max(float((found[0][name] - weight).abs().max()) for name, weight in start.items() if name in found[0])
    assert moved > 1e-3
    return found[0], found[1], found[2], found[3]


def assert_same_weights(theirs: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> None:
    assert theirs.keys() == ours.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    "keys",
    [
        *({"loss_type": loss_type} for loss_type in LOSS_TYPES),
        *({"loss_type": loss_type, "beta": 0.1} for loss_type in ("dapo", "grpo", "dr_grpo")),
        {"num_iterations": 2, "max_steps": 4},
        {"steps_per_generation": 4, "num_generations": 8, "max_steps": 4},
        {"importance_sampling_level": "sequence", "num_iterations": 2},
        {"mask_truncated_completions": "true"},
        {"entropy_coef": 0.01},
        {"top_entropy_quantile": 0.5},
        {"scale_rewards": "none"},
    ],
    ids=lambda keys: "-".join(f"{key}={value}" for key, value in keys.items()),
)
def test_same_weights_and_metrics(tiny_model: LlamaForCausalLM, keys: dict[str, Any], tmp_path: Path) -> None:
    """Means over the tokens of each micro-batch are left out of the comparison: ours only group rows otherwise."""
    weights, theirs, ours_weights, ours = trained(tiny_model, tmp_path, RIGHT, **keys)
    assert_same_weights(weights, ours_weights)
    for one, other in zip(theirs, ours, strict=True):
        for name in ("reward", "reward_std", "frac_reward_zero_std", "completions/mean_length", "clip_ratio/low_min"):
            assert other.get(name) == pytest.approx(one.get(name), abs=1e-6), name


@pytest.mark.parametrize("keys", [{"loss_type": "dapo"}, {"loss_type": "grpo", "num_iterations": 2, "max_steps": 4}])
def test_same_weights_where_a_row_cannot_be_judged(
    tiny_model: LlamaForCausalLM, keys: dict[str, Any], tmp_path: Path
) -> None:
    weights, _, ours, _ = trained(tiny_model, tmp_path, UNGRADEABLE, **keys)
    assert_same_weights(weights, ours)


def test_clip_metrics_cover_the_dropped_rows(tiny_model: LlamaForCausalLM, tmp_path: Path) -> None:
    """One micro-batch, so that TRL's mean of means is the mean: equal when half the rows are not computed."""
    one_batch = {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 16, "steps_per_generation": 1}
    keys = one_batch | {"num_iterations": 3, "max_steps": 3, "epsilon": 0.01}
    _, theirs, _, ours = trained(tiny_model, tmp_path, RIGHT, **keys)
    clipped = [row["clip_ratio/region_mean"] for row in theirs]
    assert clipped[0] == 0 < clipped[2] < 1
    for one, other in zip(theirs, ours, strict=True):
        for name in one:
            if name.startswith("clip_ratio/"):
                assert other[name] == pytest.approx(one[name], abs=1e-6), name


@pytest.mark.parametrize("loss_type", ["dapo", "dr_grpo"])
def test_two_ranks_of_which_one_drops_everything(tmp_path: Path, tiny_model: LlamaForCausalLM, loss_type: str) -> None:
    """Collectives stay aligned, and the weights are TRL's on two ranks and on one."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(Path(__file__).parents[1] / "fixed_completions.py"), str(tmp_path / "ranks")]
    overrides = [f"loss_type={loss_type}", "per_device_train_batch_size=4"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([*torchrun, *script, *overrides], check=True, timeout=300, env=environment)
    two = {name: torch.load(tmp_path / "ranks" / f"{name}.pt") for name in ("trl", "ours")}
    one = our_trainer(tiny_model, tmp_path / "one", RIGHT, LENGTHS, max_steps=2, loss_type=loss_type, **SGD)
    one.train()
    one.tracker.finish()
    for name, weight in one.model.named_parameters():
        torch.testing.assert_close(two["ours"]["weights"][name], two["trl"]["weights"][name], atol=2e-6, rtol=0)
        torch.testing.assert_close(two["ours"]["weights"][name], weight.detach(), atol=2e-6, rtol=0)
    for theirs, ours in zip(two["trl"]["metrics"], two["ours"]["metrics"], strict=True):
        assert ours["reward"] == pytest.approx(theirs["reward"])
        assert ours["completions/mean_length"] == pytest.approx(theirs["completions/mean_length"])


def test_a_row_that_one_of_two_paying_judges_cannot_judge_moves_nothing(
    make_trainer: Callable[..., R1ZeroTrainer],
) -> None:
    """Rewards 2 1 (None + 1) 1 of two judges. TRL alone adds up what is there, 2 1 1 1, and pushes the third row down.

    Left out, the others have the mean 4/3 and the sample standard deviation 0.5774: the row itself gets exactly 0.
    """
    trainer = make_trainer(**SGD)
    always: Any = lambda text, row: Verdict(1.0, Outcome.CORRECT)  # noqa: E731
    functions = [RewardFunction("toy", first_number_judge), RewardFunction("second", always)]
    trainer.reward_funcs, trainer.reward_func_names = [*functions], ["toy", "second"]
    trainer.reward_weights, trainer.reward_processing_classes = torch.ones(2), [None, None]
    trainer.collector.verdicts = EarlyVerdicts({"toy": first_number_judge, "second": always})
    from fixed_completions import fix_completions

    fix_completions(trainer, [True, False, None, False], [5])
    trainer.train()
    frame = pd.read_parquet(trainer.run_dir / "completions" / "train_00001.parquet")
    assert frame["advantage"][2] == 0.0
    # (2 - 4/3) / (0.5774 + 1e-4) = 1.1545; (1 - 4/3) / 0.5775 = -0.5772
    assert frame["advantage"][:4].tolist() == pytest.approx([1.1545, -0.5772, 0.0, -0.5772], abs=1e-4)
