"""Whether two syntax trees are the same answer: shape first, then element by element.

What is one answer in two notations, and what is not, is the label policy of README.md. `Comparison` looks at trees
only; `compare_scalars`, `compare_relations` and `compare_lists` hold its parts by kind of answer.
"""

from fractions import Fraction

from rewards.math_answer.alternatives import notations, values_of
from rewards.math_answer.compare_lists import Lists
from rewards.math_answer.evaluate import NotExactError, NoValueError, exact
from rewards.math_answer.forms import as_clock, as_matrix, split_unit, without_percent
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.policy import Reason, accepted, combined
from rewards.math_answer.reals import NoSetError, looks_like_set, pieces
from rewards.math_answer.scalars import is_plain_arithmetic, is_scalar
from rewards.math_answer.vectors import components


class Comparison(Lists):
    """One comparison of two answers of any kind."""

    def answers(self, gold: Node, pred: Node) -> Reason:
        """Two whole answers."""
        if gold.op == "alts" or pred.op == "alts":
            return self.any_of(*(values_of(node) if node.op == "alts" else (node,) for node in (gold, pred)))
        if gold.op == "rel" or pred.op == "rel":
            reason = self.relations(gold, pred)
            if reason is not None:
                return reason
        if looks_like_set(gold) or looks_like_set(pred):
            reason = self.real_sets(gold, pred)
            if reason is not None:
                return reason
        gold, pred = self.once(gold, pred, (",", "or")), self.once(pred, gold, ("or",))
        if gold.op == "alts":
            return self.any_of(gold.args, (pred,))
        gold_items, pred_items = self.items(gold), self.items(pred)
        if gold_items is not None or pred_items is not None:
            return self.lists(gold, gold_items, pred, pred_items)
        return self.single(gold, pred)

    def any_of(self, golds: tuple[Node, ...], preds: tuple[Node, ...]) -> Reason:
        """One value in several notations, on either side: one pair that is equal will do."""
        reasons = [self.answers(gold, pred) for gold in golds for pred in preds]
        return next(filter(accepted, reasons), reasons[0])

    def once(self, node: Node, other: Node, separators: tuple[str, ...]) -> Node:
        """The first item of a list that gives one value in several notations, where the other answer is no list."""
        if node.op != "list" or other.op in ("list", "set"):
            return node
        first, *rest = notations(node, separators) or (node,)
        if rest and first not in rest and all(accepted(self.answers(first, item)) for item in rest):
            return first
        return node

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
        return combined(reasons) if reasons else Reason.STRING

    def single(self, gold: Node, pred: Node) -> Reason:
        """Two items that are no lists: numbers, tuples, matrices, ratios, texts with a base, values with units."""
        if gold == pred:
            return Reason.STRING
        if gold.op == "rel" or pred.op == "rel":
            reason = self.relations(gold, pred)
            return Reason.SHAPE if reason is None else reason
        gold, pred = as_matrix(gold), as_matrix(pred)
        if gold.op == "matrix" and pred.op == "bracket" and pred.value == "()" and 1 in gold.value:  # type: ignore
            return self.in_order(gold.args, pred.args)
        if pred.op == "matrix" and gold.op == "bracket" and gold.value == "()" and 1 in pred.value:  # type: ignore
            return self.in_order(gold.args, pred.args)
        if gold.op in ("matrix", "bracket") and is_scalar(pred) and gold.value not in ("[]", "(]", "[)"):
            parts = components(pred, len(gold.args))
            return Reason.SHAPE if parts is None else self.in_order(gold.args, parts)
        if pred.op in ("matrix", "bracket") and is_scalar(gold) and pred.value not in ("[]", "(]", "[)"):
            parts = components(gold, len(pred.args))
            return Reason.SHAPE if parts is None else self.in_order(parts, pred.args)
        if gold.op == "cases" and pred.op == "cases":
            return self.matched(list(gold.args), list(pred.args))
        if gold.op == "clock" or pred.op == "clock":
            return self.clocks(gold, pred)
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
        if reason is Reason.DIFFERS and self.policy.percent_sign_optional:
            return self.without_sign(gold, pred)
        return reason

    def without_sign(self, gold: Node, pred: Node) -> Reason:
        """Two numbers of which one has a percent sign: never below 1, where the sign is the usual slip."""
        bare_gold, bare_pred = without_percent(gold), without_percent(pred)
        if (bare_gold is gold) == (bare_pred is pred):
            return Reason.DIFFERS
        return self.scalars(bare_gold, bare_pred) if at_least_one(bare_gold) else Reason.DIFFERS

    def clocks(self, gold: Node, pred: Node) -> Reason:
        """Times of day, hour by hour and minute by minute: 10:00 is not 5:00. "am" and "pm" may be left out once."""
        if pred.op == "ratio" or gold.op == "ratio":
            clock = pred if gold.op == "ratio" else gold
            if any(isinstance(arg.value, Fraction) and arg.value < 10 for arg in clock.args[1:]):
                return Reason.SHAPE  # no ratio is written 2:05
            if gold.op == "ratio":
                return self.ratios(gold, pred._replace(op="ratio"))
            return self.in_order(gold.args, pred.args)
        left, right = as_clock(gold, bool(pred.value)), as_clock(pred, bool(gold.value))
        if left is None or right is None:
            return Reason.SHAPE
        if left[:3] != right[:3]:
            return Reason.DIFFERS
        return Reason.UNIT if left[3] and right[3] and left[3] != right[3] else Reason.EXACT

    def ratios(self, gold: Node, pred: Node) -> Reason:
        """``3:2`` and ``6:4`` are equal: every part has the same quotient. A part is 0 only where the gold's is."""
        if len(gold.args) != len(pred.args) or not all(map(is_scalar, gold.args + pred.args)):
            return Reason.SHAPE
        zero = Node("num", (), Fraction(0))
        pivots = [at for at, part in enumerate(gold.args) if not accepted(self.scalars(zero, part))]
        if not pivots or accepted(self.scalars(zero, pred.args[pivots[0]])):
            return Reason.DIFFERS
        at = pivots[0]
        reasons = [
            self.scalars(Node("mul", (one, pred.args[at])), Node("mul", (other, gold.args[at])))
            for one, other in zip(gold.args, pred.args, strict=True)
        ]
        return combined(reasons)


def at_least_one(node: Node) -> bool:
    """Whether the tree is a rational number of 1 or more, sign aside."""
    try:
        return abs(exact(node)) >= 1
    except (NotExactError, NoValueError, TooBigError):
        return False
