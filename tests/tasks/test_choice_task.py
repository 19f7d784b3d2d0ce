"""Multiple choice from rows in every known shape: options in an order of their own, and the gold follows."""

import json
import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy import compose_config

from r1zero.tasks.build import build_task
from r1zero.tasks.choice_data import ChoiceProblem, parts, shuffled
from r1zero.tasks.task import Task
from rewards import Outcome
from rewards.choice import LETTERS

ANY_TEXT = SimpleNamespace(unk_token_id=None, name_or_path="any", chat_template=None)


@pytest.mark.parametrize(
    ("row", "options", "gold"),
    [
        ({"question": "q", "choices": ["w", "x", "y"], "answer": 1}, ["w", "x", "y"], 1),  # MMLU
        ({"question": "q", "options": ["w", "x", "y"], "answer": "C", "answer_index": 2}, ["w", "x", "y"], 2),  # -Pro
        ({"question": "q", "options": ["w", "x"], "answer": "x"}, ["w", "x"], 1),  # a text
        ({"question": "q", "options": ["3", "4"], "answer": "4"}, ["3", "4"], 1),  # a text, not an index
        ({"question": "q", "options": ["w", "x"], "answer": "1"}, ["w", "x"], 1),  # an index as text
        ({"question": "q", "choices": {"text": ["w", "x"], "label": ["1", "2"]}, "answerKey": "2"}, ["w", "x"], 1),
        (
            {"question": "q", "choices": {"text": ["w", "x"], "label": ["A", "B"]}, "answerKey": "A"},
            ["w", "x"],
            0,
        ),  # ARC
        ({"question": "q", "options": {"A": "w", "B": "x"}, "answer_idx": "B"}, ["w", "x"], 1),  # MedQA
        ({"Question": "q", "A": "w", "B": "x", "Answer": "(b)"}, ["w", "x"], 1),
        (
            {"question": "q", "choices": [{"label": "A", "text": "w"}, {"label": "B", "text": "x"}], "answerKey": "B"},
            ["w", "x"],
            1,
        ),
        (
            {"Question": "q", "Correct Answer": "x", "Incorrect Answer 1": "w", "Incorrect Answer 2": "y"},
            ["x", "w", "y"],
            0,
        ),  # GPQA
        ({"question": "q", "correct_answer": "x", "distractor1": "w", "support": ""}, ["x", "w"], 0),  # SciQ
        ({"question": "q", "choices": ["w", "x"], "answer": 7}, ["w", "x"], None),
        ({"question": "q", "choices": ["w", "x"], "answer": "E"}, ["w", "x"], None),
        ({"question": "q", "choices": ["w", "x"]}, ["w", "x"], None),
    ],
)
def test_rows_of_every_shape(row: dict[str, Any], options: list[str], gold: int | None) -> None:
    assert parts(row, "row 1") == ("q", options, gold)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def build(path: Path, *overrides: str) -> Task:
    config = compose_config("task=choice", f"task.source={path}", *overrides)
    return build_task(config, ANY_TEXT)  # type: ignore[arg-type]


ROWS = [
    {"question": f"What is {n} + {n}?", "choices": [str(2 * n), str(2 * n + 1), str(n), "7"], "answer": 0}
    for n in range(10, 50)
]
SIZES = ("task.num_train=20", "task.num_test=20")


def test_the_gold_follows_the_order_and_is_under_every_letter(tmp_path: Path) -> None:
    task = build(write(tmp_path / "rows.jsonl", ROWS), *SIZES)
    for row in [*task.train, *task.test]:
        assert row["options"][row["gold"]] == str(2 * int(row["question"].split()[2]))
        assert f"{LETTERS[row['gold']]}. {row['options'][row['gold']]}\n" in row["prompt"]
        right = task.judges["choice"](rf"\boxed{{{LETTERS[row['gold']]}}}", row)
        assert right.outcome is Outcome.CORRECT
    golds = Counter(row["gold"] for row in task.train)
    assert len(golds) == 4  # the files have all of them first
    again = build(tmp_path / "rows.jsonl", *SIZES)
    assert [row["options"] for row in again.train] == [row["options"] for row in task.train]
    other = build(tmp_path / "rows.jsonl", *SIZES, "task.seed=1")
    assert [row["options"] for row in other.train] != [row["options"] for row in task.train]
    asis = build(tmp_path / "rows.jsonl", *SIZES, "task.shuffle=false")
    assert {row["gold"] for row in asis.train} == {0}


@pytest.mark.parametrize("last", ["All of the above", "Both A and B", "None of these", "A and C only", "I and II only"])
def test_options_that_name_others_keep_their_places(last: str) -> None:
    problem = ChoiceProblem("q", ["w", "x", "y", last], 3)
    assert all(shuffled(problem, seed) == problem for seed in range(10))
    free = ChoiceProblem("q", ["w", "x", "y", "Vitamin A"], 3)
    assert any(shuffled(free, seed) != free for seed in range(10))


def test_the_floor_and_the_rows_left_out_are_said_at_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [{"question": "q", "choices": ["same", "Same.", "same"], "answer": 0}, {**ROWS[0], "answer": 9}]
    with caplog.at_level(logging.WARNING):
        build(write(tmp_path / "rows.jsonl", [*ROWS[:20], *bad, *ROWS[22:]]), *SIZES)
    assert "guessing solves 25.0% of the 18 held-out problems" in caplog.text
    assert "1 of 20 rows are left out, two of their options are the same" in caplog.text
    assert "their answer is none of their options" in caplog.text


def test_rows_read_back_as_a_source(tmp_path: Path) -> None:
    task = build(write(tmp_path / "rows.jsonl", ROWS), *SIZES)
    assert task.as_source is not None
    back = build(write(tmp_path / "back.jsonl", [task.as_source(row) for row in [*task.train, *task.test]]), *SIZES)
    assert back.train == task.train


def test_votes_are_letters(tmp_path: Path) -> None:
    task = build(write(tmp_path / "rows.jsonl", ROWS), *SIZES)
    row = task.train[0]
    assert task.ballot is not None
    texts = [rf"\boxed{{{row['options'][2]}}}", r"\boxed{(C)}", r"\boxed{A or B}"]
    assert [task.ballot(text, row, task.judges["choice"](text, row)) for text in texts] == ["C", "C", None]


@pytest.mark.parametrize(
    ("template", "right"),
    [
        ("boxed", r"\boxed{B}"),
        ("tinyzero_base", " x</think> <answer>B</answer>"),
        ("answer_line", "x. Answer: B"),
        ("question", "B"),
    ],
)
def test_the_judge_looks_where_the_template_asks(tmp_path: Path, template: str, right: str) -> None:
    task = build(write(tmp_path / "rows.jsonl", ROWS), *SIZES, f"task.template={template}", "task.shuffle=false")
    row = task.train[0] | {"gold": 1}
    assert task.judges["choice"](row["prefill"] + right, row).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.answer_in=[boxes]", r"task.answer_in = \['boxes'\]: boxes is none of box, tag"),
        ("task.answer_in=[tag]", r"asks for the answer in a box.*Set task.answer_in=\[box\]"),
    ],
)
def test_a_wrong_value_says_what_to_set(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config("task=choice", override)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "answer": "4"}, "has no options: a list in choices or options"),
        ({"choices": ["w", "x"], "answer": 0}, "has no text in any of question"),
    ],
)
def test_rows_of_no_known_shape_are_refused(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(write(tmp_path / "rows.jsonl", [row]), "task.num_train=1", "task.num_test=1")
