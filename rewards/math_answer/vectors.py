r"""Vectors in other notations: a transposed row, and sums of unit vectors such as ``2\mathbf{i} - \mathbf{j}``."""

from fractions import Fraction

from rewards.math_answer.nodes import Node

_ONE = Node("num", (), Fraction(1))
_ZERO = Node("num", (), Fraction(0))
_AXES = {
    **dict.fromkeys(("i", r"\hat{i}", r"\vec{i}", r"\hat{\imath}", r"\overrightarrow{i}"), 0),
    **dict.fromkeys(("j", r"\hat{j}", r"\vec{j}", r"\hat{\jmath}", r"\overrightarrow{j}"), 1),
    **dict.fromkeys(("k", r"\hat{k}", r"\vec{k}", r"\overrightarrow{k}"), 2),
}


def transposed(node: Node, power: Node) -> Node | None:
    """The matrix or tuple ``node`` as its transpose, when it is one and the ``power`` behind it is a T; else None."""
    if power not in (Node("sym", (), "T"), Node("sym", (), "t")) or node.op not in ("bracket", "matrix"):
        return None
    if node.op == "bracket":
        return Node("matrix", node.args, (len(node.args), 1))
    assert isinstance(node.value, tuple)
    rows, columns = (int(size) for size in node.value)
    cells = tuple(node.args[row * columns + column] for column in range(columns) for row in range(rows))
    return Node("matrix", cells, (columns, rows))


def components(node: Node, size: int) -> tuple[Node, ...] | None:
    """The ``size`` components of a sum of multiples of unit vectors; None when it is none.

    ``i`` alone is the imaginary unit, so another unit vector must be there too, or a hat.
    """
    found: dict[int, Node] = {}
    names = set()
    for term in node.args if node.op == "add" else (node,):
        parts = _axis_and_factor(term)
        if parts is None or _AXES[parts[0]] in found:
            return None
        names.add(parts[0])
        found[_AXES[parts[0]]] = parts[1]
    if names == {"i"} or max(found) >= size:
        return None
    return tuple(found.get(axis, _ZERO) for axis in range(size))


def _axis_and_factor(term: Node) -> tuple[str, Node] | None:
    if term.op == "neg":
        parts = _axis_and_factor(term.args[0])
        return None if parts is None else (parts[0], Node("neg", (parts[1],)))
    factors = term.args if term.op == "mul" and term.value is None else (term,)
    axes = [factor for factor in factors if factor.op in ("sym", "const") and factor.value in _AXES]
    if len(axes) != 1:
        return None
    rest = tuple(factor for factor in factors if factor is not axes[0])
    return str(axes[0].value), rest[0] if len(rest) == 1 else Node("mul", rest) if rest else _ONE
