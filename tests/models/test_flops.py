"""FLOP counts, worked by hand on a tiny model."""

import pytest
import torch
from transformers import LlamaForCausalLM

from r1zero.models.flops import matmul_peak, model_flops
from r1zero.rollout.sampling import Completion
from r1zero.training.step_profile import StepProfile


def test_counts_by_hand(tiny_model: LlamaForCausalLM) -> None:
    """Hidden 32, 4 query heads and 2 key-value heads of 8, MLP 48, 2 layers, V tokens.

    A layer multiplies with q 32x32, k and v 32x16, o 32x32, and three of 32x48: 1024 + 1024 + 1024 + 4608 = 7680
    weights, two FLOPs each. Attention: 2 layers x 4 heads x 8 numbers x 2 products x 2.
    """
    flops = model_flops(tiny_model)
    assert flops.per_token == 2 * 2 * 7680
    assert flops.per_logit == 2 * 32 * tiny_model.config.vocab_size
    assert flops.per_pair == 2 * 4 * 8 * 2 * 2
    # A prompt of 2 and a completion of 1: three positions, one prediction, 1 + 2 + 3 pairs.
    assert flops.forward([(2, 1)]) == 3 * flops.per_token + flops.per_logit + 6 * flops.per_pair


def test_a_group_shares_its_prompt(tiny_model: LlamaForCausalLM) -> None:
    """Two completions of one prompt: the prompt's own 2 positions and 3 pairs are counted once."""
    flops = model_flops(tiny_model)
    twice = flops.forward([(2, 1), (2, 1)])
    assert flops.rollout([2], [(2, 1), (2, 1)]) == twice - 2 * flops.per_token - 3 * flops.per_pair


def test_utilization_is_work_over_time_over_peak(tiny_model: LlamaForCausalLM) -> None:
    profile = StepProfile(tiny_model, torch.device("cpu"), torch.float32)
    profile.peak_flops = 1e9
    profile.add_rollout([[1, 2]], [Completion([3], [0.0], 0.0, truncated=True)], seconds=0.5)
    one = torch.ones(1, 1)
    profile.add_micro_batch({"prompt_mask": one, "completion_mask": one})
    metrics = profile.metrics(step_s=2.0)
    assert metrics["time/train_s"] == 1.5
    assert metrics["perf/rollout_utilization"] == pytest.approx(profile.flops.forward([(2, 1)]) / 0.5 / 1e9)
    assert metrics["perf/train_utilization"] == pytest.approx(3 * profile.flops.forward([(1, 1)]) / 1.5 / 1e9)


def test_the_peak_is_of_this_machine() -> None:
    assert 1e8 < matmul_peak(torch.device("cpu"), torch.float32, repeats=2) < 1e14
