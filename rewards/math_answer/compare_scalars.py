"""Compares single values; and what all comparisons share: the policy, the time left for sympy, and pair by pair.

The first of four classes, each of which compares one more kind of answer: `Scalars` here, then `compare_relations`,
`compare_lists` and `compare`.
"""

import time
from collections.abc import Sequence

from rewards.math_answer import symbolic
from rewards.math_answer.evaluate import NotExactError, NoValueError, exact, symbols
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.policy import Policy, Reason, accepted, combined
from rewards.math_answer.probe import in_double
from rewards.math_answer.scalars import equal, is_scalar


class Scalars:
    """Compares values without units.

    Attributes:
        policy: What counts as the same.
        end: When the time for sympy is over (`time.monotonic`); None until it is first asked.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.end: float | None = None

    def answers(self, gold: Node, pred: Node) -> Reason:
        """Two whole answers of any kind; `compare.Comparison` knows how."""
        raise NotImplementedError

    def in_order(self, gold: Sequence[Node], pred: Sequence[Node]) -> Reason:
        """Pair by pair."""
        if len(gold) != len(pred):
            return Reason.SHAPE
        reasons = []
        for one, other in zip(gold, pred, strict=True):
            reasons.append(self.answers(one, other))
            if not accepted(reasons[-1]):
                return reasons[-1]
        return combined(reasons)

    def scalars(self, gold: Node, pred: Node) -> Reason:
        """Two values without units."""
        if not is_scalar(gold) or not is_scalar(pred):
            return Reason.SHAPE
        reason = equal(gold, pred, self.prove)
        if reason is Reason.DIFFERS and self.policy.relative_tolerance and self.close(gold, pred):
            return Reason.EXACT
        return reason

    def prove(self, gold: Node, pred: Node) -> Reason:
        """Ask sympy, within what is left of the deadline, which starts with the first question."""
        if self.end is None:
            self.end = time.monotonic() + self.policy.deadline_s
        left = self.end - time.monotonic()
        return symbolic.prove(gold, pred, left) if left > 0 else Reason.TIMEOUT

    def close(self, gold: Node, pred: Node) -> bool:
        """Whether the two differ by no more than the policy's tolerance; False unless the gold is a written decimal."""
        if gold.op not in ("num", "neg") or symbols(pred) or not is_scalar(pred):
            return False
        try:
            if exact(gold).denominator == 1:
                return False
            (left, right), _ = in_double({}, (gold, pred))
        except (NotExactError, NoValueError, TooBigError, ArithmeticError):
            return False
        return abs(left - right) <= self.policy.relative_tolerance * abs(left)
