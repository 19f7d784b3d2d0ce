"""Equal answers vote together: the canonical forms behind maj@k."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards import Outcome
from rewards.countdown import canonical_expression, judge_expression
from rewards.math_answer import canonical_answer, grade


@pytest.mark.parametrize(
    ("left", "right", "same", "why"),
    [
        ("1 + 2", "2+1", True, "order and spaces"),
        ("(1 + 2) + 3", "1 + (3 + 2)", True, "brackets of a sum"),
        ("5 - (2 - 1)", "5 + 1 - 2", True, "a difference taken away"),
        ("6 / (3 / 2)", "6 * 2 / 3", True, "a quotient divided by"),
        ("(1 - 2) * (3 - 4)", "(2 - 1) * (4 - 3)", True, "two signs turned"),
        ("-(1 - 2) * 3", "3 * (2 - 1)", True, "a sign in front"),
        ("2 * (3 + 4)", "2 * 3 + 4", False, "brackets that matter"),
        ("5 - 2", "2 - 5", False, "a difference has an order"),
        ("6 / 2", "2 / 6", False, "so has a quotient"),
        ("6 + 2", "4 * 2", False, "one value, two expressions"),
        ("2 // 1", "2//1", True, "no expression: the text, without spaces"),
        ("((((", "(((", False, "no expression"),
        ("1 - 1", "1 + 1", False, "signs"),
    ],
)
def test_expressions(left: str, right: str, same: bool, why: str) -> None:
    assert (canonical_expression(left) == canonical_expression(right)) == same, why


def rewritten(text: str, seed: int) -> str:
    """The expression with the operands of sums and products changed about, by its own tree."""
    import ast

    rng = random.Random(seed)

    def write(node: ast.expr) -> str:
        match node:
            case ast.Constant(value=value):
                return str(value)
            case ast.UnaryOp(operand=operand):
                return f"(-{write(operand)})"
            case ast.BinOp(left=left, op=op, right=right):
                a, b = write(left), write(right)
                sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(op)]
                if sign in "+*" and rng.random() < 0.5:
                    a, b = b, a
                return f"({a} {sign} {b})"
        raise AssertionError(node)

    return write(ast.parse(text, mode="eval").body)


expressions = st.recursive(
    st.integers(0, 30).map(str),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})")
        | inner.map(lambda part: f"(-{part})")
    ),
    max_leaves=7,
)


@given(expressions, st.integers(0, 99))
def test_changing_operands_about_is_the_same_answer(text: str, seed: int) -> None:
    assert canonical_expression(rewritten(text, seed)) == canonical_expression(text)


@given(expressions, expressions)
def test_one_form_has_one_value(left: str, right: str) -> None:
    """So a vote cannot hold answers that the judge tells apart."""
    if canonical_expression(left) != canonical_expression(right):
        return
    values = []
    for text in (left, right):
        try:
            values.append(eval(text.replace("/", "*Fraction(1)/"), {"Fraction": Fraction}))
        except ZeroDivisionError:
            values.append(None)
    assert values[0] == values[1]


def test_the_form_never_joins_right_and_wrong() -> None:
    right, wrong = "(3 + 4) * 5", "3 + 4 * 5"
    assert judge_expression(right, [3, 4, 5], 35, use_all_numbers=True).outcome is Outcome.CORRECT
    assert canonical_expression(right) != canonical_expression(wrong)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"2\sqrt{3}", r"\sqrt{12}", True),
        ("x = 5", "5", True),
        (r"5\text{ cm}", "5", True),
        (r"(x+1)^2", "x^2+2x+1", True),
        ("x > 3", r"(3, \infty)", True),
        ("1, 2", "2, 1", True),
        (r"\{1, 2\}", "2, 1", True),
        (r"\text{Tuesday}", "tuesday", True),
        (r"\pm 3", "3, -3", True),
        ("1,000", "1000", True),
        ("(1, 2)", "(2, 1)", False),
        ("x+1", "y+1", False),
        ("3.14", r"\pi", False),
        (r"\sqrt{2}", "1.41421356", False),
        ("5", "-5", False),
        ("[1, 2]", "(1, 2)", False),
        (r"1/0", "0", False),
        ("1e5000", "10^{5000}", True),  # longer than Python writes in decimal
        ("1e-5000", "0", False),
        ("(1e5000, 2)", "(1e4999, 2)", False),
    ],
)
def test_math_answers(left: str, right: str, same: bool) -> None:
    forms = [canonical_answer(rf"So \boxed{{{text}}}.") for text in (left, right)]
    assert None not in forms
    assert (forms[0] == forms[1]) == same, forms
    if same:  # what votes together, the judge takes for one answer
        assert grade(left, rf"\boxed{{{right}}}").outcome is Outcome.CORRECT


def test_no_answer_does_not_vote() -> None:
    assert canonical_answer("<think>5") is None
    assert canonical_answer(r"\boxed{}") is None
    assert canonical_answer(r"\boxed{2^{2^{2^{2^{2^{2}}}}}}") is not None  # too big to compute, not to vote
