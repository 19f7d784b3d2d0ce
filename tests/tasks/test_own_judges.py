"""Judges of the user's own: what they may look like, what they may return, and what is said when they fail."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.tasks.build import build_task
from r1zero.tasks.own_judges import JudgeFailedError, own_judge
from rewards import Outcome, Verdict

ROOT = Path(__file__).parents[2]
ROW = {"prompt": "Numbers: 1 2 <think>\n", "prefill": "<think>\n", "completion_ids": [4, 5], "level": "easy"}
MODULE = """
from rewards import Outcome, Verdict

def verdict(text, row):
    return Verdict(0.5, Outcome.WRONG, row["level"])

def number(text, row):
    return float(text.endswith("3"))

def reward(prompts, completions, level, **columns):
    assert prompts == ["Numbers: 1 2 <think>\\n"] and level == ["easy"] and columns == {"completion_ids": [[4, 5]]}
    return [-2.5 if completions == ["1 + 2 = 3"] else None]

def picky(completions):
    return [len(completions[0])]

def raises(text, row):
    return row["missing"]

def text(text, row):
    return "good"

def two(completions, **columns):
    return [1.0, 2.0]

def turns(prompts: list[list[dict]], completions: list[list[dict]]):
    assert prompts[0][0]["role"] == "user"
    return [float("3" in turn[0]["content"]) for turn in completions]

async def waits(completions, **columns):
    return [0.5]

def leaves(text, row):
    raise SystemExit("no")

def wants(completions, grade):
    return [1.0]
"""


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Verdict]:
    """What the judge of this name in the user's module says about a completion."""
    (tmp_path / "my_judges.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_judges", raising=False)
    return lambda name: own_judge("mine", f"my_judges:{name}", ROW)("<think>\n1 + 2 = 3", ROW)


@pytest.mark.parametrize(
    ("name", "score", "outcome"),
    [
        ("verdict", 0.5, Outcome.WRONG),
        ("number", 1.0, Outcome.CORRECT),
        ("reward", -2.5, Outcome.WRONG),  # TRL's form; it may pay less than nothing
        ("picky", 9.0, Outcome.CORRECT),
        ("turns", 1.0, Outcome.CORRECT),
        ("waits", 0.5, Outcome.WRONG),
    ],
)
def test_both_forms_and_all_returns(judge: Callable[[str], Verdict], name: str, score: float, outcome: Outcome) -> None:
    verdict = judge(name)
    assert (verdict.score, verdict.outcome) == (score, outcome)


def test_none_is_not_wrong(judge: Callable[[str], Verdict], monkeypatch: pytest.MonkeyPatch) -> None:
    judge("number")
    monkeypatch.setattr(sys.modules["my_judges"], "number", lambda text, row: None)
    assert judge("number").outcome is Outcome.UNGRADEABLE


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "my_judges:raises raised KeyError: 'missing' (my_judges.py, line 18) on the prompt 'Numbers: 1 2"),
        ("leaves", "my_judges:leaves raised SystemExit: no (my_judges.py"),
        ("text", "my_judges:text returned 'good' on the prompt"),
        ("two", "my_judges:two returned [1.0, 2.0]"),
    ],
)
def test_a_judge_that_fails_is_named_with_its_row(judge: Callable[[str], Verdict], name: str, said: str) -> None:
    with pytest.raises(JudgeFailedError) as raised:
        judge(name)
    message = str(raised.value)
    assert said in message and "with the completion '1 + 2 = 3'" in message and "It must return" in message
    assert "\n" not in message


def test_a_column_that_no_row_has_is_refused_at_the_start(judge: Callable[[str], Verdict]) -> None:
    with pytest.raises(ValueError, match=r"my_judges:wants: asks for grade, and a row has prompts, .*level"):
        judge("wants")


def test_it_pays_beside_the_tasks_judge_or_in_its_place(
    judge: Callable[[str], Verdict], tokenizer: PreTrainedTokenizerFast
) -> None:
    sizes = ["task.num_train=8", "task.num_test=4", "reward.judges.mine=my_judges:number"]
    config = compose_config(*sizes)
    task = build_task(config, tokenizer)
    assert config.reward.weights == {"countdown": 1.0, "mine": 1.0}
    assert task.accuracy_judge == "countdown" and set(task.judges) == {"countdown", "format", "mine"}

    config = compose_config(*sizes, "reward.accuracy=mine", "reward.weights.format=0.1")
    task = build_task(config, tokenizer)
    assert config.reward.weights == {"mine": 1.0, "format": 0.1}
    assert task.accuracy_judge == "mine" and task.ballot is None


def test_rows_without_gold_and_their_columns_reach_a_judge_of_ones_own(
    judge: Callable[[str], Verdict], tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows: list[dict[str, Any]] = [
        {"question": f"{number} + 0", "level": "easy", "tags": ["a"], "mixed": number if number else "none"}
        for number in range(5)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["reward.judges.mine=my_judges:verdict", "reward.accuracy=mine"]
    task = build_task(compose_config("task=rows", f"task.source={path}", *own), tokenizer)
    assert set(task.judges) == {"mine", "format"}
    assert [row["level"] for row in task.train] == ["easy"] * 4
    assert [row["mixed"] for row in task.train] == ["none", "1", "2", "3"]
    assert task.train[0]["tags"] == '["a"]'
    assert task.judges["mine"]("anything", task.train[0]).detail == "easy"


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m r1zero.train`` in the user's folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    small = ["trainer.max_steps=1", "trainer.per_device_train_batch_size=8", "trainer.gradient_accumulation_steps=1"]
    small += ["trainer.max_completion_length=8", "task.num_test=4", "eval.greedy=false", "tracker=none"]
    return subprocess.run(
        [sys.executable, "-m", "r1zero.train", *small, "hydra.run.dir=run", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_the_command_in_a_folder_of_ones_own(judge: Callable[[str], Verdict], tmp_path: Path) -> None:
    done = command(tmp_path, "reward.judges.mine=my_judges:number", "reward.weights.countdown=0")
    assert done.returncode == 0, done.stderr[-3000:]
    table = pd.read_parquet(tmp_path / "run" / "completions" / "train_00001.parquet")
    assert (
        set(table["mine/outcome"]) <= {"CORRECT", "WRONG"} and "mine: 1.0" in (tmp_path / "run/config.yaml").read_text()
    )


def test_a_judge_that_raises_ends_the_run_in_one_line(judge: Callable[[str], Verdict], tmp_path: Path) -> None:
    done = command(tmp_path, "reward.judges.mine=my_judges:raises")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "stopped after step 0: reward.judges.mine = my_judges:raises raised KeyError" in line
    assert f"resume={tmp_path / 'run'} begins again" in line
    assert "Traceback" not in done.stderr
