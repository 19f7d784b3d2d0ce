r"""Judges the final answer of a mathematical problem: ``grade(gold, response) -> Verdict``.

README.md of `rewards` says what is accepted and what is not. The order of the work, one module each: `extract` (where
the answer stands), `normal` (Unicode), `numbers` (exact numbers), `tokens`, `nodes` and `syntax` (our own parser, with
`cursor`, `numerals`, `quantities`, `expressions` and `commands`), `compare` with `forms`, `compare_*` and `reals`
(structure), `scalars` with `evaluate` and `probe` (values), `symbolic` (sympy, in a killable worker), `grade` (all of it).

No text is ever evaluated: no ``eval``, ``sympify`` or ``parse_expr``.
"""

from rewards.math_answer.ballot import canonical_answer
from rewards.math_answer.grade import check_gold, grade, grade_many
from rewards.math_answer.policy import DEFAULT, MathVerdict, Policy, Reason
from rewards.math_answer.symbolic import warm_up

__all__ = [
    "DEFAULT",
    "MathVerdict",
    "Policy",
    "Reason",
    "canonical_answer",
    "check_gold",
    "grade",
    "grade_many",
    "warm_up",
]
