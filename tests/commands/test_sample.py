"""Base beside trained, in the terminal."""

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from toy import compose_config

from r1zero import sample
from r1zero.config.schema import ModelConfig
from r1zero.models.load import load_model, load_tokenizer
from r1zero.rollout.engine import Engine
from r1zero.rollout.sampling import Sampling
from r1zero.runs.reading import load_run
from r1zero.tasks.build import build_task
from r1zero.tasks.prompts import render, render_turns

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


def test_both_sides_grow_in_lockstep() -> None:
    """Each step of one stream is read before the next of the other, and both end as the rollout does."""
    config = ModelConfig(name="nano", path="nano")
    tokenizer = load_tokenizer(config)
    engines = [sample.plain_engine(load_model(config), tokenizer) for _ in range(2)]
    prompt, sampling = "Numbers: 3 5 7 Target: 22 <think>\n", Sampling(max_tokens=30)
    steps = list(zip(*(engine.stream(prompt, "k", sampling) for engine in engines), strict=True))
    assert all(left == right for left, right in steps)
    ((done, text),) = engines[0].sample_texts([prompt], ["k"], sampling)
    assert [left for left, _ in steps] == [engines[0].text(done.ids[:length]) for length in range(1, len(done.ids) + 1)]
    assert steps[-1] == (text, text)


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


def test_a_prompt_is_as_in_training(run_dir: Path) -> None:
    """Of a math task, whose example of an answer is not Countdown's."""
    path = run_dir / "rows.jsonl"
    rows = [{"question": f"What is 1 + {n}?", "answer": str(1 + n)} for n in (1, 2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    template = ("task.template=tinyzero_base", "task.answer_in=[tag]", "task.num_train=1", "task.num_test=1")
    config = compose_config("task=jsonl", "reward=math", f"task.source={path}", *template)
    (run_dir / "config.yaml").write_text(yaml.safe_dump(asdict(config)))
    any_text = SimpleNamespace(unk_token_id=None)
    prompt = sample.full_prompt(load_run(run_dir), " What is 1 + 1? ", any_text)
    assert prompt == build_task(config, any_text).train[0]["prompt"]
    assert "<answer> 42 </answer>" in prompt


def test_columns_keep_line_breaks() -> None:
    assert sample.columns(["a\nb", "c"], 25) == ["a           |  c", "b           |"]


# ---- A conversation ----


def said(
    run_dir: Path, lines: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    sample.main([str(run_dir), "--max-tokens", "8", *more])
    return capsys.readouterr().out


def test_a_conversation_keeps_its_turns(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts: list[str] = []
    stream = Engine.stream

    def recorded(engine: Engine, prompt: str, key: str, sampling: Sampling) -> Iterator[str]:
        prompts.append(prompt)
        return stream(engine, prompt, key, sampling)

    monkeypatch.setattr(Engine, "stream", recorded)
    one, two = "Numbers: 3 5 7 Target: 22", "Numbers: 1 2 3 Target: 6"
    out = said(run_dir, f"{one}\n\nhello\n/help\n{two}\n/reset\n{two}\n/quit\n{one}\n", monkeypatch, capsys)
    first, _, second, _, anew, _ = prompts  # twice each, for base and trained
    assert first == f"{one} <think>\n"
    assert second.startswith(first) and second.endswith(f"\n\n{two} <think>\n") and len(second) > len(first + two) + 12
    assert anew == f"{two} <think>\n"
    assert "error: prompt = 'hello': holds something" in out and "/help: no such command" in out
    assert out.count("now (final)") == 3


def test_the_first_turn_is_the_single_prompt(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(run_dir, "Numbers: 3 5 7 Target: 22\n", monkeypatch, capsys)
    sample.main([str(run_dir), "Numbers: 3 5 7 Target: 22", "--max-tokens", "8"])
    assert out.endswith(capsys.readouterr().out)


def chat(positions: int, max_tokens: int) -> sample.Chat:
    config = ModelConfig(name="nano", path="nano")
    engine = sample.plain_engine(load_model(config), load_tokenizer(config))
    return sample.Chat([engine], ["now"], None, Sampling(max_tokens=max_tokens), 0, positions)


def test_what_does_not_fit_drops_the_oldest_turns_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    talk = chat(positions=40, max_tokens=8)
    for _ in range(4):
        talk.say("Numbers: 3 5 7 Target: 22 <think>")  # 9 tokens with <bos>; a whole turn has up to 18
    out = capsys.readouterr().out
    assert "(The models read 40 tokens: the oldest turns, " in out
    assert len(talk.turns[0]) == 4
    with pytest.raises(ValueError, match=r"prompt: \d+ tokens and up to 8 of the reply, and the model reads 40"):
        talk.say("3 " * 40)
    assert len(talk.turns[0]) == 4


def test_a_chat_template_holds_the_conversation() -> None:
    tokenizer = load_tokenizer(ModelConfig(name="nano", path="nano"))
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[go]{% endif %}"
    )
    task = compose_config("task=gsm8k", "reward=math", "task.template=boxed_chat").task
    text = render_turns([("one?", "1")], "two?", task, tokenizer)
    roles = [part.split("]")[0] for part in text.split("[")[1:]]
    assert roles == ["system", "user", "assistant", "user", "go"]
    assert "[assistant]1[user]two?" in text
    assert render_turns([], "two?", task, tokenizer) == render("two?", task, tokenizer)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, EOFError])
def test_ctrl_c_and_ctrl_d_end_it(
    run_dir: Path, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(prompt: str) -> str:
        raise ends

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", interrupted)
    sample.main([str(run_dir)])
    assert capsys.readouterr().out.endswith("/quit or Ctrl-D ends.\n\n")
