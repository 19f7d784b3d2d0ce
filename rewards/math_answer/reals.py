"""Sets of real numbers: intervals, points, unions, complements and solved inequalities, in one normal form.

A set is a sorted tuple of disjoint pieces. Bounds are constants; with a symbol in a bound there is no normal form, and
the comparison goes by structure instead.
"""

from fractions import Fraction
from typing import NamedTuple

from rewards.math_answer.evaluate import NotExactError, NoValueError, as_number, exact, symbols
from rewards.math_answer.nodes import FLIPPED, Node
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.probe import in_double

INFINITY = Node("const", (), "inf")
MAX_PIECES = 60


class NoSetError(Exception):
    """The tree is not a set of reals with constant bounds."""


class Piece(NamedTuple):
    """An interval or, when both ends are closed and equal, a point.

    Attributes:
        low, high: The ends as numbers, to sort by; floats where they are irrational or infinite.
        low_closed, high_closed: Whether an end belongs to it.
        low_node, high_node: The ends as trees, to compare by.
    """

    low: float | Fraction
    high: float | Fraction
    low_closed: bool
    high_closed: bool
    low_node: Node
    high_node: Node


_WHOLE = Piece(float("-inf"), float("inf"), False, False, Node("neg", (INFINITY,)), INFINITY)


def looks_like_set(node: Node) -> bool:
    """Whether the tree can only be read as a set of reals, not as a point or a list."""
    if node.op in ("cup", "cap", "setminus", "builder", "reals"):
        return True
    if node.op == "rel":
        assert isinstance(node.value, tuple)
        return all(sign != "=" for sign in node.value)
    if node.op == "list":
        return all(map(looks_like_set, node.args)) and node.args[0].op == "rel"
    if node.op == "bracket" and len(node.args) == 2:
        return node.value != "()" or any(arg in (INFINITY, _WHOLE.low_node) for arg in node.args)
    return False


def pieces(node: Node) -> tuple[Piece, ...]:
    """The normal form.

    Raises:
        NoSetError: The tree has none.
    """
    return _merged(_pieces(node))


def _pieces(node: Node) -> list[Piece]:
    op, args = node.op, node.args
    if op == "bracket" and len(args) == 2:
        brackets = str(node.value)
        return [_interval(args[0], args[1], brackets[0] == "[", brackets[1] == "]")]
    if op == "set":
        return [_interval(arg, arg, True, True) for arg in args]
    if op == "reals":
        return [_WHOLE]
    if op == "empty":
        return []
    if op == "cup":
        return _pieces(args[0]) + _pieces(args[1])
    if op == "cap":
        return _intersection(_pieces(args[0]), _pieces(args[1]))
    if op == "setminus":
        return _intersection(_pieces(args[0]), _complement(_pieces(args[1])))
    if op == "builder":
        return _condition(args[1], args[0])
    if op in ("rel", "list"):
        return _condition(node, None)
    raise NoSetError


def _key(node: Node) -> float | Fraction:
    """The number to sort a bound by."""
    if node == INFINITY:
        return float("inf")
    if node.op == "neg" and node.args[0] == INFINITY:
        return float("-inf")
    if symbols(node):
        raise NoSetError
    try:
        return exact(node)
    except NotExactError:
        pass
    except (NoValueError, TooBigError) as error:
        raise NoSetError from error
    try:
        (value,), _ = in_double({}, (node,))
    except NoValueError as error:
        raise NoSetError from error
    if abs(value.imag) > 1e-12 * (1 + abs(value)):
        raise NoSetError
    return value.real


def _interval(low: Node, high: Node, low_closed: bool, high_closed: bool) -> Piece:
    left, right = _key(low), _key(high)
    closed = low_closed and high_closed
    if left > right or (left == right and not closed):
        raise NoSetError
    infinite = float("inf")
    return Piece(left, right, low_closed and left != -infinite, high_closed and right != infinite, low, high)


def _condition(node: Node, variable: Node | None) -> list[Piece]:
    """The reals that satisfy a solved inequality, or a list of them joined by "or" or "and"."""
    if node.op == "list":
        assert isinstance(node.value, tuple)
        parts = [_condition(arg, variable) for arg in node.args]
        names = {_variable(arg) for arg in node.args}
        if len(names) != 1 or len(set(node.value)) != 1 or node.value[0] not in ("or", "and"):
            raise NoSetError
        found = parts[0]
        for part in parts[1:]:
            found = found + part if node.value[0] == "or" else _intersection(found, part)
        return found
    if node.op != "rel":
        raise NoSetError
    distance = _distance(node)
    if distance is not None and (variable is None or distance[0] == variable):
        return distance[1]
    name = _variable(node)
    if variable is not None and variable.op == "rel":  # {x \in R | ...}
        variable = variable.args[0]
    if variable is not None and variable != name:
        raise NoSetError
    assert isinstance(node.value, tuple)
    sides, signs = node.args, [str(sign) for sign in node.value]
    at = sides.index(name)
    found = [_WHOLE]
    for index, sign in enumerate(signs):
        if index + 1 == at:  # bound (sign) x
            found = _intersection(found, _bounded(FLIPPED.get(sign, sign), sides[index]))
        elif index == at:
            found = _intersection(found, _bounded(sign, sides[index + 1]))
        else:
            raise NoSetError
    return found


def _distance(node: Node) -> tuple[Node, list[Piece]] | None:
    r"""The variable and the reals of ``|x - c| < r`` or ``|x - c| > r``; None for any other relation."""
    if len(node.args) != 2 or node.args[0].op != "abs" or not isinstance(node.value, tuple):
        return None
    inside, radius, sign = node.args[0].args[0], node.args[1], node.value[0]
    terms = inside.args if inside.op == "add" else (inside,)
    names = [term for term in terms if term.op == "sym" and term.value not in ("z", "w")]  # those are complex numbers
    if (
        len(names) != 1
        or symbols(Node("add", tuple(term for term in terms if term is not names[0])))
        or symbols(radius)
    ):
        return None
    center = as_number(Node("add", tuple(Node("neg", (term,)) for term in terms if term is not names[0])))
    low, high = (as_number(Node("add", (center, end))) for end in (Node("neg", (radius,)), radius))
    if sign in ("<", r"\le"):
        return names[0], [_interval(low, high, sign == r"\le", sign == r"\le")]
    if sign in (">", r"\ge"):
        closed = sign == r"\ge"
        return names[0], [*_bounded(r"\le" if closed else "<", low), *_bounded(sign, high)]
    return None


def _variable(node: Node) -> Node:
    """The one side of a relation that is a name; all others are constants."""
    named = [side for side in node.args if side.op in ("sym", "call", "name")]
    if node.op != "rel" or len(named) != 1:
        raise NoSetError
    return named[0]


def _bounded(sign: str, bound: Node) -> list[Piece]:
    """The reals x with ``x (sign) bound``."""
    if sign == r"\in":
        return _pieces(bound)
    if sign == r"\ne":
        return _complement([_interval(bound, bound, True, True)])
    if sign in ("<", r"\le"):
        return [_interval(_WHOLE.low_node, bound, False, sign == r"\le")]
    if sign in (">", r"\ge"):
        return [_interval(bound, INFINITY, sign == r"\ge", False)]
    raise NoSetError


def _merged(found: list[Piece]) -> tuple[Piece, ...]:
    """Sorted, and pieces that touch or overlap joined."""
    if len(found) > MAX_PIECES:
        raise NoSetError
    out: list[Piece] = []
    for piece in sorted(found, key=lambda piece: (piece.low, not piece.low_closed)):
        if out and _touch(out[-1], piece):
            last = out[-1]
            if (piece.high, piece.high_closed) > (last.high, last.high_closed):
                out[-1] = last._replace(high=piece.high, high_closed=piece.high_closed, high_node=piece.high_node)
        else:
            out.append(piece)
    return tuple(out)


def _touch(left: Piece, right: Piece) -> bool:
    return right.low < left.high or (right.low == left.high and (left.high_closed or right.low_closed))


def _complement(found: list[Piece]) -> list[Piece]:
    """The reals that are in none of the pieces."""
    out, low = [], _WHOLE
    for piece in _merged(found):
        if piece.low > low.low or (low.low_closed and not piece.low_closed and piece.low == low.low):
            out.append(low._replace(high=piece.low, high_closed=not piece.low_closed, high_node=piece.low_node))
        low = _WHOLE._replace(low=piece.high, low_closed=not piece.high_closed, low_node=piece.high_node)
    if low.low < float("inf"):
        out.append(low)
    return [
        piece._replace(
            low_closed=piece.low_closed and piece.low != float("-inf"),
            high_closed=piece.high_closed and piece.high != float("inf"),
        )
        for piece in out
    ]


def _intersection(left: list[Piece], right: list[Piece]) -> list[Piece]:
    if len(left) * len(right) > MAX_PIECES**2:
        raise NoSetError
    out = []
    for a in left:
        for b in right:
            low = max(a, b, key=lambda piece: (piece.low, not piece.low_closed))
            high = min(a, b, key=lambda piece: (piece.high, piece.high_closed))
            piece = Piece(low.low, high.high, low.low_closed, high.high_closed, low.low_node, high.high_node)
            if piece.low < piece.high or (piece.low == piece.high and piece.low_closed and piece.high_closed):
                out.append(piece)
    return out
