"""Whether a program's output or value is the expected one: in linear time and without raising, whatever they are."""

import math
import re
from collections import deque
from numbers import Number
from typing import Any

from sandbox.codec import Opaque

# Possessive: a run of digits has one reading, so that a word of a million of them takes no longer to refuse.
_INTEGER = re.compile(r"[+-]?[0-9]++")
_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_LISTS: Any = (list, tuple, deque, range, type({}.values()))


def same_output(printed: str, expected: str, tolerance: float | None = None) -> bool:
    """Whether two outputs have the same lines of the same words. Blank lines at the ends do not count.

    With a tolerance, words that are numbers in both are compared as numbers, see `same_word`.

    >>> same_output("1 2  \\n3\\n\\n", "1 2\\n3"), same_output("1", "1\\n2\\n3"), same_output("nan", "1.0", 1e-6)
    (True, False, False)
    """
    lines, expected_lines = printed.strip().split("\n"), expected.strip().split("\n")
    if len(lines) != len(expected_lines):
        return False
    for line, expected_line in zip(lines, expected_lines, strict=True):
        words, expected_words = line.split(), expected_line.split()
        if words == expected_words:
            continue
        if tolerance is None or len(words) != len(expected_words):
            return False
        if not all(same_word(*pair, tolerance) for pair in zip(words, expected_words, strict=True)):
            return False
    return True


def same_word(word: str, expected: str, tolerance: float) -> bool:
    """Whether two words are equal or numbers: whole ones the same, others no further apart than the tolerance.

    >>> same_word("100000000001", "100000000000", 1e-6), same_word("+07", "7", 0.0), same_word("0.50", ".5", 0.0)
    (False, True, True)
    """
    if word == expected:
        return True
    if _INTEGER.fullmatch(word) and _INTEGER.fullmatch(expected):
        return whole(word) == whole(expected)
    if not _NUMBER.fullmatch(word) or not _NUMBER.fullmatch(expected):
        return False
    return close(float(word), float(expected), tolerance)


def whole(word: str) -> str:
    """The digits of a whole number in one form, as reading a long one takes long."""
    digits = word.lstrip("+-").lstrip("0")
    return ("-" if word.startswith("-") and digits else "") + digits


def close(value: float, expected: float, tolerance: float) -> bool:
    """Whether the difference is within the tolerance, absolutely or relatively; False for nan and infinity."""
    return abs(value - expected) <= tolerance * max(1.0, abs(expected)) < math.inf


def same_value(value: Any, expected: Any, tolerance: float | None = None) -> bool:
    """Whether a value is what JSON says is expected: lists and tuples are alike, and so are the keys 1 and "1".

    With a tolerance, a number may be off by it if one of the two is no whole number.

    >>> same_value((1, [2.0]), [1, [2]]), same_value({1: 2}, {"1": 2}), same_value(10**9 + 1, 10**9, 1e-6)
    (True, True, False)
    """
    value = plain(value, expected)
    if isinstance(value, Opaque):
        return False
    if isinstance(value, _LISTS) and isinstance(expected, list | tuple):
        return len(value) == len(expected) and all(
            same_value(*pair, tolerance) for pair in zip(value, expected, strict=True)
        )
    if isinstance(value, dict) and isinstance(expected, dict):
        if value.keys() != expected.keys():
            value = {key if key in expected else as_key(key): item for key, item in value.items()}
        return value.keys() == expected.keys() and all(
            same_value(item, expected[key], tolerance) for key, item in value.items()
        )
    if tolerance is not None and isinstance(value, Number) and type(expected) in (int, float):
        if type(value) is type(expected) is int or isinstance(value, bool | complex):
            return bool(value == expected)
        try:
            return bool(value == expected) or close(float(value), float(expected), tolerance)  # type: ignore[arg-type]
        except (OverflowError, ValueError, TypeError):
            return False
    return bool(value == expected)


def plain(value: Any, expected: Any) -> Any:
    """An array, a scalar of one or an iterator as what Python has for it."""
    if type(value).__module__ == "numpy":
        return value.tolist()
    if isinstance(expected, list) and hasattr(type(value), "__next__"):
        return [item for item, _ in zip(value, range(len(expected) + 1), strict=False)]
    return value


def as_key(key: Any) -> Any:
    """A key as JSON writes it."""
    return str(key) if type(key) in (int, float) else key
