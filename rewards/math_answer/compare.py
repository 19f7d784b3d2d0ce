"""Whether two syntax trees are the same answer: shape first, then element by element.

What is one answer in two notations, and what is not, is the label policy of README.md. `Comparison` holds the policy
and the time that is left for sympy; it looks at trees only.
"""

import re
import time
from collections.abc import Sequence
from fractions import Fraction

from rewards.math_answer import symbolic
from rewards.math_answer.evaluate import NotExactError, NoValueError, canonical, exact, symbols
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.policy import OUTCOMES, Policy, Reason
from rewards.math_answer.probe import in_double, point
from rewards.math_answer.reals import NoSetError, looks_like_set, pieces
from rewards.math_answer.scalars import equal, is_plain_arithmetic, is_scalar
from rewards.verdict import Outcome

MAX_ITEMS = 60  # items are matched pair by pair
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_STRENGTH = (Reason.STRING, Reason.EXACT, Reason.PROBE, Reason.SYMPY)
_TWO_ENDS = re.compile(r"[A-Z]{1,4}'*")


def accepted(reason: Reason) -> bool:
    """Whether the reason is one for paying."""
    return OUTCOMES.get(reason) is Outcome.CORRECT


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


def is_name(node: Node) -> bool:
    r"""Whether a tree can be the left side of its value: ``x``, ``f(x)``, ``|AB|``, ``\angle ABC``, ``A:B``."""
    if node.op in ("sym", "call", "name") or node == Node("const", (), "e"):
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


def named(node: Node, prove: "Comparison") -> tuple[Node | None, Node] | None:
    """(name, value) of ``name = value``, (None, value) of a true ``2 + 3 = 5``; None when it is neither."""
    if node.op != "rel" or not isinstance(node.value, tuple):
        return None
    if set(node.value) == {r"\in"} and len(node.args) == 2 and is_name(node.args[0]):
        return node.args[0], node.args[1]
    if set(node.value) != {"="}:
        return None
    *sides, value = node.args
    if len(sides) == 1 and is_name(value) and not is_name(sides[0]) and not symbols(sides[0]):
        sides, value = [value], sides[0]  # 5 = x
    name, *steps = sides
    if is_name(name):
        if not steps and symbols(name) & symbols(value):
            return None
    elif is_scalar(name) and not symbols(name):
        name, steps = None, sides  # type: ignore[assignment]
    else:
        return None
    return (name, value) if all(accepted(prove.scalars(value, step)) for step in steps) else None


def plus_minus(node: Node) -> tuple[Node, ...]:
    """The one or two values of a tree with plus-minus signs; all of them take the same side at once."""

    def side(tree: Node, upper: bool) -> Node:
        if tree.op in ("pm", "mp"):
            value = side(tree.args[0], upper)
            return value if (tree.op == "pm") == upper else Node("neg", (value,))
        return tree._replace(args=tuple(side(arg, upper) for arg in tree.args)) if tree.args else tree

    def present(tree: Node) -> bool:
        return tree.op in ("pm", "mp") or any(map(present, tree.args))

    return (_written(side(node, True)), _written(side(node, False))) if present(node) else (node,)


class Comparison:
    """One comparison: a policy, and a deadline that starts with the first question to sympy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.end: float | None = None

    def prove(self, gold: Node, pred: Node) -> Reason:
        """Ask sympy, within what is left of the deadline."""
        if self.end is None:
            self.end = time.monotonic() + self.policy.deadline_s
        left = self.end - time.monotonic()
        return symbolic.prove(gold, pred, left) if left > 0 else Reason.TIMEOUT

    def scalars(self, gold: Node, pred: Node) -> Reason:
        """Two values without units."""
        if not is_scalar(gold) or not is_scalar(pred):
            return Reason.SHAPE
        reason = equal(gold, pred, self.prove)
        if reason is Reason.DIFFERS and self.policy.relative_tolerance and self.close(gold, pred):
            return Reason.EXACT
        return reason

    def close(self, gold: Node, pred: Node) -> bool:
        """Within the tolerance of a gold that is a written decimal."""
        if gold.op not in ("num", "neg") or symbols(pred) or not is_scalar(pred):
            return False
        try:
            if exact(gold).denominator == 1:
                return False
            (left, right), _ = in_double({}, (gold, pred))
        except (NoValueError, TooBigError, ArithmeticError):
            return False
        return abs(left - right) <= self.policy.relative_tolerance * abs(left)

    def answers(self, gold: Node, pred: Node) -> Reason:
        """Two whole answers."""
        if gold.op == "rel" or pred.op == "rel":
            reason = self.relations(gold, pred)
            if reason is not None:
                return reason
        if looks_like_set(gold) or looks_like_set(pred):
            reason = self.real_sets(gold, pred)
            if reason is not None:
                return reason
        gold_items, pred_items = self.items(gold), self.items(pred)
        if gold_items is not None or pred_items is not None:
            return self.lists(gold, gold_items, pred, pred_items)
        return self.items_equal(gold, pred)

    def items_equal(self, gold: Node, pred: Node) -> Reason:
        """Two items that are no lists: numbers, tuples, matrices, ratios, texts with a base, values with units."""
        if gold == pred:
            return Reason.STRING
        if gold.op == "rel" or pred.op == "rel":
            reason = self.relations(gold, pred)
            return Reason.SHAPE if reason is None else reason
        gold, pred = _as_matrix(gold), _as_matrix(pred)
        if gold.op == "matrix" and pred.op == "bracket" and pred.value == "()" and 1 in gold.value:  # type: ignore
            return self.in_order(gold.args, pred.args)
        if pred.op == "matrix" and gold.op == "bracket" and gold.value == "()" and 1 in pred.value:  # type: ignore
            return self.in_order(gold.args, pred.args)
        if gold.op == "ratio" and pred.op == "ratio":
            return self.ratios(gold, pred)
        if gold.op in ("matrix", "bracket", "base", "empty", "reals", "builder", "cup", "cap", "setminus", "name"):
            if gold.op != pred.op or (gold.value != pred.value):
                return Reason.SHAPE if gold.op != pred.op else Reason.DIFFERS
            return self.in_order(gold.args, pred.args)
        gold, gold_unit = split_unit(gold)
        pred, pred_unit = split_unit(pred)
        if gold.op == "ratio" and pred.op == "ratio":
            return self.ratios(gold, pred)
        if not is_scalar(gold) or not is_scalar(pred):
            return Reason.SHAPE
        if self.policy.check_units and gold_unit and pred_unit and gold_unit != pred_unit:
            return Reason.UNIT
        if not self.policy.plain_arithmetic and is_plain_arithmetic(pred) and not is_plain_arithmetic(gold):
            return Reason.UNEVALUATED
        reason = self.scalars(gold, pred)
        if reason is Reason.DIFFERS and self.policy.percent_sign_optional and (gold.op == "pct") != (pred.op == "pct"):
            strip = [node.args[0] if node.op == "pct" else node for node in (gold, pred)]
            return self.scalars(strip[0], strip[1])
        return reason

    def ratios(self, gold: Node, pred: Node) -> Reason:
        """``3:2`` and ``6:4`` are equal: every part has the same quotient."""
        if len(gold.args) != len(pred.args):
            return Reason.SHAPE
        first_gold, first_pred = gold.args[0], pred.args[0]
        if not all(map(is_scalar, gold.args + pred.args)):
            return Reason.SHAPE
        reasons = [
            self.scalars(Node("mul", (one, first_pred)), Node("mul", (other, first_gold)))
            for one, other in zip(gold.args[1:], pred.args[1:], strict=True)
        ]
        return _all(reasons)

    def in_order(self, gold: Sequence[Node], pred: Sequence[Node]) -> Reason:
        """Pair by pair."""
        if len(gold) != len(pred):
            return Reason.SHAPE
        reasons = []
        for one, other in zip(gold, pred, strict=True):
            reasons.append(self.answers(one, other))
            if not accepted(reasons[-1]):
                return reasons[-1]
        return _all(reasons)

    def items(self, node: Node) -> list[Node] | None:
        """The items of a list or set, plus-minus written out; None for a single item."""
        node = self.united(node)
        if node.op == "list" and isinstance(node.value, tuple) and ";" in node.value and "," in node.value:
            groups: list[list[Node]] = [[]]
            for arg, sign in zip(node.args, (*node.value, ";"), strict=True):
                groups[-1].append(arg)
                if sign == ";":
                    groups.append([])
            parts = [Node("list", tuple(group), (",",) * (len(group) - 1)) for group in groups if group]
            return [part if len(part.args) > 1 else part.args[0] for part in parts]
        if node.op in ("list", "set"):
            return [value for arg in node.args for value in plus_minus(arg)]
        values = plus_minus(node)
        return list(values) if len(values) > 1 else None

    def united(self, node: Node) -> Node:
        """A union of finite sets as one set."""
        if node.op == "cup":
            left, right = self.united(node.args[0]), self.united(node.args[1])
            if left.op == "set" and right.op == "set":
                kept = list(left.args)
                kept += [arg for arg in right.args if not any(accepted(self.answers(old, arg)) for old in kept)]
                return Node("set", tuple(kept))
        return node

    def lists(self, gold: Node, gold_items: list[Node] | None, pred: Node, pred_items: list[Node] | None) -> Reason:
        """At least one of the two is a list."""
        for one, items, other in ((gold, pred_items, pred), (pred, gold_items, gold)):
            # (5, 3) and x = 5, y = 3
            if one.op in ("bracket", "matrix") and items is not None and other.op == "list":
                values = self.by_name(items)
                if values is None:
                    return Reason.SHAPE
                pair = (one.args, values) if one is gold else (values, one.args)
                return self.in_order(*pair) if one.value == "()" or one.op == "matrix" else Reason.SHAPE
        if gold_items is None or pred_items is None or len(gold_items) != len(pred_items):
            return Reason.SHAPE
        if len(gold_items) > MAX_ITEMS:
            same = sorted(map(canonical, gold_items)) == sorted(map(canonical, pred_items))
            return Reason.STRING if same else Reason.TOO_BIG
        gold_named, pred_named = self.by_name(gold_items), self.by_name(pred_items)
        if gold_named is not None and pred_named is not None:
            if self.names(gold_items) == self.names(pred_items):
                return self.in_order(gold_named, pred_named)
        elif gold_named is not None and not any(item.op == "rel" for item in pred_items):
            return self.in_order([self.value(item) for item in gold_items], pred_items)
        elif pred_named is not None and not any(item.op == "rel" for item in gold_items):
            return self.in_order(gold_items, [self.value(item) for item in pred_items])
        return self.matched(gold_items, pred_items)

    def value(self, item: Node) -> Node:
        """The item without its name."""
        pair = named(item, self)
        return item if pair is None else pair[1]

    def names(self, items: list[Node]) -> list[str]:
        """The names of the items that have one."""
        pairs = [named(item, self) for item in items]
        return sorted(canonical(pair[0]) for pair in pairs if pair is not None and pair[0] is not None)

    def by_name(self, items: list[Node]) -> list[Node] | None:
        """The values of ``x = 5, y = 3`` in the order of the names; None unless all are named, by different letters.

        ``x_1 = 1, x_2 = 2`` are two values of one thing, so they have no order.
        """
        pairs = [named(item, self) for item in items]
        found = {canonical(pair[0]): pair for pair in pairs if pair is not None and pair[0] is not None}
        if len(found) != len(items):
            return None
        stems = {re.sub(r"_[0-9]+", "", name) for name in found}
        if len(stems) == 1 and len(found) > 1:
            return None
        return [found[name][1] for name in sorted(found)]

    def matched(self, gold: list[Node], pred: list[Node]) -> Reason:
        """Equal as multisets. Equality is as good as transitive, so the first match will do."""
        left = list(pred)
        reasons = []
        for one in gold:
            for other in left:
                reason = self.answers(one, other)
                if accepted(reason):
                    left.remove(other)
                    reasons.append(reason)
                    break
                if reason in (Reason.TIMEOUT, Reason.NO_WORKER):
                    return reason
            else:
                return Reason.DIFFERS
        return _all(reasons)

    def real_sets(self, gold: Node, pred: Node) -> Reason | None:
        """Both as sets of reals; None when one of them has no such form."""
        if not self.policy.inequality_as_interval and (gold.op == "rel") != (pred.op == "rel"):
            return Reason.SHAPE
        try:
            left, right = pieces(gold), pieces(pred)
        except NoSetError:
            return None
        if len(left) != len(right):
            return Reason.DIFFERS
        reasons = []
        for one, other in zip(left, right, strict=True):
            if (one.low_closed, one.high_closed) != (other.low_closed, other.high_closed):
                return Reason.DIFFERS
            reasons.append(self.scalars(one.low_node, other.low_node))
            reasons.append(self.scalars(one.high_node, other.high_node))
        return _all(reasons) if reasons else Reason.STRING

    def relations(self, gold: Node, pred: Node) -> Reason | None:
        """At least one of the two is a relation; None when it must be read as a set of reals or a list."""
        gold_pair, pred_pair = named(gold, self), named(pred, self)
        if gold.op == "rel" and pred.op == "rel":
            if gold_pair and pred_pair:
                return self.two_named(gold, gold_pair, pred, pred_pair)
            return self.two_relations(gold, pred, solved=gold_pair is not None)
        if gold.op == "rel":
            if gold_pair is not None:
                return self.answers(gold_pair[1], pred)
        elif pred_pair is not None:
            return self.answers(gold, pred_pair[1])
        relation = gold if gold.op == "rel" else pred
        assert isinstance(relation.value, tuple)
        return Reason.SHAPE if "=" in relation.value else None

    def two_named(
        self, gold: Node, gold_pair: tuple[Node | None, Node], pred: Node, pred_pair: tuple[Node | None, Node]
    ) -> Reason:
        """``x = 5`` twice. With symbols on the right (``y = 2x+1``) any form of the same equation will do."""
        (gold_name, gold_value), (pred_name, pred_value) = gold_pair, pred_pair
        reason = self.answers(gold_value, pred_value)
        if gold_name is None or pred_name is None or canonical(gold_name) == canonical(pred_name):
            if accepted(reason) or not symbols(gold_value):
                return reason
            return self.two_relations(gold, pred, solved=False) or Reason.SHAPE
        if symbols(gold_value):
            return self.two_relations(gold, pred, solved=False) or Reason.SHAPE
        return Reason.DIFFERS

    def two_relations(self, gold: Node, pred: Node, solved: bool) -> Reason | None:
        """The same relation, side by side, turned around, or with both sides times a constant."""
        (gold_sides, gold_signs), (pred_sides, pred_signs) = _upward(gold), _upward(pred)
        if gold_signs != pred_signs or len(gold_sides) != len(pred_sides):
            return None if looks_like_set(gold) or looks_like_set(pred) else Reason.SHAPE
        same = self.in_order(gold_sides, pred_sides)
        if accepted(same) and not solved:
            return same
        if set(gold_signs) <= {"=", r"\ne"} and len(gold_signs) == 1:
            turned = self.in_order(gold_sides, pred_sides[::-1])
            if accepted(turned) and not solved:
                return turned
        variables = symbols(gold)
        if solved and len(variables) < 2:
            return Reason.UNEVALUATED  # 2x = 10 for x = 5
        if len(variables) < 2 and gold_signs != ("=",):
            return None  # an inequality in one variable has to be solved
        if len(gold_signs) != 1 or not all(map(is_scalar, (*gold_sides, *pred_sides))):
            return same
        return self.proportional(gold_sides, pred_sides, variables, any_sign=gold_signs[0] in ("=", r"\ne"))

    def proportional(
        self, gold: Sequence[Node], pred: Sequence[Node], variables: frozenset[str], any_sign: bool
    ) -> Reason:
        """Left minus right of the one is a constant times that of the other."""
        left, right = (Node("add", (sides[0], Node("neg", (sides[1],)))) for sides in (gold, pred))
        if symbols(right) != variables:
            return Reason.DIFFERS
        at = point(variables, 20)
        try:
            (one, other), _ = in_double(at, (left, right))
        except NoValueError:
            return Reason.DIFFERS
        if not one or not other or (not any_sign and (one / other).real <= 0):
            return Reason.DIFFERS
        fixed = [_written(_at(node, at)) for node in (left, right)]
        return self.scalars(Node("mul", (left, fixed[1])), Node("mul", (right, fixed[0])))


def _at(node: Node, values: dict[str, Fraction]) -> Node:
    """The tree with numbers for its symbols."""
    if node.op == "sym" and node.value in values:
        return Node("num", (), values[str(node.value)])
    if node.op in ("call", "big", "name"):
        return Node("num", (), values[canonical(node)])
    return node._replace(args=tuple(_at(arg, values) for arg in node.args))


def _upward(node: Node) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Sides and signs of a relation, turned so that it points upward: ``a < b``, not ``b > a``."""
    assert isinstance(node.value, tuple)
    signs = tuple(str(sign) for sign in node.value)
    if any(sign in (">", r"\ge") for sign in signs):
        return node.args[::-1], tuple(_FLIPPED.get(sign, sign) for sign in reversed(signs))
    return node.args, signs


def _as_matrix(node: Node) -> Node:
    """``[[1, 2], [3, 4]]`` as a matrix, and a number times a matrix entry by entry."""
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
            return matrix._replace(args=tuple(_scaled(scale, cell) for cell in matrix.args))
    return node


def _scaled(scale: tuple[Node, ...], cell: Node) -> Node:
    return _written(Node("mul", (*scale, cell)))


def _written(node: Node) -> Node:
    """The tree as one number when it is rational: arithmetic that the notation leaves open is not left undone."""
    try:
        return Node("num", (), exact(node))
    except (NotExactError, NoValueError, TooBigError):
        return node


def _all(reasons: Sequence[Reason]) -> Reason:
    """The first reason against; if there is none, the hardest step that was needed."""
    for reason in reasons:
        if not accepted(reason):
            return reason
    return max(reasons, key=_STRENGTH.index, default=Reason.STRING)
