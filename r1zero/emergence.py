"""Reasoning behaviour, counted in text. Pure functions; nothing here decides a reward."""

import re

EQUATION = re.compile(r"\d\s*[-+*/]\s*\d+[^=\n]*=\s*-?\d+")
CHECK = re.compile(r"\((?:too (?:low|high)|yes|no)\)|\b(?:too (?:low|high|small|big|large)|let me check|check:)", re.I)


def count_tries(text: str) -> int:
    """Lines that hold at least one worked equation such as ``3 + 4 = 7``: attempts at the problem."""
    return sum(bool(EQUATION.search(line)) for line in text.splitlines())


def count_checks(text: str) -> int:
    """Written comparisons of a result with the goal, such as ``(too low)``."""
    return len(CHECK.findall(text))


def repeated_tries(text: str) -> int:
    """Attempts that repeat an earlier line word for word."""
    tries = [line.strip() for line in text.splitlines() if EQUATION.search(line)]
    return len(tries) - len(set(tries))


BEHAVIOURS = {"tries": count_tries, "checks": count_checks, "repeated_tries": repeated_tries}
