"""Top-k, top-p and min-p: what is trained is the distribution that the tokens were drawn from."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from r1zero.rollout.sampling import Sampling
from r1zero.training.cut_sampling import cut_logprobs
from r1zero.training.trainer import R1ZeroTrainer
from rewards import Outcome, Verdict

pytestmark = pytest.mark.usefixtures("one_thread")

MISMATCH = "sampling/sampling_logp_difference"


def any_text_judge(text: str, row: Any) -> Verdict:
    """Pays for what a random model may write, so that there is something to learn."""
    return Verdict(sum(map(ord, text)) % 5 / 4, Outcome.WRONG)


def first_step(trainer: R1ZeroTrainer) -> dict[str, float]:
    """The metrics of a trainer's first step."""
    seen: list[dict[str, float]] = []
    trainer.tracker.log = lambda step, metrics: seen.append(metrics)  # type: ignore[method-assign]
    trainer.train()
    return next(metrics for metrics in seen if "loss" in metrics)


def test_by_hand() -> None:
    """Probabilities 1/2, 1/4, 1/8, 1/8; the two likeliest are left, as 2/3 and 1/3."""
    logits = torch.tensor([[4.0, 2.0, 1.0, 1.0]]).log().requires_grad_()
    log_prob, entropy = cut_logprobs(logits, torch.tensor([1]), Sampling(1, top_k=2))
    assert log_prob.exp().item() == pytest.approx(1 / 3)
    assert entropy.item() == pytest.approx(0.63651, abs=1e-5)  # -(2/3 ln 2/3 + 1/3 ln 1/3)
    log_prob.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-2 / 3, 2 / 3, 0.0, 0.0]]))  # nothing outside the cut


def test_the_token_that_was_drawn_is_kept() -> None:
    log_prob, _ = cut_logprobs(torch.tensor([[4.0, 2.0, 1.0, 1.0]]).log(), torch.tensor([2]), Sampling(1, top_k=1))
    assert log_prob.exp().item() == pytest.approx(1 / 5)  # of 4 and 1


@pytest.mark.parametrize("how", [{"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.3, "temperature": 0.8}])
@pytest.mark.parametrize("batch", [{}, {"num_iterations": 2}])
def test_rollout_and_training_agree(
    how: dict[str, Any], batch: dict[str, Any], make_trainer: Callable[..., R1ZeroTrainer]
) -> None:
    """With prompts shared and with a forward pass for the old log-probs; and the whole distribution would not agree."""
    metrics = first_step(make_trainer(**how, **batch, judge=any_text_judge, eval_on_start="false"))
    assert metrics[f"{MISMATCH}/max"] < 1e-4
    assert metrics["grad_norm"] > 0


def test_a_training_forward_without_the_cut_is_seen(
    make_trainer: Callable[..., R1ZeroTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1zero.training.trainer.score_as_drawn", lambda *given: None)
    assert (
        first_step(make_trainer(top_p=0.6, judge=any_text_judge, eval_on_start="false"))[f"{MISMATCH}/mean"] > 0.05
    )  # the threshold of the alarm
