"""The small judges of published recipes: values worked by hand, ends of their ranges, what they refuse."""

import math

import pytest

from rewards import Outcome
from rewards.recipes import (
    judge_cosine_length,
    judge_language,
    judge_repetition,
    judge_soft_overlong,
    judge_tag_count,
)


@pytest.mark.parametrize(
    ("text", "language", "score"),
    [
        ("the sum is 12", "en", 1.0),
        ("", "en", 1.0),
        ("12 + 5 = 17", "en", 1.0),  # no word at all
        ("因此 answer", "en", 1 / 3),  # two characters and one word
        ("因此 answer", "zh", 2 / 3),
        ("ответ 5", "en", 0.0),
        (r"$\frac{ответ}{x}$ so \alpha", "en", 1.0),  # notation is no language
        ("α = 5 so", "en", 1.0),  # a Greek letter is a symbol
    ],
)
def test_language(text: str, language: str, score: float) -> None:
    assert judge_language(text, language).score == pytest.approx(score)


def test_language_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"language = xx: must be one of .*zh"):
        judge_language("a", "xx")


@pytest.mark.parametrize(
    ("num_tokens", "correct", "score"),
    [
        (0, True, 1.0),
        (100, True, 0.75),
        (50, True, 0.875),  # cos(pi/2) = 0: half way
        (25, True, 0.75 + 0.125 * (1 + math.sqrt(0.5))),
        (0, False, 0.0),
        (50, False, 0.125),
        (100, False, 0.25),
        (1000, False, 0.25),  # beyond the end, not back up the cosine
        (1000, True, 0.75),
    ],
)
def test_cosine_length(num_tokens: int, correct: bool, score: float) -> None:
    assert judge_cosine_length(num_tokens, 100, correct).score == pytest.approx(score)


def test_cosine_length_never_pays_wrong_more_than_right() -> None:
    right = [judge_cosine_length(n, 100, True).score for n in range(0, 200, 5)]
    wrong = [judge_cosine_length(n, 100, False).score for n in range(0, 200, 5)]
    assert min(right) > max(wrong)


@pytest.mark.parametrize(("num_tokens", "score"), [(0, 1.0), (80, 1.0), (90, 0.5), (95, 0.25), (100, 0.0), (500, 0.0)])
def test_soft_overlong(num_tokens: int, score: float) -> None:
    assert judge_soft_overlong(num_tokens, 100, 20).score == pytest.approx(score)


@pytest.mark.parametrize(("max_tokens", "buffer_tokens"), [(100, 0), (100, 101), (0, 1)])
def test_soft_overlong_refuses_what_cannot_work(max_tokens: int, buffer_tokens: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        judge_soft_overlong(10, max_tokens, buffer_tokens)


@pytest.mark.parametrize(
    ("text", "score"), [("", 1.0), ("one two", 1.0), ("a b c d", 1.0), ("a b c a b c", 0.75), ("no " * 102, 0.01)]
)
def test_repetition(text: str, score: float) -> None:
    assert judge_repetition(text).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "score", "outcome"),
    [
        ("<think>a</think> <answer>5</answer>", 1.0, Outcome.CORRECT),
        ("<think>a</think> 5", 0.5, Outcome.WRONG),
        ("<think><think>a</think>", 0.25, Outcome.WRONG),  # a tag twice is not a tag
        ("5", 0.0, Outcome.WRONG),
    ],
)
def test_tag_count(text: str, score: float, outcome: Outcome) -> None:
    verdict = judge_tag_count(text)
    assert (verdict.score, verdict.outcome) == (score, outcome)
