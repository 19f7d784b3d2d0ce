"""Whether two syntax trees are the same answer: shape first, then element by element.

What is one answer in two notations, and what is not, is the label policy of README.md. `Comparison` looks at trees
only; `compare_scalars`, `compare_relations` and `compare_lists` hold its parts by kind of answer.
"""

from rewards.math_answer.compare_lists import Lists
from rewards.math_answer.forms import as_matrix, split_unit
from rewards.math_answer.nodes import Node
from rewards.math_answer.policy import Reason, combined
from rewards.math_answer.reals import NoSetError, looks_like_set, pieces
from rewards.math_answer.scalars import is_plain_arithmetic, is_scalar


class Comparison(Lists):
    """One comparison of two answers of any kind."""

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
        return self.single(gold, pred)

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
        return combined(reasons)
