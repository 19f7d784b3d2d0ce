"""Multiple choice: what names one option is read, and nothing that names two is paid."""

import pytest

from rewards import Outcome
from rewards.choice import chosen_option, judge_choice
from rewards.math_answer.policy import SOURCES

CITIES = ["Rome", "Paris", "All of the above", "12", "$x^2$"]


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("B", 1),
        ("b", 1),
        ("(B)", 1),
        ("B.", 1),
        ("B)", 1),
        ("Option B", 1),
        (r"\text{B}", 1),
        (r"\textbf{(B)}", 1),
        ("**B**", 1),
        ("$B$", 1),
        ("Paris", 1),
        (" paris. ", 1),
        ('"Paris"', 1),
        ("B. Paris", 1),
        ("(B) Paris", 1),
        ("B: paris", 1),
        ("B, Paris", 1),
        ("B - Paris", 1),
        (r"\text{(B) Paris}", 1),
        ("Choice B: Paris", 1),
        ("All of the above", 2),
        ("C. All of the above.", 2),
        ("12", 3),
        ("D. 12", 3),
        ("x^2", 4),
        (r"\(x^2\)", 4),
    ],
)
def test_one_option_is_read(answer: str, index: int) -> None:
    assert chosen_option(answer, CITIES) == index


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "A and B",
        "A or B",
        "A, B",
        "A B",
        "AB",
        "A/B",
        "A & B",
        "(A) (B)",
        "ABCDE",
        "A, B, C, D, E",
        "A-E",
        "not B",
        "B or another",
        "B, unless A",
        "B. Rome",  # letter of one, text of another
        "A. Paris",
        "A. B. Paris",
        "B. A",
        "Rome or Paris",
        "Rome, Paris",
        "Paris Rome",
        "Par",
        "Paris, in France",  # texts are not compared by meaning
        "F",  # no such option
        "F. Paris",
        "the second one",
        "1",  # a number is an option's text or nothing
        "12 or B",
        "\u0412",  # a Cyrillic letter that looks like B
        "B\nA",
        "B B A",
    ],
)
def test_what_names_none_or_two_is_not_read(answer: str) -> None:
    assert chosen_option(answer, CITIES) is None


def test_options_that_look_like_letters_or_differ_in_case() -> None:
    blood = ["A", "AB", "B", "O"]
    assert chosen_option("AB", blood) == 1  # the text of one option, and no list of letters
    assert chosen_option("B", blood) == 1  # a letter is a letter: the prompt asks for one
    assert chosen_option("O", blood) == 3
    genes = ["AA", "Aa", "aa"]
    assert [chosen_option(gene, genes) for gene in genes] == [0, 1, 2]
    assert chosen_option("aA", genes) is None  # up to case it is all of them
    assert chosen_option("x2", ["x\u00b2", "x3"]) is None


@pytest.mark.parametrize(
    ("text", "places", "outcome"),
    [
        (r"so \boxed{B}", ("box",), Outcome.CORRECT),
        (r"so \boxed{A}", ("box",), Outcome.WRONG),
        (r"first \boxed{A}, but no, look again. It must be \boxed{B}", ("box",), Outcome.CORRECT),  # the last counts
        (r"\boxed{A} or \boxed{B}", ("box",), Outcome.BAD_FORMAT),
        (r"\boxed{A}, \boxed{B}", ("box",), Outcome.BAD_FORMAT),
        (r"\boxed{A} \boxed{B}", ("box",), Outcome.BAD_FORMAT),
        (r"\boxed{A, B, C, D}", ("box",), Outcome.BAD_FORMAT),
        (r"\boxed{}", ("box",), Outcome.NO_ANSWER),
        ("B", ("box",), Outcome.NO_ANSWER),
        (r"<think>\boxed{B}", ("box",), Outcome.NO_ANSWER),  # a thought is not an answer
        (r"\boxed{A}" + "\nQuestion: next \\boxed{B}", ("box",), Outcome.WRONG),  # of the next question
        ("<think>x</think> <answer>B</answer>", ("tag",), Outcome.CORRECT),
        ("<answer>(B) Paris</answer>", ("tag",), Outcome.CORRECT),
        ("<answer>The correct answer is B.</answer>", ("tag",), Outcome.CORRECT),
        ("<answer>A</answer> <answer>B</answer>", ("tag",), Outcome.BAD_FORMAT),
        ("<answer>A</answer><answer>A</answer>", ("tag",), Outcome.BAD_FORMAT),
        ("<answer>A or B</answer>", ("tag",), Outcome.BAD_FORMAT),
        ("<answer>not A but B</answer>", ("tag",), Outcome.BAD_FORMAT),
        ("work. Answer: B", ("phrase",), Outcome.CORRECT),
        ("work. The answer is (B).", ("phrase",), Outcome.CORRECT),
        ("Answer: B. Paris", ("phrase",), Outcome.CORRECT),
        ("Answer: A or B", ("phrase",), Outcome.BAD_FORMAT),
        ("Answer: A\nor B", ("phrase",), Outcome.BAD_FORMAT),
        ("B", ("bare",), Outcome.CORRECT),
        ("Paris", ("bare",), Outcome.CORRECT),
        ("A B C D", ("bare",), Outcome.BAD_FORMAT),
    ],
)
def test_the_answer_stands_where_the_template_asks_for_it(text: str, places: tuple[str, ...], outcome: Outcome) -> None:
    found = judge_choice(text, CITIES, 1, places, ("\nQuestion:",))
    assert found.outcome is outcome
    assert found.score == (1.0 if outcome is Outcome.CORRECT else 0.0)


def test_no_constant_is_paid_for_two_golds_of_the_same_options() -> None:
    """Whatever a text says, it is right for one gold at most; so a constant earns a guess's share under any shuffle."""
    constants = [
        "A",
        "B",
        "A and B",
        "ABCDE",
        "All of the above",
        r"\boxed{A}\boxed{B}",
        "<answer>A</answer>",
        "Answer: C",
    ]
    for text in constants:
        paid = [judge_choice(text, CITIES, gold, SOURCES).score for gold in range(len(CITIES))]
        assert sum(score or 0.0 for score in paid) <= 1.0


def test_a_gold_that_is_no_option_is_not_the_completions_fault() -> None:
    assert judge_choice(r"\boxed{A}", CITIES, 7, ("box",)).outcome is Outcome.UNGRADEABLE


def test_a_megabyte_is_judged_at_once() -> None:
    assert judge_choice("(A" * 500_000, CITIES, 1, SOURCES).score == 0.0
