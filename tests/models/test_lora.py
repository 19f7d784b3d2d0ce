"""LoRA: the same gradient with less work, exact resume, and an export that is the adapter merged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixed_completions import LENGTHS, RIGHT, SGD, our_trainer, trl_trainer
from toy import build_tiny_model, compose_config
from transformers import AutoModelForCausalLM, Trainer

from r1zero.models.load import load_model
from r1zero.models.lora import export_merged, load_policy
from r1zero.runs.checkpoints import last_checkpoint
from r1zero.training.memory import estimate
from r1zero.training.model_shape import model_shape

peft = pytest.importorskip("peft", reason="optional: pip install '.[lora]'")
pytestmark = pytest.mark.usefixtures("one_thread")
LORA = ["peft=lora", "peft.rank=4"]


def build(make: Callable[..., Any], tmp_path: Path, name: str, **keys: Any) -> Any:
    torch.manual_seed(0)  # adapters start at random
    model = build_tiny_model(tmp_path / "tiny")
    torch.manual_seed(1)
    return make(model, tmp_path / name, RIGHT, LENGTHS, LORA, **SGD | keys)


def adapter(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_dropped_rows_do_not_change_the_adapter(beta: float, tmp_path: Path) -> None:
    weights = []
    for make in (trl_trainer, our_trainer):
        trainer = build(make, tmp_path, make.__name__, max_steps=2, beta=beta)
        start = adapter(trainer)
        trainer.train()
        weights.append(adapter(trainer))
    assert trainer.savings.drop == (beta == 0)
    trainer.tracker.finish()
    assert max(float((weights[0][name] - start[name]).abs().max()) for name in start) > 1e-3
    for name, weight in weights[0].items():
        assert "lora" in name
        torch.testing.assert_close(weights[1][name], weight, atol=2e-6, rtol=0)


def test_an_adapter_resumes_exactly_and_is_exported_merged(tmp_path: Path) -> None:
    keys = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "optim": "adamw_torch"}
    whole = build(our_trainer, tmp_path, "run", **keys)
    whole.train()
    whole.save_final("adapter")
    whole.tracker.finish()
    checkpoint = next((tmp_path / "run" / "checkpoints").glob("checkpoint-2"))
    assert (checkpoint / "adapter_model.safetensors").exists()
    assert not (checkpoint / "model.safetensors").exists()
    resumed = build(our_trainer, tmp_path, "run", last_step=2, **keys)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    resumed.tracker.finish()
    for name, weight in adapter(whole).items():
        assert torch.equal(weight, adapter(resumed)[name]), name
    assert last_checkpoint(tmp_path / "run" / "checkpoints") is not None

    config = compose_config(*LORA, f"model.path={tmp_path / 'tiny'}")
    export_merged(config, tmp_path / "run" / "checkpoints", 4)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "checkpoints" / "final").eval()
    ids = torch.arange(30, 40)[None]
    whole.model.eval()
    torch.testing.assert_close(merged(ids).logits, whole.model(ids).logits, atol=1e-4, rtol=0)
    with whole.model.disable_adapter():
        assert (whole.model(ids).logits - merged(ids).logits).abs().max() > 1e-3


def test_an_adapter_goes_on_from_itself(tmp_path: Path) -> None:
    """Its weights are where the next run begins; with a KL term they are the reference, so that it starts at 0."""
    first = build(our_trainer, tmp_path, "first", max_steps=2)
    first.train()
    first.save_final("adapter")
    first.tracker.finish()
    folder = tmp_path / "first" / "checkpoints" / "adapter"
    config = compose_config(*LORA, f"model.path={folder}")
    policy = load_policy(config)
    weights = {name: weight for name, weight in policy.named_parameters() if weight.requires_grad}
    assert len(weights) == len(adapter(first))
    for name, weight in adapter(first).items():
        torch.testing.assert_close(weights[name], weight)

    second = our_trainer(
        lambda: load_policy(config), tmp_path / "second", RIGHT, LENGTHS, LORA, **SGD | {"max_steps": 1, "beta": 0.1}
    )
    second.train()
    second.tracker.finish()
    assert next(row["kl"] for row in second.state.log_history if "kl" in row) == pytest.approx(0.0, abs=1e-6)
    merged = load_model(compose_config("peft=none", f"model.path={folder}").model)
    assert all(weight.requires_grad for weight in merged.parameters())  # it can be trained as a whole
    ids = torch.arange(30, 40)[None]
    first.model.eval()
    torch.testing.assert_close(merged.eval()(ids).logits, first.model(ids).logits, atol=1e-4, rtol=0)


def test_the_preflight_counts_adapters(tmp_path: Path) -> None:
    """A rank-4 adapter on a (out, in) weight has 4 x (out + in) parameters."""
    build_tiny_model(tmp_path / "tiny")
    config = compose_config(*LORA, f"model.path={tmp_path / 'tiny'}")
    shape = model_shape(config)
    # Per layer: q and o 32 x 32, k and v 16 x 32, gate and up 48 x 32, down 32 x 48.
    per_layer = 4 * (2 * (32 + 32) + 2 * (16 + 32) + 3 * (48 + 32))
    assert shape.trained == 2 * per_layer
    assert estimate(config, shape, 1)["optimizer"] == shape.trained * 8
