r"""Compares answers of several items: ``1, 2`` with ``\{2, 1\}``, ``\pm 2`` with ``2, -2``, ``x=5, y=3`` with (5,3)."""

import re

from rewards.math_answer.compare_relations import Relations
from rewards.math_answer.evaluate import canonical
from rewards.math_answer.forms import plus_minus
from rewards.math_answer.nodes import Node
from rewards.math_answer.policy import Reason, accepted, combined

MAX_ITEMS = 60  # items are matched pair by pair


class Lists(Relations):
    """Compares lists and finite sets."""

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
        pair = self.named(item)
        return item if pair is None else pair[1]

    def names(self, items: list[Node]) -> list[str]:
        """The names of the items that have one."""
        pairs = [self.named(item) for item in items]
        return sorted(canonical(pair[0]) for pair in pairs if pair is not None and pair[0] is not None)

    def by_name(self, items: list[Node]) -> list[Node] | None:
        """The values of ``x = 5, y = 3`` in the order of the names; None unless all are named, by different letters.

        ``x_1 = 1, x_2 = 2`` are two values of one thing, so they have no order.
        """
        pairs = [self.named(item) for item in items]
        found = {canonical(pair[0]): pair for pair in pairs if pair is not None and pair[0] is not None}
        if len(found) != len(items):
            return None
        stems = {re.sub(r"_[0-9]+", "", name) for name in found}
        if len(stems) == 1 and len(found) > 1:
            return None
        return [found[name][1] for name in sorted(found)]

    def matched(self, gold: list[Node], pred: list[Node]) -> Reason:
        """Equal in any order, each item as often. The first match is taken: equality is as good as transitive."""
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
        return combined(reasons)
