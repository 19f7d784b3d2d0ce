"""The trainer: advantages and losses worked by hand, and numbers that do not depend on padding or on the split."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fixed_completions import EOS, LENGTHS, RIGHT, SGD, fix_completions
from toy import compose_config
from trl import GRPOTrainer

from r1zero.training.micro_batches import worth_sharing
from r1zero.training.settings import grpo_config
from r1zero.training.trainer import R1ZeroTrainer


def trained_weights(trainer: R1ZeroTrainer) -> dict[str, torch.Tensor]:
    """The weights after ``trainer.train()``."""
    trainer.train()
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def advantages_of(trainer: R1ZeroTrainer) -> list[float]:
    """The advantages that were used, in prompt order, from the file of completions."""
    frame = pd.read_parquet(trainer.run_dir / "completions" / "train_00001.parquet")
    return frame["advantage"].tolist()


def test_advantages_by_hand(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """Rewards 1 0 0 0: mean 0.25, sample std 0.5; (1 - 0.25) / (0.5 + 1e-4) = 1.4997, -0.25 / 0.5001 = -0.4999."""
    trainer = make_trainer()
    fix_completions(trainer, [True, False, False, False], [5])
    trainer.train()
    assert advantages_of(trainer)[:4] == pytest.approx([1.4997, -0.4999, -0.4999, -0.4999], abs=1e-4)


def test_advantages_without_scaling_are_reward_minus_mean(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """Dr. GRPO (arXiv 2503.20783): rewards 1 1 0 0, mean 0.5, nothing divides."""
    trainer = make_trainer(scale_rewards="none", loss_type="dr_grpo")
    fix_completions(trainer, [True, True, False, False], [5])
    trainer.train()
    assert advantages_of(trainer)[:4] == pytest.approx([0.5, 0.5, -0.5, -0.5])


def test_an_ungradeable_completion_leaves_the_baseline(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """Rewards 1 0 None 0: mean 1/3 and sample std sqrt(1/3) = 0.5774 over three; the fourth moves nothing.

    (1 - 1/3) / 0.5775 = 1.1545; (0 - 1/3) / 0.5775 = -0.5772. With None as 0 they would be 1.4997 and -0.4999.
    """
    trainer = make_trainer()
    fix_completions(trainer, [True, False, None, False], [5])
    trainer.train()
    assert advantages_of(trainer)[:4] == pytest.approx([1.1545, -0.5772, 0.0, -0.5772], abs=1e-4)
    frame = pd.read_parquet(trainer.run_dir / "completions" / "train_00001.parquet")
    assert frame["toy/outcome"][2] == "UNGRADEABLE"
    assert pd.isna(frame["toy/score"][2])


def loss_inputs(trainer: R1ZeroTrainer, ratio: float | None) -> dict[str, Any]:
    """Two rows of 2 and 4 completion tokens, advantages 1 and -1; ``ratio`` is new over old probability."""
    prompt = torch.tensor([[1, 30], [1, 31]])
    completion = torch.tensor([[40, EOS, 0, 0], [41, 42, 43, EOS]])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    inputs = {
        "prompt_ids": prompt,
        "prompt_mask": torch.ones_like(prompt),
        "completion_ids": completion,
        "completion_mask": mask,
        "advantages": torch.tensor([1.0, -1.0]),
        "num_items_in_batch": mask.sum(),
    }
    if ratio is not None:
        with torch.no_grad():
            new, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model, torch.cat([prompt, completion], 1), torch.cat([torch.ones_like(prompt), mask], 1), 4
            )
        inputs["old_per_token_logps"] = new - torch.tensor(ratio).log()
    return inputs


@pytest.mark.parametrize(
    ("loss_type", "ratio", "expected"),
    [
        # Ratio 1, so a token costs -A. dapo: (2 x -1 + 4 x 1) / 6 tokens.
        ("dapo", None, 2 / 6),
        # grpo: mean over rows of the row's mean: (-1 + 1) / 2.
        ("grpo", None, 0.0),
        # dr_grpo: the sum over (2 rows x 12 tokens, the longest allowed): (-2 + 4) / 24.
        ("dr_grpo", None, 2 / 24),
        # Ratio 1.5, clipped to 1.2 where A > 0 (min takes the smaller gain): row 1 costs -1.2 a token, row 2 +1.5.
        ("dapo", 1.5, (2 * -1.2 + 4 * 1.5) / 6),
        ("grpo", 1.5, (-1.2 + 1.5) / 2),
        ("dr_grpo", 1.5, (2 * -1.2 + 4 * 1.5) / 24),
        # Ratio 0.5: not clipped where A > 0 (-0.5 a token); clipped to 0.8 where A < 0 (+0.8).
        ("dapo", 0.5, (2 * -0.5 + 4 * 0.8) / 6),
        ("grpo", 0.5, (-0.5 + 0.8) / 2),
        ("dr_grpo", 0.5, (2 * -0.5 + 4 * 0.8) / 24),
    ],
)
def test_losses_by_hand(
    make_trainer: Callable[..., R1ZeroTrainer], loss_type: str, ratio: float | None, expected: float
) -> None:
    trainer = make_trainer(loss_type=loss_type, gradient_accumulation_steps=1, per_device_train_batch_size=16)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, loss_inputs(trainer, ratio))
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_the_first_step_has_ratio_one(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """Sampling log-probs of our rollouts against the training forward: what vLLM users see as mismatch is zero here."""
    trainer = make_trainer(temperature=0.8)
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    inputs = trainer._prepare_inputs(batch)
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    with torch.no_grad():
        now, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, inputs["completion_ids"].size(1)
        )
    ratio = (now - inputs["sampling_per_token_logps"]).exp()[inputs["completion_mask"].bool()]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo"])
def test_the_micro_batch_split_does_not_change_the_weights(
    make_trainer: Callable[..., R1ZeroTrainer], loss_type: str
) -> None:
    weights = []
    for per_device, accumulation in ((16, 1), (8, 2), (4, 4)):
        trainer = make_trainer(
            loss_type=loss_type,
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=accumulation,
            **SGD,
        )
        start = copy.deepcopy(trainer.model.state_dict())
        fix_completions(trainer, RIGHT, LENGTHS)
        weights.append(trained_weights(trainer))
        trainer.model.load_state_dict(start)
    for other in weights[1:]:
        for name, weight in weights[0].items():
            torch.testing.assert_close(other[name], weight, atol=2e-6, rtol=0)


def test_padding_does_not_change_the_loss(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    trainer = make_trainer(gradient_accumulation_steps=1, per_device_train_batch_size=16)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = loss_inputs(trainer, None)
    padded = dict(inputs)
    for key, fill in (("prompt_ids", 0), ("prompt_mask", 0)):
        padded[key] = torch.nn.functional.pad(inputs[key], (3, 0), value=fill)
    for key, fill in (("completion_ids", 0), ("completion_mask", 0)):
        padded[key] = torch.nn.functional.pad(inputs[key], (0, 5), value=fill)
    losses = [trainer._compute_loss(trainer.model, batch) for batch in (inputs, padded)]
    gradients = []
    for loss in losses:
        trainer.model.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in trainer.model.parameters()])
    torch.testing.assert_close(losses[0], losses[1])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("attention", "dtype"), [("sdpa", torch.float64), ("eager", torch.float32)])
def test_a_shared_prompt_gives_the_same_log_probs_and_gradients(
    make_trainer: Callable[..., R1ZeroTrainer], attention: str, dtype: torch.dtype
) -> None:
    """Eager attention cannot mask in float64: its softmax is float32, where the lowest float64 is minus infinity."""
    trainer = make_trainer(temperature=0.7)
    trainer.model.set_attn_implementation(attention)
    trainer.model.to(dtype).train()
    prompts = [[5, 6, 7, 8, 9], [5, 6], [9]]  # a prompt of one token has nothing in front of its last
    ids, mask = torch.zeros(12, 12, dtype=torch.long), torch.zeros(12, 12, dtype=torch.long)
    for row in range(12):
        prompt, length = prompts[row % 3], 1 + row % 7
        ids[row, 5 - len(prompt) : 5 + length] = torch.tensor([*prompt, *range(20 + row, 20 + row + length)])
        mask[row, 5 - len(prompt) : 5 + length] = 1
    assert worth_sharing(ids[:6, :5], 7)
    found = []
    for cls in (GRPOTrainer, R1ZeroTrainer):
        logprobs, entropies, _ = cls._get_per_token_logps_and_entropies(
            trainer, trainer.model, ids, mask, 7, batch_size=6, compute_entropy=True
        )
        trainer.model.zero_grad()
        (logprobs * torch.linspace(-1, 1, 84).view(12, 7)).sum().backward()
        found.append((logprobs, entropies, *(p.grad.clone() for p in trainer.model.parameters())))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)  # the head is float32


def test_prompts_are_not_shared_where_it_cannot_work(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    trainer = make_trainer()
    trainer.model.train()
    assert trainer.may_share_prompts(trainer.model)
    trainer.model.gradient_checkpointing_enable()
    assert not trainer.may_share_prompts(trainer.model)
    trainer.model.eval()  # as the reference model is
    assert trainer.may_share_prompts(trainer.model)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Whatever tests before have left."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_two_threads_add_up_the_same_gradient_every_time(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """A resumed run ends with the same weights only if the gradient of a shared prompt does not depend on chance."""
    trainer = make_trainer()
    trainer.model.train()
    ids = torch.randint(30, 200, (256, 72), generator=torch.Generator().manual_seed(0))
    ids[:, :64] = ids[0, :64]  # one prompt for all rows: enough of them that the threads share the work
    gradients = []
    for _ in range(8):
        trainer.model.zero_grad()
        logprobs, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 8)
        logprobs.square().sum().backward()
        gradients.append([weight.grad.clone() for weight in trainer.model.parameters()])
    for other in gradients[1:]:
        for one, same in zip(gradients[0], other, strict=True):
            assert torch.equal(one, same)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has bfloat16")
def test_bfloat16_without_a_gpu_says_what_to_set(tmp_path: Path) -> None:
    config = compose_config("tracker=none", "trainer.bf16=true")
    with pytest.raises(ValueError, match=r"^trainer.bf16 = True without a GPU: set trainer.bf16=false"):
        grpo_config(config, tmp_path)
