"""The math judge: a table of cases, why a verdict fell, the steps on their own, and golds that cannot be judged."""

import json
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewards import Outcome
from rewards.math_answer import DEFAULT, Policy, Reason, check_gold, grade, is_text_of_mathematics, symbolic
from rewards.math_answer.extract import extract
from rewards.math_answer.numbers import exact_number
from rewards.math_answer.policy import SOURCES
from rewards.pool import Pool

ROWS = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data" / "math_answers.jsonl").read_text().splitlines()
]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# What a wrong acceptance in these families would teach a policy is worse than any other mistake.
UNFORGIVABLE = ("hack_", "injection", "bomb_", "near_miss", "units_mismatch")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['gold']}~{row['response']}"[:60])
def test_table(row: dict) -> None:
    """Every row of the label policy, and every exploit found so far."""
    assert (grade(row["gold"], row["response"]).outcome is Outcome.CORRECT) == row["correct"]


@pytest.mark.parametrize(
    ("gold", "response", "reason", "outcome"),
    [
        (r"\frac{1}{2}", r"\boxed{\dfrac{1}{2}}", Reason.EXACT, Outcome.CORRECT),
        (r"x^2+1", r"\boxed{1+x^{2}}", Reason.STRING, Outcome.CORRECT),  # sums are sorted before they are compared
        (r"x^2-1", r"\boxed{(x-1)(x+1)}", Reason.PROBE, Outcome.CORRECT),
        (r"\lfloor x\rfloor+1", r"\boxed{\lfloor x+1\rfloor}", Reason.SYMPY, Outcome.CORRECT),
        (r"\lfloor x\rfloor+1", r"\boxed{\lfloor x+2\rfloor}", Reason.DIFFERS, Outcome.WRONG),
        ("5", r"\boxed{6}", Reason.DIFFERS, Outcome.WRONG),
        ("5", r"\boxed{5, 6}", Reason.SHAPE, Outcome.WRONG),
        ("5 cm", r"\boxed{5\text{ m}}", Reason.UNIT, Outcome.WRONG),
        ("408", r"\boxed{17\times24}", Reason.UNEVALUATED, Outcome.WRONG),
        ("5050", r"\boxed{\sum_{k=1}^{100} k}", Reason.UNEVALUATED, Outcome.WRONG),
        ("5", "", Reason.NO_ANSWER, Outcome.NO_ANSWER),
        ("5", r"\boxed{}", Reason.NO_ANSWER, Outcome.NO_ANSWER),
        ("5", r"\boxed{9^{9^{9^9}}}", Reason.TOO_BIG, Outcome.WRONG),
        ("", r"\boxed{5}", Reason.BAD_GOLD, Outcome.UNGRADEABLE),
        ("$$", "", Reason.BAD_GOLD, Outcome.UNGRADEABLE),
    ],
)
def test_reason(gold: str, response: str, reason: Reason, outcome: Outcome) -> None:
    verdict = grade(gold, response)
    assert (verdict.reason, verdict.outcome) == (reason, outcome)
    assert verdict.detail.startswith(reason.value)
    assert verdict.score == {Outcome.CORRECT: 1.0, Outcome.UNGRADEABLE: None}.get(outcome, 0.0)


def test_a_slow_proof_ends_at_its_deadline_and_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller waits for the deadline, not for sympy; what was undecided is TIMEOUT and pays nothing."""
    slow = Pool("time:sleep", size=1)
    slow.call(0, 30.0)  # started, so that the deadline below is all sleep
    sleeper = SimpleNamespace(call=lambda value, deadline_s: slow.call(30, deadline_s))
    monkeypatch.setattr(symbolic, "_POOL", sleeper)
    verdict = grade(r"\lfloor y\rfloor+1", r"\boxed{\lfloor y+1\rfloor}", Policy(deadline_s=0.5))
    assert (verdict.reason, verdict.outcome, verdict.score) == (Reason.TIMEOUT, Outcome.TIMEOUT, 0.0)
    slow.close()


@pytest.mark.parametrize(
    ("policy", "gold", "response", "correct"),
    [
        (Policy(percent_sign_optional=True), r"50\%", r"\boxed{50}", True),
        (DEFAULT, r"50\%", r"\boxed{50}", False),
        (Policy(percent_sign_optional=True), r"50\%", r"\boxed{5}", False),
        (Policy(plain_arithmetic=True), "408", r"\boxed{17\times24}", True),
        (Policy(relative_tolerance=0.01), "3.14", r"\boxed{\pi}", True),
        (Policy(relative_tolerance=0.01), "3", r"\boxed{3.01}", False),  # a whole gold is exact
        (Policy(check_units=False), "5 cm", r"\boxed{5\text{ m}}", True),
        (Policy(inequality_as_interval=False), "x>3", r"\boxed{(3,\infty)}", False),
        (Policy(relative_tolerance=0.01), r"-\pi", r"\boxed{2}", False),  # an irrational gold, too
        (Policy(join_boxes=False), "2", r"\boxed{1}, \boxed{2}", True),
        (Policy(answer_in=("box",)), "5", "The answer is 5", False),
        (Policy(answer_in=("tag",)), "5", r"\boxed{6} <answer>5</answer>", True),
    ],
)
def test_policy(policy: Policy, gold: str, response: str, correct: bool) -> None:
    assert (grade(gold, response, policy).outcome is Outcome.CORRECT) == correct


@pytest.mark.parametrize(
    "keys", [{"answer_in": ("boxes",)}, {"answer_in": ()}, {"deadline_s": 0.0}, {"relative_tolerance": 2.0}]
)
def test_policy_refuses_what_cannot_work(keys: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(keys))):
        Policy(**keys)


@pytest.mark.parametrize(
    "gold", ["5", r"\frac{1}{2}", "(1,2]", r"\text{yes}", r"$\boxed{6,8}$", "9" * 5000, "x=3", "C"]
)
def test_good_golds(gold: str) -> None:
    assert check_gold(gold) is None


@pytest.mark.parametrize(
    ("gold", "word"),
    [("", "nothing"), ("  ", "nothing"), (r"\boxed{}", "nothing"), ("nan", "nothing"), ("9^{9^{9^9}}/0", None)],
)
def test_bad_golds_say_why(gold: str, word: str | None) -> None:
    fault = check_gold(gold)
    assert word is None or (fault is not None and word in fault)


def test_a_gold_that_is_no_text_is_named() -> None:
    assert "NoneType" in str(check_gold(None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("response", "text", "place"),
    [
        (r"\boxed{1} then \boxed{2}", "2", "box"),
        (r"\boxed{1}, \boxed{2}", "1, 2", "box"),
        (r"\boxed{\frac{1}{2}} and then \boxed{3", r"\frac{1}{2}", "box"),
        ("<answer>4</answer>", "4", "tag"),
        ("so\n#### 72\nbye", "72", "hash"),
        ("The answer is $x+1$.", "x+1", "phrase"),
        ("7", "7", "bare"),
    ],
)
def test_extract(response: str, text: str, place: str) -> None:
    assert extract(response, SOURCES) == (text, place)


@pytest.mark.parametrize("response", ["<think>\\boxed{5}", "<think>5</think>\\boxed{}", "", "\\boxed{5"])
def test_extract_finds_nothing(response: str) -> None:
    assert extract(response, SOURCES) is None


LONG = [
    ("(1, 2)", "(1e5000, 2)", False),
    ("(10^{5000}, 2)", "(1e5000, 2)", True),
    ("x", "1e5000 x", False),
    ("5", "(1e5000)_8", False),
    ("0", "1e-5000", False),
    ("1/2006!", "1/2004!", False),  # 5,756 and 5,749 digits
]


@pytest.mark.parametrize(("gold", "answer", "correct"), LONG)
def test_numbers_of_more_digits_than_python_writes_are_judged(gold: str, answer: str, correct: bool) -> None:
    """It refuses to write a whole number of more than 4,300 digits in decimal."""
    assert (grade(gold, rf"\boxed{{{answer}}}").outcome is Outcome.CORRECT) == correct
    assert (grade(answer, rf"\boxed{{{gold}}}").outcome is Outcome.CORRECT) == correct


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50", "1234.5"),
        ("-3/4", "-3/4"),
        (r"2\frac12", "5/2"),
        (r"1.5\times10^{3}", "1500"),
        ("50%", "1/2"),
        ("7 3/4", "31/4"),
    ],
)
def test_exact_number(text: str, value: str) -> None:
    assert exact_number(text) == Fraction(value)


@pytest.mark.parametrize("text", ["12,34", "1_000", "1/0", "2 3/2", "x", "", "1e5x", "1.2.3", "٣"])
def test_not_an_exact_number(text: str) -> None:
    assert exact_number(text) is None


@pytest.mark.skipif(not (SHARED / "math_cases.jsonl").is_file(), reason="needs ../shared/data/math_cases.jsonl")
def test_shared_cases() -> None:
    """At least 97% right, and no wrong acceptance in the families that a policy would exploit."""
    rows = [json.loads(line) for line in (SHARED / "math_cases.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["expected"] is not None]
    paid = [grade(row["gold"], row["pred"]).outcome is Outcome.CORRECT for row in rows]
    right = sum(got == row["expected"] for got, row in zip(paid, rows, strict=True))
    assert right / len(rows) >= 0.97
    wrongly_paid = [row["id"] for got, row in zip(paid, rows, strict=True) if got and not row["expected"]]
    assert not [name for name in wrongly_paid if name.startswith(UNFORGIVABLE)]


@pytest.mark.skipif(not (SHARED / "gsm8k_test.jsonl").is_file(), reason="needs ../shared/data/gsm8k_test.jsonl")
def test_every_gsm8k_gold_judges_itself() -> None:
    rows = [json.loads(line) for line in (SHARED / "gsm8k_test.jsonl").read_text().splitlines()]
    golds = [row["answer"].rpartition("#### ")[2] for row in rows]
    assert len(golds) == 1319
    assert all(grade(gold, rf"\boxed{{{gold}}}").outcome is Outcome.CORRECT for gold in golds)
    assert not list(filter(None, map(check_gold, golds)))


def readme_rows() -> list[tuple[str, str, bool]]:
    """(gold, answer, accepted) of the table in rewards/README.md: what is in backticks."""
    text = (Path(__file__).resolve().parents[2] / "rewards" / "README.md").read_text(encoding="utf-8")
    table = text.partition("| gold | accepted | refused |\n")[2].partition("\n\n")[0]
    rows = []
    for line in table.splitlines()[1:]:
        golds, *answers = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split(" | "))
        if len(golds) == 1 and not golds[0].endswith(".."):
            for accepted, cell in zip((True, False), answers, strict=True):
                rows += [(golds[0], answer, accepted) for answer in cell if "_" not in answer or answer[0] != "p"]
    return rows


@pytest.mark.parametrize(("gold", "answer", "accepted"), readme_rows())
def test_what_the_readme_says(gold: str, answer: str, accepted: bool) -> None:
    assert (grade(gold, rf"\boxed{{{answer}}}").outcome is Outcome.CORRECT) == accepted


def test_the_readme_table_is_found() -> None:
    assert len(readme_rows()) > 60


PERCENT = Policy(percent_sign_optional=True, answer_in=("box",))


@pytest.mark.parametrize(
    ("gold", "answer", "correct"),
    [
        ("45", r"45\%", True),
        ("45", r"45.0\%", True),
        ("45", r"45\text{ percent}", True),
        ("45", "45} \\% {", True),  # the sign behind the box
        (r"45\%", "45", True),
        ("-12", r"-12\%", True),
        (r"33\frac13", r"33\frac13\%", True),
        ("1", r"1\%", True),
        ("0.5", r"0.5\%", False),
        (r"\frac12", r"\frac12\%", False),
        (r"0.5\%", "0.5", False),
        ("45", r"44\%", False),
        ("0.45", r"45\%", True),  # equal with the sign
        ("45", "0.45", False),
        (r"45\%", "0.45", True),
    ],
)
def test_the_percent_sign_is_optional_from_one_up(gold: str, answer: str, correct: bool) -> None:
    assert (grade(gold, rf"\boxed{{{answer}}}", PERCENT).outcome is Outcome.CORRECT) == correct


@pytest.mark.parametrize(
    ("response", "correct"),
    [
        ("<think>6 times 7</think> <answer>The answer is $42$.</answer>", True),
        ("<answer>So the final answer is 42</answer>", True),
        (r"<answer>She needs \boxed{42} of them.</answer>", True),
        ("<answer>There are 42 ways</answer>", True),
        ("<answer>42</answer>", True),
        ("<answer>The answer is 41.</answer>", False),
        ("<answer>The answer is 42 or 43.</answer>", False),
        ("<answer>The answer is not 42.</answer>", False),
        ("<answer>The answer is 42. No, it is 43.</answer>", False),
        ("<answer>I do not know: 41 and 42 are both possible.</answer>", False),
    ],
)
def test_a_sentence_in_the_answer_tag(response: str, correct: bool) -> None:
    assert (grade("42", response, Policy(answer_in=("tag",))).outcome is Outcome.CORRECT) == correct


@pytest.mark.parametrize(
    ("response", "correct"),
    [
        (r"\boxed{42}" + "\nQuestion:\nWhat is 1 + 1?\nAnswer: \\boxed{2}", True),
        ("work\nQuestion:\n\\boxed{42}", False),  # nothing was answered before it
        (r"\boxed{41}" + "\nQuestion:\n\\boxed{42}", False),
        (r"The question: what is it? \boxed{42}", True),
    ],
)
def test_what_follows_the_opening_of_a_next_question_does_not_count(response: str, correct: bool) -> None:
    policy = Policy(answer_in=("box",), next_question=("\nQuestion:",))
    assert (grade("42", response, policy).outcome is Outcome.CORRECT) == correct


def test_text_behind_an_end_of_text_token_does_not_count() -> None:
    for token in ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>", "<eos>", "<end_of_turn>"):
        assert grade("42", rf"\boxed{{42}}{token} \boxed{{7}}").outcome is Outcome.CORRECT
        assert grade("42", rf"\boxed{{7}}{token} \boxed{{42}}").outcome is Outcome.WRONG
        assert grade("42", rf"{token}\boxed{{42}}").outcome is Outcome.CORRECT  # the opening of the model's own turn


@pytest.mark.parametrize(
    ("gold", "as_text"),
    [
        (r"x^2\mod 5 \qquad 7", True),
        (r"\text{June 20}", True),
        (r"5\heartsuit", True),
        (r"\text{yes}", False),
        ("a circle", False),
        (r"\frac12", False),
        ("C. 12", False),
        (r"\text{all real numbers}", False),
    ],
)
def test_golds_of_mathematics_that_are_only_texts(gold: str, as_text: bool) -> None:
    assert is_text_of_mathematics(gold) == as_text
