"""Whether a program's output or value is the expected one: in linear time and without raising, whatever they are."""

import math
import re
from typing import Any

from sandbox.codec import Opaque

# Possessive: a run of digits has one reading, so that a word of a million of them takes no longer to refuse.
_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")


def same_output(printed: str, expected: str, tolerance: float | None = None) -> bool:
    """Whether two outputs have the same lines of the same words. Blank lines at the end do not count.

    With a tolerance, words that are numbers in both may differ by it; nan and infinity are not numbers.

    >>> same_output("1 2  \\n3\\n\\n", "1 2\\n3"), same_output("1", "1\\n2\\n3"), same_output("nan", "1.0", 1e-6)
    (True, False, False)
    """
    lines, expected_lines = printed.rstrip().split("\n"), expected.rstrip().split("\n")
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
    """Whether two words are equal or numbers that differ by no more than the tolerance."""
    if word == expected:
        return True
    if not _NUMBER.fullmatch(word) or not _NUMBER.fullmatch(expected):
        return False
    return close(float(word), float(expected), tolerance)


def close(value: float, expected: float, tolerance: float) -> bool:
    """Whether the difference is within the tolerance, absolutely or relatively; False for nan and infinity."""
    return abs(value - expected) <= tolerance * max(1.0, abs(expected)) < math.inf


def same_value(value: Any, expected: Any, tolerance: float | None = None) -> bool:
    """Whether two plain values are equal. Lists and tuples are alike, as JSON has no tuples.

    >>> same_value((1, [2.0]), [1, [2]]), same_value(float("nan"), 1.0, 1e-6)
    (True, False)
    """
    if isinstance(value, Opaque):
        return False
    if isinstance(value, list | tuple) and isinstance(expected, list | tuple):
        return len(value) == len(expected) and all(
            same_value(*pair, tolerance) for pair in zip(value, expected, strict=True)
        )
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(
            same_value(item, expected[key], tolerance) for key, item in value.items()
        )
    if tolerance is not None and type(value) in (int, float) and type(expected) in (int, float):
        try:
            return value == expected or close(float(value), float(expected), tolerance)
        except OverflowError:
            return False
    return bool(value == expected)
