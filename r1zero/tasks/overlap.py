"""Text that two sets of problems share: n-grams of words, as decontamination scripts count them. Pure functions."""

import re
from collections.abc import Sequence
from typing import NamedTuple

DEFAULT_NGRAM = 8  # open-r1, scripts/decontaminate.py: --ngram_size 8
_WORD = re.compile(r"[^\W_]+|[-+*/=<>^]")


class Match(NamedTuple):
    """The training problem that a held-out one shares text with, and that text."""

    train: int
    words: str


def questions(prompts: Sequence[str]) -> list[str]:
    """The prompts without what all of them begin and end with: the template's words are nobody's problem.

    Words are kept whole: a common beginning that ends within one stops in front of it. With one prompt, nothing is
    known of its template, and it is returned as it is.

    >>> questions(["Solve: 12 + 3. Answer:", "Solve: 14 - 2. Answer:"])
    ['12 + 3.', '14 - 2.']
    """
    if len(set(prompts)) < 2:
        return list(prompts)
    front = whole_words(common_start(prompts))
    rest = [prompt[front:] for prompt in prompts]
    back = whole_words(common_start([text[::-1] for text in rest]))
    return [text[: len(text) - back].strip() for text in rest]


def common_start(texts: Sequence[str]) -> str:
    """The characters that all texts begin with."""
    first, last = min(texts), max(texts)  # what these two share, all in between share
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:length]


def whole_words(common: str) -> int:
    """The length of ``common`` up to and with its last white space."""
    cut = re.search(r"\s(?=\S*$)", common)
    return cut.end() if cut else 0


def words_of(text: str) -> tuple[str, ...]:
    """Words, numbers and operators, case aside."""
    return tuple(_WORD.findall(text.lower()))


def ngrams(words: tuple[str, ...], n: int) -> list[tuple[str, ...]]:
    """Every ``n`` words in a row; of fewer words, all of them as one."""
    return [words[at : at + n] for at in range(len(words) - n + 1)] if len(words) >= n else [words]


def overlapping(train: Sequence[str], test: Sequence[str], n: int = DEFAULT_NGRAM) -> dict[int, Match]:
    """The held-out texts, by index, that share ``n`` words in a row with a training text, and the first such place.

    Raises:
        ValueError: ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"ngram = {n}: must be at least 1.")
    wanted: dict[tuple[str, ...], list[int]] = {}
    for index, text in enumerate(test):
        for gram in set(ngrams(words_of(text), n)):
            wanted.setdefault(gram, []).append(index)
    found: dict[int, Match] = {}
    for index, text in enumerate(train):
        for gram in ngrams(words_of(text), n):
            for held_out in wanted.get(gram, ()):
                if gram:
                    found.setdefault(held_out, Match(index, " ".join(gram)))
    return dict(sorted(found.items()))
