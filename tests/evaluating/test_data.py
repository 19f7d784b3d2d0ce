"""What ``python -m r1zero.data`` shows, what overlaps, and the difficulty-filtered set."""

import json
from pathlib import Path

import pytest
import torch

from r1zero import data
from r1zero.tasks.countdown import load_problems
from r1zero.tasks.overlap import overlapping, questions


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("train", "test", "n", "expected", "why"),
    [
        (["a b c d"], ["x b c d y"], 3, {0: (0, "b c d")}, "three words in a row"),
        (["a b c d"], ["b x c d"], 3, {}, "two in a row"),
        (["3 + 4 = 7"], ["3 - 4 = 7"], 4, {}, "an operator is a word"),
        (["A  b, c!"], ["a B c"], 8, {0: (0, "a b c")}, "short texts as a whole; case and punctuation aside"),
        (["a b c"], ["a b"], 8, {}, "a short text inside another is not the same problem"),
        (["", "q"], [""], 8, {}, "nothing is shared by texts that say nothing"),
        (["p q r", "x y z", "p q r"], ["x y z", "p q r"], 3, {0: (1, "x y z"), 1: (0, "p q r")}, "the first place"),
    ],
)
def test_overlap(train: list[str], test: list[str], n: int, expected: dict, why: str) -> None:
    assert overlapping(train, test, n) == expected, why


@pytest.mark.parametrize("argument", ["show=abc", "ngram=1.5", "low=much"])
def test_a_number_that_is_none_is_named(argument: str) -> None:
    key, _, value = argument.partition("=")
    with pytest.raises(SystemExit, match=rf"error: {key} = {value}: must be a number, such as {key}="):
        data.main([argument])


def test_the_template_is_not_part_of_a_question() -> None:
    prompts = ["User: Add 12 and 13. Think.\nAssistant: ", "User: Add 14 and 5. Think.\nAssistant: "]
    assert questions(prompts) == ["12 and 13.", "14 and 5."]
    assert questions(["only one"]) == ["only one"]


def test_it_shows_prompts_as_the_model_sees_them(capsys: pytest.CaptureFixture[str]) -> None:
    data.main(["task.num_train=40", "task.num_test=10", "show=1"])
    text = capsys.readouterr().out
    assert "judges countdown, format; accuracy is countdown's" in text
    assert "'<think>\\n'" in text  # white space is visible
    assert "overlap: 0 of 10 held-out problems" in text
    assert text.count("prompt   ") == 2


def test_the_band_is_a_set_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    band = tmp_path / "band.jsonl"
    arguments = ["task.num_train=24", "task.num_test=1", "eval.num_samples=4", f"output={tmp_path / 'out'}"]
    data.main([*arguments, f"pass_rate={band}", "low=0.2", "high=0.8"])
    rows = [json.loads(line) for line in band.read_text().splitlines()]
    assert 0 < len(rows) < 24
    assert {row["pass_rate"] for row in rows} <= {0.25, 0.5, 0.75}
    assert f"{len(rows)} of 24 problems" in capsys.readouterr().out
    train, _ = load_problems(str(band), "train", len(rows) - 1, 1)
    assert train[0].target == rows[0]["target"]


def test_a_math_band_keeps_question_and_gold(tmp_path: Path) -> None:
    source = tmp_path / "sums.jsonl"
    lines = [{"question": f"Numbers: {n} 2 Target: {n + 2}", "answer": str(n + 2)} for n in range(3, 9)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["task=jsonl", f"task.source={source}", "task.template=question", "task.num_train=5", "task.num_test=1"]
    arguments += ["eval.num_samples=2", "eval.max_tokens=4", f"output={tmp_path / 'out'}"]
    data.main([*arguments, f"pass_rate={tmp_path / 'band.jsonl'}", "low=0", "high=1"])
    kept = [json.loads(line) for line in (tmp_path / "band.jsonl").read_text().splitlines()]
    assert [(row["question"], row["answer"]) for row in kept] == [
        (line["question"], line["answer"]) for line in lines[:5]
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pass_rate=x.jsonl"], "one sample gives no pass rate"),
        (["pass_rate=x.jsonl", "eval.num_samples=4", "low=0.9"], "low <= high"),
        (["task=no_such_task"], "no_such_task"),
        (["ngram=0", "task.num_train=4", "task.num_test=4"], "ngram = 0"),
    ],
)
def test_bad_input_ends_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        data.main(arguments)
