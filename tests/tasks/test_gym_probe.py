"""Data sets of a stand-in for reasoning-gym: what pays for nothing is judged by a stricter rule or refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.tasks.build import build_task
from r1zero.tasks.gym_probe import CONSTANTS, COPIES, Probe, Tally, decide, zeroed
from r1zero.tasks.gym_problems import Problem, make
from r1zero.tasks.judging import judge_all
from r1zero.tasks.task import Task
from rewards import Outcome, gym_answer
from rewards.gym_answer import Rule

GYM = ("task=reasoning_gym", "reward=reasoning_gym", "task.num_train=6", "task.num_test=3")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes started in the test import the stand-in; workers of other tests have the library."""
    folder = str(Path(__file__).parent / "outside")
    monkeypatch.setenv("PYTHONPATH", folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "reasoning_gym", raising=False)
    gym_answer._POOL.close()
    yield
    gym_answer._POOL.close()
    sys.modules.pop("reasoning_gym", None)


def task_of(name: str, tokenizer: PreTrainedTokenizerFast, *overrides: str) -> Task:
    return build_task(compose_config(*GYM, f"task.name={name}", *overrides), tokenizer)


def probed(name: str) -> Probe:
    found: list[Probe] = []
    make(name, {}, [], 0.1, found.append)
    return found[0]


def verdict_of(task: Task, answer: str) -> tuple[Outcome, float | None]:
    row = task.test[0]
    text = f"<think>so</think> <answer>{answer.replace('GOLD', row['answer'])}</answer>"
    verdict = judge_all(task.judges["reasoning_gym"], [text], [row])[0]
    return verdict.outcome, verdict.score


def test_a_sound_data_set_keeps_the_librarys_scores(
    tokenizer: PreTrainedTokenizerFast, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    task = task_of("sums", tokenizer)
    assert (len(task.train), len(task.test)) == (6, 3)
    assert verdict_of(task, "GOLD") == (Outcome.CORRECT, 1.0)
    assert verdict_of(task, "7") == (Outcome.WRONG, 0.0)
    assert "sums: judged by the library's scores, counted above 0.000" in caplog.text
    assert "the library's own output" not in capfd.readouterr().out


def test_text_on_which_scoring_raises_is_wrong_and_a_scorer_that_fails_on_the_gold_is_broken(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert verdict_of(task_of("sums", tokenizer), "no idea") == (Outcome.BAD_FORMAT, 0.0)
    assert verdict_of(task_of("broken", tokenizer), "no idea") == (Outcome.UNGRADEABLE, None)
    assert verdict_of(task_of("broken", tokenizer), "GOLD") == (Outcome.UNGRADEABLE, None)


def test_a_data_set_that_pays_any_text_is_judged_by_equality_with_the_gold(tokenizer: PreTrainedTokenizerFast) -> None:
    task = task_of("any_text", tokenizer)
    assert verdict_of(task, "7") == (Outcome.WRONG, 0.0)
    assert verdict_of(task, " +GOLD.0 ") == (Outcome.CORRECT, 1.0)  # the same number
    found = probed("any_text")
    assert (found.rule, found.floor, found.paid) == (Rule("strict"), 1.0, 0.0)


def test_without_a_gold_the_library_judges_where_it_pays_nothing_for_nothing(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert verdict_of(task_of("no_gold", tokenizer), "7") == (Outcome.WRONG, 0.0)
    assert not probed("no_gold").has_gold
    with pytest.raises(ValueError, match=r"pays .* in full whatever the problem.*task.num_train=0"):
        task_of("no_gold_any_text", tokenizer)


def test_few_golds_are_refused_for_training_unless_max_floor_allows_them(
    tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=r"earns 0.5\d \+- 0.02 on average.*set task.max_floor=0.6 to train"):
        task_of("coins", tokenizer)
    assert len(task_of("coins", tokenizer, "task.max_floor=0.6").train) == 6
    config = compose_config(*GYM, "task.name=coins")
    config.task.num_train = 0  # as `python -m r1zero.evaluate` does
    assert len(build_task(config, tokenizer).test) == 3
    assert "earns 0.5" in caplog.text
    with pytest.raises(ValueError, match=r"task.max_floor = 2.0: .* between 0 and 1"):
        task_of("coins", tokenizer, "task.max_floor=2")


def test_partial_scores_count_above_the_floor_only(tokenizer: PreTrainedTokenizerFast) -> None:
    task = task_of("near", tokenizer)
    assert verdict_of(task, "7") == (Outcome.WRONG, 0.0)
    outcome, score = verdict_of(task, "near")
    assert outcome is Outcome.WRONG
    assert score == pytest.approx((0.5 - 0.05) / (1 - 0.05))
    assert verdict_of(task, "GOLD") == (Outcome.CORRECT, 1.0)


def test_where_scores_above_the_floor_can_be_had_for_nothing_only_the_full_score_counts() -> None:
    # Texts earn 0.9 or 0.95; above the mean of about 0.925, those with 0.95 would be paid (0.95 - 0.925) / 0.075 = 1/3.
    found = probed("generous")
    assert (found.rule, found.paid) == (Rule("full"), 0.0)
    assert 0.9 < found.floor < 0.95


def test_problems_do_not_depend_on_the_callers_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(seed: str) -> list[Problem]:
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        return make("hashed", {}, [(0, 12)], 0.1, lambda probe: None)[0]

    assert [problem[:2] for problem in made("1")] == [problem[:2] for problem in made("2")]
    other = make("hashed", {}, [(0, 12)], 0.1, lambda probe: None, hash_seed=1)[0]
    assert [problem.question for problem in other] != [problem.question for problem in made("1")]


def test_slow_data_sets_are_named_before_thousands_of_problems_are_made(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("r1zero.tasks.gym.LONG_S", 0.0)
    task_of("sums", tokenizer)
    assert "so 9 problems take about 0 min; lower task.num_train" in caplog.text


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such", "{}", "task.name = no_such, task.options = {}: Dataset 'no_such' not registered"),
        ("sums", "{largest: 0}", "task.options = {'largest': 0}: largest must be positive"),
        ("sums", "{smallest: [1]}", "unexpected keyword argument 'smallest'"),
    ],
)
def test_what_the_library_refuses_is_said(
    name: str, options: str, message: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ValueError, match=r"task.name = ") as refusal:
        task_of(name, tokenizer, f"task.options={options}")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_answer_that_differs_from_the_gold_is_not_wrong_where_several_are_right() -> None:
    # Paid in full on 2 of 20 problems: mean 0.1, standard error sqrt(0.1 * 0.9 / 20) = 0.067.
    tallies = {"a": Tally(scores=(1.0, 1.0, *[0.0] * 18), equal=(False,) * 20)}
    assert decide(tallies, has_gold=True, unique=True, max_floor=0.2, seconds=0.0).rule == Rule("strict")
    several = decide(tallies, has_gold=True, unique=False, max_floor=0.2, seconds=0.0)
    assert (several.rule, several.paid, several.wrongly_full) == (Rule("partial", 0.1), 0.1, "")
    assert several.upper == pytest.approx(0.167, abs=0.001)


def test_copies_are_found_in_the_question() -> None:
    question = "Rotate this matrix by 90:\n1 2\n3 4\n\nThen say how many cells are 1.5"
    entry = {"question": question, "answer": "[[3, 1], [4, 2]]"}
    found = [copy(entry) for copy in COPIES]
    assert found == [
        question,
        "Rotate this matrix by 90:",
        "Then say how many cells are 1.5",
        "1.5",
        "90",
        "1.5",
        "1 2\n3 4",
        "[[0, 0], [0, 0]]",
    ]
    assert zeroed({"answer": "7"}) == ""  # a single digit: "0" is tried anyway


def test_no_answer_is_tried_twice() -> None:
    assert len(set(CONSTANTS)) == len(CONSTANTS) >= 35
