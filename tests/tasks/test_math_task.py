"""Math tasks: field names of published data, golds that leave the data, templates, recipe judges, and a whole run."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.config.tasks import MathConfig
from r1zero.tasks.build import build_task
from r1zero.tasks.math_data import gold_of, prompt_of
from rewards import Outcome

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("row", "question", "gold"),
    [
        ({"question": "Q", "answer": "5 + 7 = <<5+7=12>>12\n#### 1,200"}, "Q", "1,200"),  # GSM8K
        (
            {"problem": "Q", "solution": r"so \boxed{\frac{1}{2}}.", "answer": r"\frac{1}{2}"},
            "Q",
            r"\frac{1}{2}",
        ),  # MATH-500
        ({"problem": "Q", "level": "Level 5", "solution": r"so \boxed{7}."}, "Q", "7"),  # MATH
        ({"Problem": "Q", "Solution": "..", "Answer": 204}, "Q", "204"),  # AIME, whole numbers
        ({"problem": "Q", "solution": r"so \boxed{7}.", "answer": None}, "Q", "7"),  # an empty answer column
        (
            {
                "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}],
                "reward_model": {"ground_truth": "34", "style": "rule"},
            },
            "Q",
            "34",
        ),  # DAPO-17k
        ({"question": "Q", "gt_answer": "3", "subject": "Algebra"}, "Q", "3"),  # SimpleRL
        ({"QUESTION": "Q", "ANSWER": 5}, "Q", "5"),
        ({"q": "Q", "a": 5}, "Q", "5"),
        (
            {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": r"so \boxed{3}"}]},
            "Q",
            "3",
        ),  # chat templates
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "4"}]}, "Q", "4"),  # ShareGPT
        ({"question": "Q", "final_answer": ["2", "-2"]}, "Q", "2, -2"),  # OlympiadBench
        ({"problem": "Q", "solution": r"or \boxed{10}\%."}, "Q", "10"),  # the sign is part of the sentence
        ({"problem": "Q", "solution": r"so \boxed{10\%}."}, "Q", r"10\%"),
        ({"problem": "Q", "solution": "no box here"}, "Q", ""),  # nothing to judge: reported, not paid
    ],
)
def test_usual_fields(row: dict[str, Any], question: str, gold: str) -> None:
    assert (prompt_of(row, None, "here"), gold_of(row, None, "here")) == (question, gold)


def test_own_fields_and_their_absence() -> None:
    assert gold_of({"q": "Q", "a": 5, "answer": "6"}, "a", "here") == "5"
    with pytest.raises(ValueError, match=r"row 3: has none of the columns x; found .*'q'.* Set task.prompt_field"):
        prompt_of({"q": "Q"}, "x", "row 3")
    with pytest.raises(ValueError, match=r"Set task\.answer_field"):
        gold_of({"problem": "Q"}, None, "here")
    with pytest.raises(ValueError, match="must be a text"):
        prompt_of({"problem": " "}, None, "here")


ROWS = [{"q": f"1 + {n} =", "a": str(1 + n)} for n in range(8)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def build(path: Path, tokenizer: PreTrainedTokenizerFast, *overrides: str) -> Any:
    fields = ("task.prompt_field=q", "task.answer_field=a", "task.template=question", "model=nano", "reward=math")
    config = compose_config(f"task={path.suffix[1:]}", f"task.source={path}", *fields, *overrides)
    return build_task(config, tokenizer)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_rows_of_your_own(suffix: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    task = build(write(tmp_path / f"rows{suffix}", ROWS), tokenizer, "task.num_train=5", "task.num_test=3")
    assert [row["gold"] for row in task.train] == ["1", "2", "3", "4", "5"]
    assert [row["gold"] for row in task.test] == ["6", "7", "8"]
    assert task.accuracy_judge == "math"
    assert task.judges["math"](r"so \boxed{2}", task.train[1]).outcome is Outcome.CORRECT
    assert (
        task.judges["math"]("the answer is 2", task.train[1]).outcome is Outcome.NO_ANSWER
    )  # not in the box asked for


def test_golds_that_cannot_be_judged_are_reported_and_leave(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [*ROWS[:3], {"q": "1 =", "a": ""}, {"q": "2 =", "a": r"\boxed{}"}, *ROWS[3:]]
    with caplog.at_level(logging.WARNING):
        task = build(write(tmp_path / "rows.jsonl", rows), tokenizer, "task.num_train=6", "task.num_test=4")
    assert [row["gold"] for row in task.train] == ["1", "2", "3", "4"]
    assert "2 of 6 golds cannot be judged and are left out (bad_gold: it says nothing)" in caplog.text
    assert "line 4" in caplog.text
    assert "line 5" in caplog.text


def test_golds_that_only_the_same_letters_match_are_reported_and_stay(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"q": "when", "a": r"\text{May 7}"}, {"q": "yes or no", "a": r"\text{yes}"}, *ROWS]
    with caplog.at_level(logging.WARNING):
        task = build(write(tmp_path / "rows.jsonl", rows), tokenizer, "task.num_train=6", "task.num_test=4")
    assert len(task.train) == 6
    found = [record.getMessage() for record in caplog.records if "same letters" in record.getMessage()]
    assert len(found) == 1  # of the training rows; the held-out ones have none
    assert "1 of 6 golds hold a digit or a command" in found[0]
    assert "May 7" in found[0]


def test_a_base_model_that_runs_on_is_cut_at_its_template(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS)
    task = build(path, tokenizer, "task.num_train=5", "task.num_test=3", "task.template=boxed")
    response = "\\boxed{2}\nQuestion:\n1 + 5 =\nAnswer:\nStep by step: \\boxed{6}"
    assert task.judges["math"](response, task.train[1]).outcome is Outcome.CORRECT


@pytest.mark.parametrize("name", ["gsm8k", "math", "math500"])
def test_the_percent_sign_is_optional_where_golds_leave_it_out(name: str) -> None:
    assert compose_config(f"task={name}", "reward=math", "task.num_train=1").task.percent_sign_optional


def test_held_out_questions_are_not_trained_on(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    held_out = write(tmp_path / "test.jsonl", ROWS[:2])
    with caplog.at_level(logging.WARNING):
        task = build(
            write(tmp_path / "rows.jsonl", ROWS), tokenizer, f"task.test_source={held_out}", "task.num_train=8"
        )
    assert [row["gold"] for row in task.train] == ["3", "4", "5", "6", "7", "8"]
    assert "2 training rows left out" in caplog.text


def test_nothing_left_ends_the_run(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match=r"at least one to train on and one to hold out"):
        build(write(tmp_path / "rows.jsonl", ROWS[:1]), tokenizer)


@pytest.mark.parametrize(("num_rows", "num_train"), [(2, 1), (3, 2), (10, 8), (100, 80)])
def test_a_short_file_holds_out_a_fifth(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, num_rows: int, num_train: int
) -> None:
    rows = [{"q": f"{number} + 0 =", "a": number} for number in range(num_rows)]
    task = build(write(tmp_path / "rows.jsonl", rows), tokenizer, "task=rows")
    assert (len(task.train), len(task.test)) == (num_train, num_rows - num_train)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("task.answer_in=[boxes]",), "answer_in = .*boxes.*: name one or more of box"),
        (("task.template=r1_zero",), r"template = r1_zero asks for the answer in a tag.*answer_in=\[tag\]"),
        (("task.relative_tolerance=2",), "relative_tolerance = 2"),
        (("reward.language=xx",), "reward.language = xx: must be one of"),
    ],
)
def test_values_that_cannot_work(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("task=gsm8k", "reward=math", *overrides)


def test_recipe_judges_are_off_until_named(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS)
    sizes = ("task.num_train=5", "task.num_test=3", "trainer.max_completion_length=100")
    assert set(build(path, tokenizer, *sizes).judges) == {"math", "format"}
    names = ("language", "cosine_length", "repetition", "soft_overlong", "tag_count")
    weights = [f"reward.weights.{name}=0.1" for name in names]
    task = build(path, tokenizer, *sizes, *weights, "reward.overlong_buffer_tokens=20")
    row = task.train[1] | {"completion_ids": [1] * 90}
    scores = {name: task.judges[name](r"a b c \boxed{2}", row).score for name in names}
    # 90 of 100 tokens: half of the buffer of 20 is used up; a right answer near the end of the cosine.
    assert scores["soft_overlong"] == pytest.approx(0.5)
    assert 0.75 < scores["cosine_length"] < 0.77
    assert (scores["language"], scores["repetition"], scores["tag_count"]) == (1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="overlong_buffer_tokens = 512: must be at most"):
        build(path, tokenizer, *sizes, "reward.weights.soft_overlong=0.1")
    with pytest.raises(ValueError, match=r"has no such judge; it has .*language"):
        build(path, tokenizer, *sizes, "reward.weights.nonsense=0.1")


def test_the_shipped_arithmetic_is_what_its_script_writes() -> None:
    from r1zero.nano.arithmetic import PATH, rows

    assert [json.loads(line) for line in PATH.read_text().splitlines()] == rows()
    assert len({row["question"] for row in rows()}) == len(rows())


def test_shipped_math_tasks_are_of_the_math_kind() -> None:
    for name in ("gsm8k", "math", "arithmetic"):
        assert isinstance(compose_config(f"task={name}", "reward=math").task, MathConfig)


def test_the_whole_path_on_a_cpu_offline(tmp_path: Path) -> None:
    """From the command to the report, with recipe judges on; a paid completion is a right sum."""
    run_dir = tmp_path / "run"
    small = [
        "trainer.max_steps=3",
        "trainer.eval_steps=3",
        "task.num_test=64",
        "rollout.max_rows=64",
        "eval.greedy=false",
    ]
    recipes = ["reward.weights.cosine_length=0.1", "reward.weights.repetition=0"]
    command = [sys.executable, "-m", "r1zero.train", "+experiment=arithmetic_nano", "tracker=none", *small, *recipes]
    result = subprocess.run(
        [*command, f"hydra.run.dir={run_dir}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    # The embedded model has seen sums: about half are right, so both verdicts occur.
    assert 0.2 < rows[0]["eval/arithmetic/accuracy"] < 0.8
    assert 0 < rows[1]["outcome/math/CORRECT"] < 1
    assert "rewards/cosine_length/mean" in rows[1]
    assert (run_dir / "report.html").is_file()
