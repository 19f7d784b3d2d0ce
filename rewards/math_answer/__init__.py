r"""Judges the final answer of a mathematical problem: ``grade(gold, response) -> Verdict``.

README.md of `rewards` says what is accepted and what is not. The modules in the order of the work:

- `extract` finds the answer in the response; `normal` spells its Unicode in one way, with `chinese` and `repairs`;
  `numbers` reads a plain number.
- `reading` makes of it tokens (`tokens`), words (`phrases`) and a tree (`syntax`, which stands on `cursor`, `heads`,
  `numerals`, `quantities`, `units`, `vectors`, `expressions` and `commands`; `nodes` defines the tree).
- `compare` compares two trees, part by part: `forms`, `alternatives`, `compare_scalars`, `compare_relations`,
  `compare_lists`, `reals`; `choices` compares letters of multiple choice with their content.
- `scalars` compares two values: `evaluate` (exact), `probe` (at points), `symbolic` (sympy, in a killable worker).
- `grade` does all of this for one response; `ballot` gives equal answers equal names; `policy` holds the choices.

No text is ever evaluated: no ``eval``, ``sympify`` or ``parse_expr``.
"""

from rewards.math_answer.ballot import canonical_answer
from rewards.math_answer.grade import check_gold, grade
from rewards.math_answer.policy import DEFAULT, MathVerdict, Policy, Reason
from rewards.math_answer.reading import is_text_of_mathematics
from rewards.math_answer.symbolic import warm_up

__all__ = [
    "DEFAULT",
    "MathVerdict",
    "Policy",
    "Reason",
    "canonical_answer",
    "check_gold",
    "grade",
    "is_text_of_mathematics",
    "warm_up",
]
