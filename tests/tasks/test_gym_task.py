"""reasoning-gym's problems: its scoring functions evaluate answers, and must not get to run any."""

from functools import partial
from pathlib import Path

import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.tasks.build import build_task
from r1zero.tasks.gym_probe import Probe
from r1zero.tasks.gym_problems import Problem, make
from r1zero.tasks.judging import judge_all
from rewards import Outcome
from rewards.gym_answer import EVALUATING, PARSING, Rule, is_formula, is_installed, judge_gym, packed, problems_of

needs_gym = pytest.mark.skipif(
    not is_installed(), reason="reasoning-gym is not installed (pip install '.[reasoning_gym]')"
)
OPTIONS = {"seed": 3, "size": 4}
LIBRARY = Rule("partial")


def wrapped(answer: str) -> str:
    return f"<think>so</think> <answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("2*x**2 + 3", True),
        ("sin(x)/2 + C", True),
        ("(3 + 4) * 2", True),
        ("__import__('os')", False),
        ("().__class__", False),
        ("x.diff", False),
        ("open(x)", False),
        ("exit()", False),
        ("lambda: 1", False),
        ("x[0]", False),
        ("1 .real", False),
        ("a_b", False),
    ],
)
def test_only_formulas_reach_sympy(answer: str, expected: bool) -> None:
    assert is_formula(answer) == expected


@pytest.mark.skipif(is_installed(), reason="the package is there")
def test_without_the_package_the_message_says_what_to_install(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="pip install reasoning-gym"):
        build_task(compose_config("task=reasoning_gym", "reward=reasoning_gym"), tokenizer)


@needs_gym
def test_the_task_has_problems_of_its_own_to_train_on_and_judges_them(tokenizer: PreTrainedTokenizerFast) -> None:
    config = compose_config("task=reasoning_gym", "reward=reasoning_gym", "task.num_train=8", "task.num_test=4")
    task = build_task(config, tokenizer)
    assert (task.name, len(task.test)) == ("chain_sum", 4)
    assert not {row["prompt"] for row in task.train} & {row["prompt"] for row in task.test}
    row = task.test[0]
    texts = [wrapped(row["answer"]), wrapped("no"), row["answer"]]
    verdicts = judge_all(task.judges["reasoning_gym"], texts, [row] * 3)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.CORRECT, Outcome.WRONG, Outcome.NO_ANSWER]
    assert task.ballot is not None
    assert task.ballot(wrapped("4 2"), row, verdicts[0]) == "42"
    with pytest.raises(ValueError, match=r"task.name = no_such"):
        build_task(compose_config("task=reasoning_gym", "reward=reasoning_gym", "task.name=no_such"), tokenizer)


@needs_gym
@pytest.mark.parametrize("dataset", sorted([*EVALUATING, *PARSING]))
def test_no_answer_is_ever_run(dataset: str, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    problem = problems_of(dataset, OPTIONS)[1]
    for answer in (
        f"open('{target}', 'w')",
        f"__import__('os').mknod('{target}')",
        "().__class__.__base__.__subclasses__()",
    ):
        verdict = judge_gym(wrapped(answer), dataset, {}, packed(problem), problem["answer"], LIBRARY)
        assert verdict.outcome in (Outcome.WRONG, Outcome.BAD_FORMAT), verdict
    assert not target.exists()
    assert (
        judge_gym(wrapped(problem["answer"]), dataset, {}, packed(problem), problem["answer"], LIBRARY).outcome
        is Outcome.CORRECT
    )


@needs_gym
def test_a_hang_is_a_timeout_and_a_broken_scorer_is_not_the_answers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewards.gym_answer.DEADLINE_S", 1.0)
    entry = packed(problems_of("countdown", OPTIONS)[0])
    judge_gym(wrapped("1"), "countdown", {}, entry, "", LIBRARY)  # starts the workers
    assert judge_gym(wrapped("9**9**9**9"), "countdown", {}, entry, "", LIBRARY).outcome in (
        Outcome.TIMEOUT,
        Outcome.WRONG,
    )
    assert judge_gym(wrapped("1"), "no_such_data_set", {}, entry, "", LIBRARY).outcome is Outcome.UNGRADEABLE


@needs_gym
def test_wrong_text_on_which_scoring_raises_is_wrong_and_not_ungradeable() -> None:
    problem = problems_of("prime_factorization", OPTIONS)[0]
    verdict = judge_gym(wrapped("no idea"), "prime_factorization", {}, packed(problem), problem["answer"], LIBRARY)
    assert (verdict.outcome, verdict.score) == (Outcome.BAD_FORMAT, 0.0)
    problem = problems_of("game_of_life", OPTIONS)[0]
    assert judge_gym(wrapped("{}"), "game_of_life", {}, packed(problem), "", LIBRARY).outcome is Outcome.BAD_FORMAT
    problem = problems_of("boxnet", OPTIONS)[0]  # it has no gold
    assert judge_gym(wrapped("0"), "boxnet", {}, packed(problem), "None", LIBRARY).outcome is Outcome.BAD_FORMAT


@needs_gym
def test_24_is_made_of_the_given_numbers() -> None:
    problem = problems_of("puzzle24", OPTIONS)[0]
    judge = partial(
        judge_gym, dataset="puzzle24", options={}, entry=packed(problem), gold=problem["answer"], rule=LIBRARY
    )
    assert judge(wrapped(problem["answer"])).outcome is Outcome.CORRECT
    assert sorted(problem["metadata"]["numbers"]) != [1, 4, 4, 10]
    assert judge(wrapped("(10 - 4) * 4 * 1")).outcome is Outcome.WRONG


@needs_gym
@pytest.mark.parametrize("dataset", ["isomorphic_strings", "ransom_note", "polynomial_multiplication", "word_ladder"])
def test_problems_are_the_same_under_every_hash_seed(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(seed: str) -> list[Problem]:
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        return make(dataset, {}, [(5, 6)], 0.1, lambda probe: None)[0]

    assert [problem[:2] for problem in made("1")] == [problem[:2] for problem in made("2")]


@needs_gym
@pytest.mark.parametrize("dataset", ["coin_flip", "game_of_life_halting"])
def test_data_sets_that_pay_constants_are_judged_strictly(dataset: str) -> None:
    found: list[Probe] = []
    make(dataset, {}, [], 0.1, found.append)
    assert found[0].rule.kind == "strict"
