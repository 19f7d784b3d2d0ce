"""Countdown rows from files: three formats, TinyZero's split, and errors that name the place."""

import json
from pathlib import Path

import pandas as pd
import pytest

from r1zero.tasks.countdown import load_problems
from r1zero.tasks.countdown_problems import Problem
from r1zero.tasks.rows import read_rows

ROWS = [{"nums": [1, 2, n], "target": n + 3} for n in range(3, 13)]


def write(path: Path, rows: list) -> Path:
    """``rows`` in the format that the suffix says."""
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["parquet", "json", "jsonl"])
def test_first_rows_train_and_the_next_are_held_out(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows.{suffix}", ROWS)
    train, test = load_problems(str(path), "train", 7, 2)
    assert train == [Problem((1, 2, n), n + 3) for n in range(3, 10)]
    assert test == [Problem((1, 2, 10), 13), Problem((1, 2, 11), 14)]


def test_a_training_row_that_is_held_out_in_another_order_is_left_out(tmp_path: Path) -> None:
    rows = [{"nums": [1, 2, 3], "target": 6}, {"nums": [4, 5, 6], "target": 15}, {"nums": [3, 1, 2], "target": 6}]
    train, test = load_problems(str(write(tmp_path / "rows.jsonl", rows)), "train", 2, 1)
    assert train == [Problem((4, 5, 6), 15)]
    assert test == [Problem((3, 1, 2), 6)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"nums": [1, 2], "target": 3}\n{"nums": [1, 2]}\n', "line 2: needs the columns 'nums' and 'target'.*'nums'"),
        ('{"nums": [1, 2], "target": 3}\nnot json\n', "line 2: not valid JSON"),
        ('{"nums": "1 2", "target": 3}\n', "line 1: 'nums' must be a list"),
        ('{"nums": [1, 2.5], "target": 3}\n', "line 1: 'nums' must be a list of two or more integers"),
        ('{"nums": [1, 2], "target": "3"}\n', "line 1: 'target' must be an integer; found '3'"),
        ('{"nums": [1, 2], "target": true}\n', "line 1: 'target' must be an integer; found True"),
        ("[1]\n", "line 1: needs the columns"),
        ('{"nums": [-3, 5], "target": 2}\n', "line 1: cannot be judged: nums holds something other"),
    ],
)
def test_a_bad_row_names_file_line_and_what_was_found(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"bad.jsonl, {message}"):
        load_problems(str(path), "train", 1, 1)


def test_too_few_rows_says_how_many(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"has 10 rows.*= 12 are wanted"):
        load_problems(str(path), "train", 10, 2)


def test_nothing_left_to_train_on_and_text_in_another_encoding_say_so(tmp_path: Path) -> None:
    path = write(tmp_path / "same.jsonl", [ROWS[0]] * 4)
    with pytest.raises(ValueError, match="nothing is left to train on"):
        load_problems(str(path), "train", 2, 2)
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"nums": [1, 2], "target": 3, "note": "\xe9"}\n')
    with pytest.raises(ValueError, match=r"latin.jsonl: cannot be read as UTF-8"):
        load_problems(str(latin), "train", 1, 1)


def test_a_file_may_be_held_out_whole(tmp_path: Path) -> None:
    train, test = load_problems(str(write(tmp_path / "rows.jsonl", ROWS)), "train", 0, 10)
    assert (len(train), len(test)) == (0, 10)


def test_a_missing_file_and_a_torn_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        load_problems(str(tmp_path / "none.parquet"), "train", 1, 1)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 but not really")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        load_problems(str(torn), "train", 1, 1)
    no_list = tmp_path / "object.json"
    no_list.write_text('{"nums": [1, 2], "target": 3}')
    with pytest.raises(ValueError, match="must hold one list"):
        load_problems(str(no_list), "train", 1, 1)


def test_csv_with_semicolons_and_files_that_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "rows.CSV").write_text("question;answer\n1, 2 and 3?;6\n", encoding="utf-8-sig")
    (tmp_path / "rows.jsonl").write_text('{"question": "1?", "answer": 1}\n', encoding="utf-8-sig")
    found = [row for name in ("rows.CSV", "rows.jsonl") for _, row in read_rows(str(tmp_path / name), "train")]
    assert found == [{"question": "1, 2 and 3?", "answer": "6"}, {"question": "1?", "answer": 1}]
