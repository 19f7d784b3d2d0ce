"""Every alarm, provoked in a small run of the real trainer; and a healthy run, which is silent."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fixed_completions import fix_completions
from toy import build_tiny_model, compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.config.schema import AlarmConfig, Config
from r1zero.evaluating.accuracy import HeldOutAccuracy
from r1zero.measuring.alarms import ALARMS, raised, training_rows
from r1zero.models.load import load_model, load_tokenizer
from r1zero.reporting.page import write_page
from r1zero.rollout.sampling import Completion
from r1zero.runs.metrics import Row, read_metrics
from r1zero.runs.reading import load_run
from r1zero.tasks.build import build_task
from r1zero.tasks.task import Task
from r1zero.training.settings import grpo_config
from r1zero.training.trainer import R1ZeroTrainer
from r1zero.watching.tracking import Tracker
from rewards import Outcome, Verdict

SMALL = {
    "num_generations": 4,
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 1,
    "max_completion_length": 24,
    "max_steps": 4,
    "eval_strategy": "no",
    "eval_on_start": False,
    "warmup_steps": 0,
}
STEPS = 3  # alarms.num_steps in these tests


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost these tiny matrices more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def compose_small(*overrides: str, **trainer: Any) -> Config:
    keys = SMALL | trainer
    return compose_config(
        "tracker=none",
        f"alarms.num_steps={STEPS}",
        "task.num_train=256",
        "task.num_test=16",
        *(f"++trainer.{key}={value}" for key, value in keys.items()),
        *overrides,
    )


def train(config: Config, run_dir: Path, task: Task | None = None) -> Path:
    """Train ``config`` on its own task or on ``task``; the run directory."""
    tokenizer = load_tokenizer(config.model)
    task = task or build_task(config, tokenizer)
    run_dir.mkdir()
    trainer = R1ZeroTrainer(
        config,
        grpo_config(config, run_dir),
        task,
        HeldOutAccuracy(task, config.eval, config.seed),
        load_model(config.model),
        tokenizer,
        run_dir,
        Tracker(config, run_dir, config.trainer["max_steps"]),
    )
    trainer.train()
    trainer.tracker.finish()
    return run_dir


def alarms_of(run_dir: Path) -> set[str]:
    """Alarms that were on at any step."""
    rows, _ = read_metrics(run_dir / "metrics.jsonl")
    return {key.removeprefix("alarm/") for row in rows for key in row if key.startswith("alarm/") and row[key] == 1.0}


def messages(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if f"alarm/{name} " in record.getMessage()]


@pytest.fixture
def tiny_path(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A random model on disk: it writes noise, never an answer."""
    build_tiny_model(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_that_writes_noise(tiny_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is ever solved, in the right form, or finished: three alarms, each said once, with a completion."""
    config = compose_small(f"model.path={tiny_path}", "reward=tinyzero")
    with caplog.at_level(logging.WARNING):
        run_dir = train(config, tmp_path / "run")
    assert {"no_signal", "format_stuck", "truncation"} <= alarms_of(run_dir)
    for name in ("no_signal", "format_stuck", "truncation"):
        assert len(messages(caplog, name)) == 1
        assert f"alarm/{name} at step 3" in messages(caplog, name)[0]
    (said,) = messages(caplog, "format_stuck")
    assert "<think> ... </think> ... <answer> ... </answer>" in said
    assert "completion: '" in said and "NO_ANSWER" in said and "prompt: 'Numbers:" in said
    assert "Groups all wrong: 100.0%" in messages(caplog, "no_signal")[0]
    assert "cut off at 24 tokens" in messages(caplog, "truncation")[0]
    page = write_page(load_run(run_dir), live=False).read_text()
    assert 'id="alarm-format_stuck"' in page and "Compare the completion below with the form." in page


def seven_judge(text: str, row: Any) -> Verdict:
    """Pays for the number 7, whatever it is good for."""
    words = text.split()
    return Verdict(words.count("7") / max(1, len(words)), Outcome.WRONG, "share of sevens")


def never_judge(text: str, row: Any) -> Verdict:
    """Finds every answer wrong."""
    return Verdict(0.0, Outcome.WRONG)


def test_a_policy_that_games_a_judge(tiny_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It learns to write sevens: the reward rises, the accuracy does not, entropy falls, loops and KL grow."""
    config = compose_small(
        f"model.path={tiny_path}",
        max_steps=24,
        learning_rate=3e-2,
        lr_scheduler_type="constant",
        beta=1e-4,
    )
    rows = [{"prompt": f"Numbers: {n} 2 3 Target: {n} <think>\n", "prefill": "", "target": n} for n in range(4, 20)]
    config.reward.weights = {"never": 0.5, "sevens": 1.0}
    task = Task("toy", rows, rows[:4], {"never": never_judge, "sevens": seven_judge}, "never")
    with caplog.at_level(logging.WARNING):
        run_dir = train(config, tmp_path / "run", task)
    assert {"reward_hack", "entropy_collapse", "repetition", "kl_blow_up"} <= alarms_of(run_dir)
    (said, *_) = messages(caplog, "reward_hack")
    assert "sevens +" in said and "reward.weights" in said and "7 7 7" in said
    page = write_page(load_run(run_dir), live=False).read_text()
    assert 'id="alarm-reward_hack"' in page and "sevens: WRONG" in page


def run_with_fixed_completions(
    make_trainer: Callable[..., R1ZeroTrainer],
    right: list[bool | None],
    lengths: Callable[[int], list[int]],
    steps: int,
) -> Path:
    """A run whose completions are fixed; ``lengths`` gives those of a step."""
    trainer = make_trainer(max_steps=steps, max_completion_length=40, learning_rate=1e-6)
    trainer.config.alarms.num_steps = STEPS

    def sample_ids(*arguments: Any) -> list[Completion]:
        fix_completions(trainer, right, lengths(trainer.state.global_step))
        completions = trainer.engine.sample(*arguments)
        trainer.engine.sample = sample_ids  # fix_completions has put its own in place
        return completions

    trainer.engine.sample = sample_ids
    trainer.train()
    return trainer.run_dir


def test_wrong_answers_that_grow(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """Rows 0, 4, 8, 12 are right and stay at 6 tokens; the wrong ones grow from 6 to 36."""
    right = [True, False, False, False]
    run_dir = run_with_fixed_completions(make_trainer, right, lambda step: [6, *[6 + 5 * step] * 3], steps=7)
    assert "wrong_length" in alarms_of(run_dir)


def test_correct_answers_that_grow_as_much(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    run_dir = run_with_fixed_completions(
        make_trainer, [True, False, False, False], lambda step: [6 + 5 * step] * 4, steps=7
    )
    assert "wrong_length" not in alarms_of(run_dir)


def test_completions_that_cannot_be_judged(
    make_trainer: Callable[..., R1ZeroTrainer], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run_dir = run_with_fixed_completions(make_trainer, [True, False, None, False], lambda step: [5], steps=4)
    assert "ungradeable" in alarms_of(run_dir)
    (said,) = messages(caplog, "ungradeable")
    assert "25.0%" in said and "thirteen" in said  # the judge's own word for it


def test_a_rollout_with_other_weights(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """As when an update does not reach the rollout: it samples from weights that the trainer does not have."""
    trainer = make_trainer(max_steps=4, learning_rate=1e-6)
    trainer.config.alarms.num_steps = STEPS
    honest = trainer.engine.sample

    def stale(*arguments: Any) -> list[Completion]:
        saved = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
        with torch.no_grad():
            for weight in trainer.model.parameters():
                weight.mul_(0.8)
        completions = honest(*arguments)
        with torch.no_grad():
            for name, weight in trainer.model.named_parameters():
                weight.copy_(saved[name])
        return completions

    trainer.engine.sample = stale
    trainer.train()
    assert "logprob_mismatch" in alarms_of(trainer.run_dir)


def test_an_honest_rollout_agrees_with_training(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    trainer = make_trainer(max_steps=3)
    trainer.train()
    rows = training_rows(read_metrics(trainer.run_dir / "metrics.jsonl")[0])
    assert all(row["sampling/sampling_logp_difference/max"] < 1e-4 for row in rows)
    assert {"emergence/tries/all", "groups/mixed", "cost/device_hours", "train/accuracy"} <= rows[-1].keys()


def test_a_plateau_after_learning_is_silent() -> None:
    """Wrong answers stay three times as long as at the start, where the accuracy stays that it reached meanwhile."""
    rows: list[Row] = []
    for step in range(200):
        learned = min(1.0, step / 50)
        rows.append(
            {
                "train/accuracy": 0.15 + 0.5 * learned + 0.02 * (step % 2),
                "completions/mean_length_wrong": 40 + 100 * learned,
                "completions/mean_length_correct": 45 + 25 * learned,
            }
        )
        assert raised(rows, AlarmConfig(), "countdown") == {}


def test_a_healthy_run_is_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The default run's model and task, shorter; the default run itself is silent in all its 170 steps, too."""
    config = compose_small(max_steps=8, per_device_train_batch_size=32, max_completion_length=96, learning_rate=3e-4)
    with caplog.at_level(logging.WARNING, logger="r1zero"):
        run_dir = train(config, tmp_path / "run")
    assert alarms_of(run_dir) == set()
    assert not [record for record in caplog.records if "alarm/" in record.getMessage()]
    assert set(ALARMS) == {
        key.removeprefix("alarm/") for key in read_metrics(run_dir / "metrics.jsonl")[0][-1] if key.startswith("alarm/")
    }


def stuck_row(step: int) -> dict[str, float]:
    return {
        "step": step,
        "reward": 0.0,
        "frac_reward_zero_std": 1.0,
    }


def test_an_alarm_needs_all_its_steps() -> None:
    limits = AlarmConfig(num_steps=3)
    rows = [stuck_row(step) for step in range(1, 4)]
    assert set(raised(rows, limits, "toy")) == {"no_signal"}
    assert not raised(rows[:2], limits, "toy")
    assert not raised([*rows, rows[0] | {"frac_reward_zero_std": 0.5}], limits, "toy")
    assert not raised([], limits, "toy")


def test_kl_that_is_no_number() -> None:
    assert "not a number" in raised([{"step": 1, "reward": 0.0, "kl": None}], AlarmConfig(), "toy")["kl_blow_up"]


def test_thresholds_are_checked() -> None:
    with pytest.raises(ValueError, match=r"alarms.num_steps = 0: must be above 0"):
        compose_config("alarms.num_steps=0")
