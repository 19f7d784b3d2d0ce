"""Tables for the tags: what is extracted, what is well-formed, and that nothing raises or stalls."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import Outcome, Verdict
from rewards.tags import TAGS, extract_answer, judge_format

EXPLOITS_FILE = Path(__file__).parents[1] / "data" / "exploits_format.jsonl"
EXPLOITS = [json.loads(line) for line in EXPLOITS_FILE.read_text(encoding="utf-8").splitlines()]

EXTRACTIONS = [
    # The answer and its surroundings
    ("<think>a</think> <answer> (1 + 2) / 3 </answer>", "(1 + 2) / 3", "stripped"),
    ("<think>a</think><answer>\n1\n+ 2\n</answer>", "1\n+ 2", "only the ends are stripped"),
    ("<answer>5</answer>", "5", "no think tags: the format judge's business"),
    ("well <answer>5</answer> then", "5", "text around the answer, likewise"),
    ("a</think> <answer>5</answer>", "5", "</think> alone: the completion without its prefill"),
    ("<think>a</think> b <think>c</think> <answer>5</answer>", "5", "thinking twice, closed twice"),
    ("<answer>5 </ answer></answer>", "5 </ answer>", "an inexact tag is text"),
    ("<Answer>4</Answer> <answer>5</answer>", "5", "tags are case-sensitive"),
    # No answer
    ("", None, "nothing"),
    ("5", None, "no tags"),
    ("<answer>5", None, "cut off"),
    ("5</answer>", None, "never opened"),
    ("<answer></answer>", None, "empty"),
    ("<answer> \n\t </answer>", None, "whitespace only"),
    ("</answer>5<answer>", None, "out of order"),
    ("</answer><answer>", None, "out of order, touching"),
    ("<answer id=1>5</answer>", None, "an attribute makes it another tag"),
    # More than one answer
    ("<answer>5</answer><answer>5</answer>", None, "twice, even the same"),
    ("<answer>4<answer>5</answer>", None, "opened twice"),
    ("<answer>5</answer></answer>", None, "closed twice"),
    ("<answer><answer>5</answer></answer>", None, "nested"),
    ("<think>is it <answer>4</answer>?</think> <answer>5</answer>", None, "a first one inside the thinking"),
    # Inside an open think section
    ("<think><answer>5</answer>", None, "never closed"),
    ("<think><answer>5</answer></think>", None, "closed after the answer"),
    ("<answer>5</answer></think>", None, "prefilled <think> missing, still before </think>"),
    ("<think>a</think> <think>b <answer>5</answer>", None, "opened again before the answer"),
    ("<think>a</think> <answer>5</answer> <think>no", None, "thinking taken up again"),
    ("<think>a</think> <answer>5</answer> <think>no</think>", None, "thinking taken up again and closed"),
    ("<answer>5</answer> <think>a</think>", None, "the answer comes first"),
    ("<think>a</think> <answer>5<think></answer>", None, "a think tag in the answer"),
    ("<think>a <answer>5</think></answer>", None, "interleaved"),
]

WELL_FORMED = [
    ("<think>a</think> <answer>5</answer>", "the prompt's own example"),
    ("<think>a</think><answer>5</answer>", "nothing between"),
    ("\n <think>\na\n\nb\n</think>\n\n<answer>\n5\n</answer>\n", "whitespace and newlines anywhere"),
    ("<think>1 < 2 <b> </ think></think> <answer>x > 3</answer>", "angle brackets that are not the tags"),
    ("<think>.</think> <answer>anything</answer>", "content is not looked at"),
]

MALFORMED = [
    # (text, outcome, score, detail, why); an extractable answer earns the default partial credit 0.1
    ("<think>a</think>", Outcome.NO_ANSWER, 0.0, "0 <answer>, 0 </answer>", "never answers"),
    ("", Outcome.NO_ANSWER, 0.0, "0 <think>, 0 </think>, 0 <answer>, 0 </answer>", "empty completion"),
    ("<think>a</think> <answer>5", Outcome.NO_ANSWER, 0.0, "0 </answer>", "cut off at the token limit"),
    ("<answer>5</answer>", Outcome.BAD_FORMAT, 0.1, "0 <think>, 0 </think>", "no thinking"),
    ("<think>a</think> <answer>5</answer></answer>", Outcome.BAD_FORMAT, 0.0, "2 </answer>", "repeated closing tag"),
    ("<think>a</think> <answer>5</answer>.", Outcome.BAD_FORMAT, 0.1, "text after </answer>", "a dot is junk too"),
    ("So <think>a</think> <answer>5</answer>", Outcome.BAD_FORMAT, 0.1, "text before <think>", "a preamble"),
    (
        "<think>a</think> so <answer>5</answer>",
        Outcome.BAD_FORMAT,
        0.1,
        "text between </think> and <answer>",
        "between",
    ),
    ("<think>\n</think> <answer>5</answer>", Outcome.BAD_FORMAT, 0.1, "empty think", "prefilled and closed at once"),
    ("<think>a</think> <answer> </answer>", Outcome.BAD_FORMAT, 0.0, "empty answer", "the tags alone"),
    ("<think>a <answer>5</answer> </think>", Outcome.BAD_FORMAT, 0.0, "tags out of order", "answer inside think"),
    ("<answer>5</answer> <think>a</think>", Outcome.BAD_FORMAT, 0.0, "tags out of order", "answer first"),
    ("</think>a<think> <answer>5</answer>", Outcome.BAD_FORMAT, 0.0, "tags out of order", "think reversed"),
    ("<think>a</think> </answer>5<answer>", Outcome.BAD_FORMAT, 0.0, "tags out of order", "answer reversed"),
]

MEGABYTE = 1_000_000
LARGE = [
    ("<answer>" * (MEGABYTE // 8), Outcome.NO_ANSWER, 0.0, "opening tags"),
    ("<answer></answer>" * (MEGABYTE // 17), Outcome.BAD_FORMAT, 0.0, "empty pairs"),
    ("<think" * (MEGABYTE // 6), Outcome.NO_ANSWER, 0.0, "almost a tag"),
    ("<think>" * (MEGABYTE // 7) + "</think> <answer>5</answer>", Outcome.BAD_FORMAT, 0.1, "opened 142857 times"),
    ("<think>a</think>" + " " * MEGABYTE + "<answer>5</answer>" + " " * MEGABYTE, Outcome.CORRECT, 1.0, "spaces"),
    ("<think>a</think>" + " " * MEGABYTE + "x<answer>5</answer>", Outcome.BAD_FORMAT, 0.1, "spaces, then a character"),
    ("<think>" + "a" * MEGABYTE + "</think><answer>5</answer>", Outcome.CORRECT, 1.0, "a long thought"),
]


@pytest.mark.parametrize(("text", "expected", "why"), EXTRACTIONS)
def test_extract_answer(text: str, expected: str | None, why: str) -> None:
    assert extract_answer(text) == expected, why


@pytest.mark.parametrize(("text", "why"), WELL_FORMED)
def test_well_formed_text_is_correct(text: str, why: str) -> None:
    assert judge_format(text) == Verdict(1.0, Outcome.CORRECT), why


@pytest.mark.parametrize(("text", "outcome", "score", "detail", "why"), MALFORMED)
def test_malformed_text_is_named(text: str, outcome: Outcome, score: float, detail: str, why: str) -> None:
    assert judge_format(text) == Verdict(score, outcome, detail), why


@pytest.mark.parametrize("row", EXPLOITS, ids=lambda row: f"{row['source']}: {row['why']}")
def test_known_exploits(row: dict) -> None:
    verdict = judge_format(row["text"])
    assert (verdict.outcome.name, verdict.score) == (row["outcome"], row["score"]), verdict.detail
    assert extract_answer(row["text"]) == row["extracted"]


@pytest.mark.parametrize(("text", "outcome", "score", "why"), LARGE, ids=[row[-1] for row in LARGE])
def test_large_text_gets_a_verdict(text: str, outcome: Outcome, score: float, why: str) -> None:
    verdict = judge_format(text)
    assert (verdict.outcome, verdict.score) == (outcome, score)


def test_partial_credit_is_what_the_caller_says() -> None:
    assert judge_format("<answer>5</answer>", partial_credit=0.25).score == 0.25
    assert judge_format("<answer>5</answer>", partial_credit=0.0).score == 0.0
    assert judge_format("<think>a</think><answer>5</answer>", partial_credit=0.0).score == 1.0


@pytest.mark.parametrize("partial_credit", [-0.1, 1.1, float("nan"), float("inf")])
def test_partial_credit_outside_the_unit_interval_is_refused(partial_credit: float) -> None:
    with pytest.raises(ValueError, match="partial_credit = "):
        judge_format("<think>a</think><answer>5</answer>", partial_credit=partial_credit)


@pytest.mark.parametrize(
    ("score", "outcome", "why"),
    [
        (None, Outcome.WRONG, "wrong is a number"),
        (None, Outcome.CORRECT, "right is a number"),
        (0.0, Outcome.UNGRADEABLE, "broken is not wrong"),
        (-0.1, Outcome.WRONG, "below 0"),
        (1.1, Outcome.CORRECT, "above 1"),
        (float("nan"), Outcome.CORRECT, "not a number"),
    ],
)
def test_contradictory_verdict_is_refused(score: float | None, outcome: Outcome, why: str) -> None:
    with pytest.raises(ValueError, match="score = "):
        Verdict(score, outcome)


@given(st.lists(st.sampled_from([*TAGS, "a", " ", "\n", "<", "</", ">", "5"]), max_size=12).map("".join))
def test_the_two_functions_agree(text: str) -> None:
    """Well-formed text has an answer; an extracted answer has no tags, is stripped, and is paid at least in part."""
    answer, verdict = extract_answer(text), judge_format(text)
    assert (answer is not None) == (verdict.score > 0.0)
    if answer is not None:
        assert answer and answer == answer.strip()
        assert not any(tag in answer for tag in TAGS)


@given(st.text())
def test_any_text_gets_a_verdict(text: str) -> None:
    assert judge_format(text).outcome is Outcome.NO_ANSWER or any(tag in text for tag in TAGS)
    assert judge_format(f"<think>{text}</think><answer>{text}</answer>").score is not None
