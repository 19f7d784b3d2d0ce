"""Compares equations and inequalities: ``x = 5`` with 5, ``y = 2x + 1`` with ``2x - y + 1 = 0``, a < b with b > a."""

from collections.abc import Sequence

from rewards.math_answer.compare_scalars import Scalars
from rewards.math_answer.evaluate import NoValueError, as_number, canonical, symbols
from rewards.math_answer.forms import is_label, is_name, substituted, upward
from rewards.math_answer.nodes import Node
from rewards.math_answer.policy import Reason, accepted
from rewards.math_answer.probe import in_double, point
from rewards.math_answer.reals import looks_like_set
from rewards.math_answer.scalars import is_scalar

# The name, if there is one, and the value that an equation gives it.
Named = tuple[Node | None, Node]


class Relations(Scalars):
    """Compares relations with relations and with values."""

    def named(self, node: Node) -> Named | None:
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
        name: Node | None = sides[0]
        steps = sides[1:]
        if is_name(sides[0]):
            if not steps and symbols(sides[0]) & symbols(value):
                return None
        elif is_scalar(sides[0]) and not symbols(sides[0]) and any(side != value for side in sides):
            name, steps = None, sides  # but not 0 = 0, which says nothing
        else:
            return None
        return (name, value) if all(accepted(self.scalars(value, step)) for step in steps) else None

    def labelled(self, node: Node) -> Node | None:
        """The value that ``x + y = 13`` gives what is asked for; only an answer may be read so, never a gold."""
        if not isinstance(node.value, tuple) or set(node.value) != {"="} or not is_label(node.args[0]):
            return None
        label, *steps, value = node.args
        if symbols(label) & symbols(value):
            return None
        return value if all(accepted(self.answers(value, step)) for step in steps) else None

    def relations(self, gold: Node, pred: Node) -> Reason | None:
        """At least one of the two is a relation; None when it must be read as a set of reals or a list."""
        gold_pair, pred_pair = self.named(gold), self.named(pred)
        if gold.op == "rel" and pred.op == "rel":
            if gold_pair and pred_pair:
                return self.two_named(gold, gold_pair, pred, pred_pair)
            return self.two_relations(gold, pred, solved=gold_pair is not None)
        if gold.op == "rel":
            if gold_pair is not None:
                return self.answers(gold_pair[1], pred)
        else:
            value = pred_pair[1] if pred_pair is not None else self.labelled(pred)
            if value is not None:
                return self.answers(gold, value)
        relation = gold if gold.op == "rel" else pred
        assert isinstance(relation.value, tuple)
        return Reason.SHAPE if "=" in relation.value else None

    def two_named(self, gold: Node, gold_pair: Named, pred: Node, pred_pair: Named) -> Reason:
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
        """The same relation, side by side, turned around, or with both sides times a constant.

        Args:
            gold, pred: Both are relations.
            solved: The gold is ``name = value`` and the answer is not: with one unknown, work was left undone.
        """
        (gold_sides, gold_signs), (pred_sides, pred_signs) = upward(gold), upward(pred)
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
        if not variables:
            # Of two statements about numbers alone none says the other, and 1 = 1 says nothing of a value.
            return Reason.UNEVALUATED if solved else same
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
        """Whether left minus right of the one is a constant times that of the other; above 0 unless ``any_sign``."""
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
        fixed = [as_number(substituted(node, at)) for node in (left, right)]
        return self.scalars(Node("mul", (left, fixed[1])), Node("mul", (right, fixed[0])))
