"""The embedded base model: its text, its tokenizer, its size, and the script that made it."""

import json
import random
import re
from itertools import islice
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from r1zero.models.load import NANO_PATH
from r1zero.nano.corpus import SPACE, Author, Problem, compare, documents, draw_attempt, notebook
from r1zero.nano.pretrain import PretrainSettings, pretrain
from rewards.countdown import judge_countdown, judge_expression
from rewards.tags import judge_format

CAREFUL = Author(persist=1, check=1, look_ahead=0, slip=0, trust=1, finish=1)
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def test_a_careful_author_writes_true_arithmetic_and_right_answers() -> None:
    rng = random.Random(0)
    given = Problem((3, 4, 5), 35)
    solved = 0
    for _ in range(50):
        text = notebook(rng, given, CAREFUL)
        for left, op, right, value in STEP.findall(text):
            assert {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}.get(
                op, int(left) / int(right)
            ) == int(value)
        verdict = judge_countdown(text, given.nums, given.target, True)
        assert (verdict.score == 1.0) == ("(yes)" in text)
        assert judge_format(text[text.index("<think>") :]).score == 1.0
        solved += verdict.score == 1.0
    assert solved > 10  # 18 blind attempts each; persistence alone solves a good part


def test_attempts_use_every_number_once() -> None:
    rng = random.Random(0)
    for _ in range(200):
        attempt = draw_attempt(rng, Problem((3, 4, 5), 35), CAREFUL)
        assert judge_expression(attempt.expression, (3, 4, 5), attempt.result, True).score == 1.0


def test_comparisons() -> None:
    assert [compare(value, 7) for value in (6, 7, 8)] == ["(too low)", "(yes)", "(too high)"]


def test_the_corpus_is_unselected_and_holds_no_held_out_problem() -> None:
    notebooks = [text for text in islice(documents(0, 0.3), 3000) if text.startswith("Numbers")]
    solved = 0
    for text in notebooks:
        nums, target = re.match(r"Numbers: ([\d ]+) Target: (\d+)", text).groups()
        given = Problem(tuple(map(int, nums.split())), int(target))
        assert given.split == "train"
        solved += judge_countdown(text, given.nums, given.target, True).score == 1.0
    assert 0.1 < solved / len(notebooks) < 0.35  # wrong, unfinished and skipped ones are the majority
    assert sum("<answer>" not in text for text in notebooks) > 0.05 * len(notebooks)


def test_the_tokenizer_writes_every_document(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in islice(documents(1, 0.3), 200):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True).split() == text.split()
    longest = max(len(tokenizer(text)["input_ids"]) for text in islice(documents(2, 0.0), 2000))
    assert longest <= tokenizer.model_max_length


def test_the_shipped_weights() -> None:
    files = list(NANO_PATH.iterdir())
    assert sum(file.stat().st_size for file in files) <= 8 * 2**20
    model = AutoModelForCausalLM.from_pretrained(NANO_PATH)
    assert model.config.model_type == "llama"
    assert model.num_parameters() <= 3_000_000
    tokenizer = AutoTokenizer.from_pretrained(NANO_PATH)
    assert len(tokenizer) == model.config.vocab_size
    record = json.loads((NANO_PATH / "pretrain.json").read_text())
    assert record["settings"] == vars(PretrainSettings())  # made with the defaults of the script, so it can be remade
    assert record["steps_done"] == PretrainSettings.steps
    assert (SPACE.number_max, SPACE.target_max) == (20, 100)


@pytest.mark.parametrize("steps", [2])
def test_the_script_writes_a_loadable_checkpoint(tmp_path: Path, steps: int) -> None:
    pretrain(PretrainSettings(steps=steps, documents_per_step=4), tmp_path)
    AutoModelForCausalLM.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "pretrain.json").read_text())["steps_done"] == steps
