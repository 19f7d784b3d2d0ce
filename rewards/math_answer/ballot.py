r"""The canonical form of an answer: equal answers have equal forms, so that they can be counted.

Forms are compared as text, so nothing is proved here: values are exact where they are rational and otherwise compared
to 9 digits at two fixed points; values that only sympy can show to be equal agree there too. What is a structure (a
list, a set, an interval) is compared part by part. Units and names in front of a value are left out, as the judge does.
"""

from contextlib import suppress
from functools import lru_cache

from rewards.math_answer.evaluate import NotExactError, NoValueError, canonical, exact, symbols
from rewards.math_answer.extract import extract
from rewards.math_answer.forms import is_name, plus_minus, split_unit
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError, written
from rewards.math_answer.policy import DEFAULT, Policy
from rewards.math_answer.probe import in_double, point
from rewards.math_answer.reading import read
from rewards.math_answer.reals import NoSetError, Piece, looks_like_set, pieces
from rewards.math_answer.scalars import is_scalar

DIGITS = 9  # doubles carry 15; the rest absorbs the rounding of different routes to one value


def canonical_answer(response: str, policy: Policy = DEFAULT) -> str | None:
    r"""The canonical form of the answer that ``response`` gives; None when it gives none.

    >>> canonical_answer(r"\boxed{\frac{1}{2}}") == canonical_answer("The answer is $0.50$.")
    True
    >>> canonical_answer(r"\boxed{2\sqrt{3}}") == canonical_answer(r"\boxed{\sqrt{12}}")
    True
    >>> canonical_answer(r"\boxed{(1, 2)}") == canonical_answer(r"\boxed{(2, 1)}")
    False
    """
    found = extract(response, policy.answer_in, policy.join_boxes, policy.next_question)
    return None if found is None else canonical_text(found.text)


@lru_cache(maxsize=8192)
def canonical_text(answer: str) -> str | None:
    """The canonical form of an answer that is already extracted; None for one that says nothing."""
    reading = read(answer)
    if not reading.spelled:
        return None
    if reading.tree is None:
        return reading.words or reading.spelled
    try:
        return canonical_tree(reading.tree)
    except (TooBigError, RecursionError, MemoryError, OverflowError):
        return reading.spelled


def canonical_tree(node: Node) -> str:
    """The canonical form of a tree."""
    node, _ = split_unit(node)
    if node.op == "rel" and node.value == ("=",) and is_name(node.args[0]):
        return canonical_tree(node.args[1])  # x = 5 says 5
    if looks_like_set(node):
        with suppress(NoSetError):
            return f"reals({' '.join(map(canonical_piece, pieces(node)))})"
    if node.op in ("list", "set"):
        items = [canonical_tree(value) for arg in node.args for value in plus_minus(arg)]
        return f"items({', '.join(sorted(items))})"
    both = plus_minus(node)
    if len(both) > 1:
        return f"items({', '.join(sorted(map(canonical_tree, both)))})"
    if is_scalar(node):
        return canonical_value(node)
    return f"{node.op}[{node.value}]({', '.join(map(canonical_tree, node.args))})"


def canonical_piece(piece: Piece) -> str:
    """An interval by its ends; ``x > 3`` and ``(3, \\infty)`` have the same."""
    low, high = canonical_tree(piece.low_node), canonical_tree(piece.high_node)
    return f"{'[' if piece.low_closed else '('}{low}, {high}{']' if piece.high_closed else ')'}"


def canonical_value(node: Node) -> str:
    """The exact value of a rational; otherwise the symbols, and the value at two points to ``DIGITS`` digits."""
    try:
        return written(exact(node))
    except (NotExactError, NoValueError):
        pass
    names = symbols(node)
    try:
        values = [in_double(point(names, index), (node,))[0][0] for index in (20, 21)]
    except NoValueError:
        return canonical(node)
    digits = " ".join(f"{rounded(value.real)}{rounded(value.imag)}i" for value in values)
    return f"value[{','.join(sorted(names))}]({digits})"


def rounded(number: float) -> str:
    """``number`` to ``DIGITS`` digits, with its sign; zero, and what is zero but for rounding, is ``+0``."""
    return "+0" if abs(number) < 10.0**-DIGITS else f"{number:+.{DIGITS - 1}e}"
