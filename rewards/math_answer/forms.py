r"""Other forms of one tree: without its unit, with both signs of ``\pm``, as a matrix, a relation turned around.

Every function looks at one tree; comparing two is the business of `compare`.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

from rewards.math_answer.evaluate import as_number, canonical, holds
from rewards.math_answer.nodes import FLIPPED, Node
from rewards.math_answer.scalars import is_scalar

_TWO_ENDS = re.compile(r"[A-Z]{1,4}'*")


def split_unit(node: Node) -> tuple[Node, str | None]:
    """The tree without its unit, and the unit."""
    if node.op == "neg":
        value, unit = split_unit(node.args[0])
        return (Node("neg", (value,)), unit) if unit else (node, None)
    if node.op == "deg":
        return node.args[0], "degree"
    if node.op == "mul" and node.args[-1].op == "unit":
        rest = node.args[:-1]
        value = rest[0] if len(rest) == 1 else Node("mul", rest)
        inner, second = split_unit(value)
        return (value, str(node.args[-1].value)) if second is None else (inner, f"{second} {node.args[-1].value}")
    if node.op == "mul" and node.args[-1].op == "deg" and len(node.args) == 2 and node.args[0].op == "num":
        return Node("mul", (node.args[0], node.args[-1].args[0])), "degree"
    return node, None


def without_percent(node: Node) -> Node:
    """The tree without a percent sign; itself when it has none."""
    if node.op == "neg" and node.args[0].op == "pct":
        return Node("neg", node.args[0].args)
    return node.args[0] if node.op == "pct" else node


def as_clock(node: Node, half_days: bool = False) -> tuple[Fraction, Fraction, Fraction, str] | None:
    """Hour, minute, second, and "am", "pm" or ""; of "9 pm" too. None when the tree is no time of day.

    With ``half_days``, 16:30 is 4:30 pm: the time that it is compared with says which half of the day it means.
    """
    if node.op == "mul" and len(node.args) == 2 and node.args[1].op == "unit" and node.args[1].value in ("am", "pm"):
        node = Node("clock", node.args[:1], node.args[1].value)
    if node.op != "clock" or any(arg.op != "num" for arg in node.args):
        return None
    hour, minute, second = ([arg.value for arg in node.args] + [Fraction(0)] * 2)[:3]
    assert isinstance(hour, Fraction)
    assert isinstance(minute, Fraction)
    assert isinstance(second, Fraction)
    if half_days and not node.value and hour > 12:
        return hour - 12, minute, second, "pm"
    return hour, minute, second, str(node.value)


def is_label(node: Node) -> bool:
    r"""Whether a tree can stand in front of ``=`` as the thing asked for: ``x+y``, ``|z|``, ``\cos A``, ``BC^2``.

    It names something and holds no number but in exponents, orders of roots, and arguments of functions: ``2x = 10`` is
    a problem put once more. In a sum no exponents may be either: ``x^2+y^2 = 1`` is a curve.
    """
    if node.op == "neg":
        return False
    return is_name(node) or (_holds_name(node) and _without_numbers(node))


def _holds_name(node: Node) -> bool:
    return node.op in ("sym", "call", "name", "big") or any(map(_holds_name, node.args))


def _without_numbers(node: Node) -> bool:
    if node.op in ("sym", "const", "call", "name", "big", "fn"):
        return True
    if node.op in ("pow", "root"):
        return _without_numbers(node.args[0])
    if node.op == "add" and holds(node, "pow", "root"):
        return False
    return node.op in ("add", "mul", "neg", "inv", "abs", "fact", "cup", "cap", "setminus") and all(
        map(_without_numbers, node.args)
    )


def is_name(node: Node) -> bool:
    r"""Whether a tree can be the left side of its value: ``x``, ``f(x)``, ``|AB|``, ``\angle ABC``, ``A:B``."""
    if node.op in ("sym", "call", "name") or node in (Node("const", (), "e"), Node("const", (), "i")):
        return True
    if node.op == "mul":  # AB, or P(A)
        letters = [str(arg.value) for arg in node.args if arg.op == "sym"]
        if len(letters) != len(node.args):
            return False
        return all(_TWO_ENDS.fullmatch(letter) for letter in letters) and len(letters) <= 4
    if node.op == "abs":
        return is_name(node.args[0]) and node.args[0].op == "mul"
    if node.op in ("ratio", "bracket"):
        return all(map(is_name, node.args))
    return node.op == "big" and node.value == "derivative"


def plus_minus(node: Node) -> tuple[Node, ...]:
    """The one or two values of a tree with plus-minus signs; all of them take the same side at once."""

    def side(tree: Node, upper: bool) -> Node:
        if tree.op in ("pm", "mp"):
            value = side(tree.args[0], upper)
            return value if (tree.op == "pm") == upper else Node("neg", (value,))
        return tree._replace(args=tuple(side(arg, upper) for arg in tree.args)) if tree.args else tree

    def present(tree: Node) -> bool:
        return tree.op in ("pm", "mp") or any(map(present, tree.args))

    return (as_number(side(node, True)), as_number(side(node, False))) if present(node) else (node,)


def as_matrix(node: Node) -> Node:
    """``[[1, 2], [3, 4]]`` as a matrix, and a number times a matrix entry by entry; other trees as they are."""
    if node.op == "bracket" and node.value == "[]":
        rows = node.args
        if all(row.op == "bracket" and row.value == "[]" for row in rows) and len({len(row.args) for row in rows}) == 1:
            return Node("matrix", tuple(cell for row in rows for cell in row.args), (len(rows), len(rows[0].args)))
    if node.op == "neg" and node.args[0].op == "matrix":
        node = Node("mul", (Node("num", (), Fraction(-1)), node.args[0]))
    if node.op == "mul":
        matrices = [arg for arg in node.args if arg.op == "matrix"]
        scale = tuple(arg for arg in node.args if arg.op != "matrix")
        if len(matrices) == 1 and all(map(is_scalar, scale)):
            (matrix,) = matrices
            return matrix._replace(args=tuple(as_number(Node("mul", (*scale, cell))) for cell in matrix.args))
    return node


def upward(node: Node) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Sides and signs of a relation, turned so that it points upward: ``a < b``, not ``b > a``."""
    assert isinstance(node.value, tuple)
    signs = tuple(str(sign) for sign in node.value)
    if any(sign in (">", r"\ge") for sign in signs):
        return node.args[::-1], tuple(FLIPPED.get(sign, sign) for sign in reversed(signs))
    return node.args, signs


def substituted(node: Node, values: Mapping[str, Fraction]) -> Node:
    """The tree with numbers for its symbols."""
    if node.op == "sym" and node.value in values:
        return Node("num", (), values[str(node.value)])
    if node.op in ("call", "big", "name"):
        return Node("num", (), values[canonical(node)])
    return node._replace(args=tuple(substituted(arg, values) for arg in node.args))
