"""The task `code`: rows as they are published, and training through the sandbox, offline."""

import base64
import json
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.tasks.build import build_task
from r1zero.tasks.code import CodeJudge
from r1zero.tasks.code_data import checked_problem, load_code_problems, private_cases
from rewards import Outcome
from rewards.code_tests import JudgeUnavailableError
from sandbox import Result, Sandbox, SandboxUnavailableError, Status

ROOT = Path(__file__).parents[2]
HUMANEVAL = {
    "task_id": "x/0",
    "prompt": "def double(n):\n    '''Twice n.'''\n",
    "entry_point": "double",
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(4) == 8\n",
}
MBPP = {
    "text": "Write a function to double a number.",
    "code": "def double(n):\n    return 2 * n",
    "test_list": ["assert set([double(4)]) == {8}", "assert double(0) == 0"],
    "test_setup_code": "",
}
APPS = {
    "question": "Double it.",
    "input_output": json.dumps({"inputs": ["4\n"], "outputs": ["8\n"]}),
    "starter_code": "",
}
APPS_FUNCTION = {
    "question": "Double it.",
    "input_output": json.dumps({"fn_name": "double", "inputs": [[4]], "outputs": [[8]]}),
    "starter_code": "class Solution:",
}
CASES = [{"input": "4", "output": "8", "testtype": "functional"}]
LIVECODEBENCH = {
    "question_content": "Double it.",
    "public_test_cases": json.dumps(CASES),
    "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(json.dumps(CASES)))).decode(),
    "starter_code": "",
    "metadata": json.dumps({"func_name": "double"}),
}
OWN = {
    "question": "Double it.",
    "tests": {"type": "function", "entry": "double", "tests": [{"args": [4], "expected": 8}]},
}
ROWS = [HUMANEVAL, MBPP, APPS, APPS_FUNCTION, LIVECODEBENCH, OWN]


@pytest.fixture(scope="module")
def available() -> None:
    try:
        Sandbox(workers=1).close()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


def test_published_shapes_are_judged(available: None, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [{**OWN, "question": "To train on."}, *ROWS]))
    config = compose_config(
        "task=code", "reward=code", f"task.source={path}", "task.num_train=1", "task.num_test=6", "task.num_workers=1"
    )
    task = build_task(config, tokenizer)
    script = "```python\nprint(2 * int(input()))\n```"
    function = "<answer>\n```python\ndef double(n):\n    return 2 * n\n```\n</answer>"
    for row in task.test:
        right, other = (script, function) if "stdin" in row["tests"] else (function, script)
        verdicts = task.judges["code"].judge_all([right, other, "?"], [row] * 3)  # type: ignore[attr-defined]
        assert [verdict.outcome for verdict in verdicts] == [Outcome.CORRECT, Outcome.WRONG, Outcome.NO_ANSWER], row


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, "none of the known sets of columns"),
        ([1], "needs an object with columns"),
        ({**APPS, "input_output": "{"}, "row 1: cannot be judged"),
        ({**MBPP, "test_list": ["assert True"]}, "no function is called"),
        ({**OWN, "tests": {"type": "stdin", "tests": []}}, "one or more"),
    ],
)
def test_a_bad_row_is_named(row: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_problem("rows, row 1", row)


def test_a_pickle_that_names_anything_is_refused() -> None:
    packed = base64.b64encode(zlib.compress(pickle.dumps(Path))).decode()
    with pytest.raises(ValueError, match="it names pathlib"):
        private_cases(packed)


def test_too_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(OWN))
    with pytest.raises(ValueError, match="has 1 rows"):
        load_code_problems(str(path), "train", 1, 1)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps(OWN).encode() + b'\n{"question": "\xe9"}\n')
    with pytest.raises(ValueError, match=r"latin.jsonl: cannot be read as UTF-8 text"):
        load_code_problems(str(path), "train", 1, 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.score=most", "task.score = most: must be one of all, fraction"),
        ("task.backend=docker", "task.backend = docker"),
        ("task.backend=http", "task.endpoint = null"),
        ("task.timeout_s=0", "task.timeout_s = 0"),
        ("task.max_infrastructure_errors=2", "must be in"),
        ("task.min_level=0", "must be one of 1, 2, 3"),
        ("task.template=r1_zero", "generated code rows are for the embedded model"),
    ],
)
def test_a_wrong_value_says_what_to_set(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("task=code_nano", "reward=code", override)


def test_the_target_alone_is_no_answer(available: None, tokenizer: PreTrainedTokenizerFast) -> None:
    config = compose_config("task=code_nano", "reward=code", "task.num_train=1", "task.num_test=1")
    task = build_task(config, tokenizer)
    row = {
        "tests": json.dumps({"type": "function", "entry": "answer", "tests": [{"args": [], "expected": 6}]}),
        "prefix": "answer = lambda: ",
        "numbers": [1, 2, 3],
    }
    assert set(row) | {"prompt", "prefill"} == set(task.train[0])
    cases = [
        ("1 + 2 + 3", 1.0),
        ("6", 0.0),
        ("6 + 1 - 1", 0.0),
        ("1 * 2 * 3", 1.0),
        ("1 + 2 + 3 + 0", 0.0),
        ("123", 0.0),
    ]
    answers = [f"<answer>{answer}</answer>" for answer, _ in cases]
    verdicts = task.judges["code"].judge_all(answers, [row] * len(cases))  # type: ignore[attr-defined]
    assert [verdict.score for verdict in verdicts] == [score for _, score in cases]


class Down:
    """A sandbox that is out of order."""

    def run(self, *_: Any, **__: Any) -> Result:
        return Result(Status.INFRASTRUCTURE_ERROR, error="no server")

    def call(self, *_: Any, **__: Any) -> tuple[Result, None]:
        return self.run(), None


def test_a_broken_sandbox_stops_the_run() -> None:
    config = compose_config("task=code_nano", "reward=code").task
    judge = CodeJudge(Down(), config)  # type: ignore[arg-type]
    row = {"tests": json.dumps(OWN["tests"]), "prefix": "", "numbers": []}
    assert judge("<answer>x</answer>", row).outcome is Outcome.UNGRADEABLE
    with pytest.raises(JudgeUnavailableError, match=r"task\.max_infrastructure_errors"):
        judge.judge_all(["<answer>x</answer>"] * 4, [row] * 4)


def test_training_through_the_sandbox(available: None, tmp_path: Path) -> None:
    overrides = [
        "task=code_nano", "reward=code", "tracker=none", "task.num_test=16", "task.num_train=32",
        "trainer.per_device_train_batch_size=8", "trainer.gradient_accumulation_steps=2",
        "trainer.max_completion_length=60", "trainer.max_steps=2", "eval.greedy=false", "trainer.eval_steps=2",
    ]  # fmt: skip
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "r1zero.train", *overrides, f"hydra.run.dir={run_dir}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert rows[1]["outcome/code/UNGRADEABLE"] == 0
    frame = pd.concat(pd.read_parquet(run_dir / "completions" / f"train_0000{step}.parquet") for step in (1, 2))
    assert set(frame["code/outcome"]) <= {"CORRECT", "WRONG", "NO_ANSWER"}
    assert "WRONG" in set(frame["code/outcome"])  # programs ran, and their values were compared
    assert frame["code/detail"].str.contains("returned").any()
