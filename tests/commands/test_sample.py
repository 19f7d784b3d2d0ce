"""Base beside trained, in the terminal."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from conftest import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero import sample
from r1zero.config.schema import ModelConfig
from r1zero.models.load import load_model, load_tokenizer
from r1zero.rollout.decode import decode
from r1zero.rollout.sampling import Sampling
from r1zero.rollout.stream import stream

WEIGHTS = Path(__file__).parents[2] / "r1zero" / "nano" / "weights"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run whose trained model is the base itself."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(asdict(compose_config())))
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    shutil.copytree(WEIGHTS, tmp_path / "checkpoints" / "final")
    return tmp_path


def test_two_equal_models_write_the_same(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample.main([str(run_dir), "Numbers: 3 5 7 Target: 22", "--max-tokens", "12", "--seed", "3"])
    prompt, _, titles, _, *lines = capsys.readouterr().out.splitlines()
    assert prompt == "Numbers: 3 5 7 Target: 22 <think>"
    assert titles.split() == ["step", "0", "|", "now", "(final)"]
    sides = [line.split(sample.GAP.rstrip()) for line in lines]
    assert any(left.strip() for left, _ in sides)
    assert all(left.strip() == right.strip() for left, right in sides)


def test_the_stream_is_what_the_rollout_samples(tokenizer: PreTrainedTokenizerFast) -> None:
    config = ModelConfig(name="nano", path="nano")
    model, tokenizer = load_model(config).eval(), load_tokenizer(config)
    prompt, sampling = "Numbers: 3 5 7 Target: 22 <think>\n", Sampling(max_tokens=30)
    *_, text = stream(model, tokenizer, prompt, sampling, "k")
    ids = tokenizer(prompt)["input_ids"]
    (done,) = decode(model, [ids], ["k"], sampling, [tokenizer.eos_token_id], tokenizer.pad_token_id)
    assert text == tokenizer.decode(done.ids, skip_special_tokens=True)


def test_the_newest_checkpoint_is_taken(run_dir: Path) -> None:
    for step in (5, 40):
        shutil.copytree(WEIGHTS, run_dir / "checkpoints" / f"checkpoint-{step}")
    assert sample.newest_checkpoint(run_dir).name == "final"
    shutil.rmtree(run_dir / "checkpoints" / "final")
    assert sample.newest_checkpoint(run_dir).name == "checkpoint-40"


@pytest.mark.parametrize(
    ("break_it", "prompt", "said"),
    [
        (True, "Numbers: 3 5 7 Target: 22", "holds no model yet"),
        (False, "What is two and two?", "cannot write"),
    ],
)
def test_what_cannot_be_sampled_is_said(
    run_dir: Path, capsys: pytest.CaptureFixture[str], break_it: bool, prompt: str, said: str
) -> None:
    if break_it:
        shutil.rmtree(run_dir / "checkpoints")
    with pytest.raises(SystemExit) as exit_info:
        sample.main([str(run_dir), prompt])
    assert exit_info.value.code == 2
    assert said in capsys.readouterr().err


def test_columns_keep_line_breaks() -> None:
    assert sample.columns(["a\nb", "c"], 25) == ["a           |  c", "b           |"]
