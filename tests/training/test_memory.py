"""The pre-flight against what ranks hold, and what it tells those whose run cannot fit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_grid import run_ranks
from toy import compose_config

from r1zero.training.memory import capacity, estimate, peak, rollout
from r1zero.training.model_shape import UnknownShapeError, model_shape
from r1zero.training.preflight import check_memory, remedies

ROOT = Path(__file__).parents[2]
STAGES = ["none", "zero1", "zero2", "zero3"]


def assert_estimates_hold(ranks: int, stages: list[str], folder: Path) -> None:
    run_ranks(ranks, [str(ROOT / "tests" / "bytes_per_rank.py"), str(folder), *stages])
    for rank in range(ranks):
        held = json.loads((folder / f"rank{rank}.json").read_text())
        for stage in stages:
            config = compose_config(f"deepspeed={stage}")
            expected = estimate(config, model_shape(config), ranks)
            for part, bytes_held in held[stage].items():
                assert bytes_held == pytest.approx(expected[part], rel=0.1), (ranks, rank, stage, part)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_hold_what_is_estimated(ranks: int, tmp_path: Path) -> None:
    assert_estimates_hold(ranks, STAGES, tmp_path)


def test_a_model_that_writes_no_text_is_named() -> None:
    config = compose_config()
    config.model.architecture = {"model_type": "vit"}
    with pytest.raises(UnknownShapeError, match=r"^model.path = nano: vit is no causal language model. Set another.$"):
        model_shape(config)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a rollout takes whole blocks of columns more."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_the_3b_run_by_hand() -> None:
    """3,085,938,688 parameters on 2 ranks, ZeRO-2, bf16: 2 bytes of weights; (2 of gradient + 12 of optimizer) / 2."""
    config = compose_config("+experiment=tinyzero_3b")
    shape = model_shape(config)
    assert shape.parameters == 3_085_938_688  # as published: 3.09 B
    parts = estimate(config, shape, 2)
    assert parts["weights"] == 2 * shape.parameters
    assert parts["gradients"] == shape.parameters
    assert parts["optimizer"] == 6 * shape.parameters
    # 36 layers, keys and values of 2 heads x 128, 256 rows of 256 + 1024 tokens and 512 columns of room, bfloat16.
    assert rollout(config, shape, 2)["cache"] == 36 * 2 * 256 * 256 * (256 + 1024 + 512) * 2


@pytest.mark.usefixtures("no_gpu")
def test_autocast_keeps_the_cache_and_a_copy_of_the_weights_in_bfloat16() -> None:
    config = compose_config("+experiment=tinyzero_3b", "deepspeed=none", "model.dtype=float32")
    shape = model_shape(config)
    parts = rollout(config, shape, 2)
    assert parts["cache"] == 36 * 2 * 256 * 256 * (256 + 1024 + 512) * 2
    assert parts["bf16 copies"] == 2 * shape.parameters


def test_a_run_that_cannot_fit_is_refused_and_told_what_would_fit() -> None:
    overrides = ("+experiment=tinyzero_3b", "memory.device_gb=40", "launch.num_processes=1")
    config = compose_config(*overrides)
    with pytest.raises(
        ValueError, match=r"needs \d+.\d GB on each rank and has 40.0 GB. Would fit: .*memory.check=warn"
    ):
        check_memory(config)
    assert "warning: the run needs" in check_memory(compose_config(*overrides, "memory.check=warn"))
    shape = model_shape(config)
    found = remedies(config, shape, 1, 40e9)
    assert found
    for remedy in found:  # what it says is true
        changed = compose_config(*overrides, *(f"++{one}" if "trainer." in one else one for one in remedy.split()))
        assert peak(changed, shape, 1) <= 40e9, remedy


def test_what_nothing_can_fit_is_told_so() -> None:
    with pytest.raises(ValueError, match="Nothing short of more ranks or a smaller model helps"):
        check_memory(compose_config("+experiment=math_qwen2_5_7b", "memory.device_gb=4"))


def test_the_default_run_fits_a_laptop() -> None:
    config = compose_config()
    limit = capacity(config, 1)
    assert limit is not None and peak(config, model_shape(config), 1) < 2e9
    assert "fits" in check_memory(config)


def test_the_command_needs_neither_gpu_nor_weights(tmp_path: Path) -> None:
    arguments = ["+experiment=tinyzero_3b", "launch.num_processes=2", f"hydra.run.dir={tmp_path}"]
    result = subprocess.run(
        [sys.executable, "-m", "r1zero.memory", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "3.09 B parameters, 2 rank(s), ZeRO stage 2" in result.stdout


@pytest.mark.usefixtures("no_gpu")
def test_keys_left_out_are_counted_with_trls_defaults() -> None:
    """TRL computes in bfloat16, recomputes activations and samples 512 tokens unless told otherwise."""
    left_out = compose_config("~trainer.bf16", "~trainer.activation_checkpointing", "~trainer.max_completion_length")
    keys = ("trainer.bf16=true", "trainer.activation_checkpointing=true", "trainer.max_completion_length=512")
    set_so = compose_config(*keys)
    shape = model_shape(set_so)
    assert estimate(left_out, shape, 1) == estimate(set_so, shape, 1)
    assert rollout(left_out, shape, 1) == rollout(set_so, shape, 1)
    # Weights and gradients of 4 bytes, a bfloat16 copy for the forward.
    assert estimate(left_out, shape, 1)["bf16 copies"] == 2 * shape.parameters


def test_vllm_has_its_share_of_a_gpu_and_gives_it_back_when_it_sleeps() -> None:
    """0.3 of 80 GB beside the policy: during a rollout, and during training too where it does not sleep.

    Awake: training's parts, 24 GB, and 2 GB of overhead.
    """
    asleep, awake = (
        compose_config(
            "+experiment=tinyzero_3b", "rollout=vllm", "memory.device_gb=80", f"trainer.vllm_enable_sleep_mode={sleeps}"
        )
        for sleeps in ("true", "false")
    )
    shape = model_shape(asleep)
    assert rollout(asleep, shape, 1)["vLLM"] == pytest.approx(24e9)
    assert peak(awake, shape, 1) == pytest.approx(sum(estimate(asleep, shape, 1).values()) + 24e9 + 2e9)
    assert peak(asleep, shape, 1) < 80e9 < peak(awake, shape, 1)


def test_vllm_on_a_cpu_holds_weights_and_a_cache_beside_the_policy(no_gpu: None) -> None:
    config = compose_config("rollout=vllm")
    shape = model_shape(config)
    assert rollout(config, shape, 1) == {"vLLM": shape.parameters * 4 + 2**30}
    assert peak(config, shape, 1) > rollout(config, shape, 1)["vLLM"]
