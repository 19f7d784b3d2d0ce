"""Judges Countdown answers: an expression that reaches a target from given numbers with + - * /.

The answer is measured before it is parsed and parsed, never run: no `eval`, so no `//`, `**`, floats or names, and the
value is an exact `Fraction`. The measurements bound the time and the depth of everything after them.

It does not accept an equation ("1 + 2 = 3"), other signs for the operators, or prose around the expression, and it
does not check that a problem has a solution.
"""

import ast
import math
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from rewards.tags import extract_answer
from rewards.verdict import Outcome, Verdict

# Ground truth beyond these is a broken row, not a Countdown problem; they also keep every value printable.
MAX_NUMBERS = 32
MAX_DIGITS = 18
# 32 numbers need 31 operators; the rest is for unary minus. With the nesting limit, this bounds the depth of recursion.
MAX_OPERATORS = 64
MAX_NESTING = 32
# Room for spaces and brackets, plus a number of MAX_DIGITS and its operator for each number given.
MAX_CHARS_BASE = 200
MAX_CHARS_PER_NUMBER = 20

_FOREIGN_CHARACTER = re.compile(r"[^0-9+\-*/() ]")
_LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]")
_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}")
_GRAMMAR = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub)


def judge_countdown(text: str, nums: Sequence[int], target: int, use_all_numbers: bool) -> Verdict:
    """The verdict on the answer in the text; NO_ANSWER when `rewards.tags.extract_answer` finds none.

    `text` is the prefilled tail of the prompt followed by the completion; the rest as in `judge_expression`.
    The ground truth is looked at first: a bad row is UNGRADEABLE for every completion of its group.

    >>> judge_countdown("<think>so</think> <answer>(1 + 5) / 2</answer>", [1, 5, 2], 3, use_all_numbers=True).score
    1.0
    """
    fault = _ground_truth_fault(nums, target)
    if fault is not None:
        return Verdict(None, Outcome.UNGRADEABLE, fault)
    answer = extract_answer(text)
    if answer is None:
        return Verdict(0.0, Outcome.NO_ANSWER, "no answer, or more than one")
    return judge_expression(answer, nums, target, use_all_numbers)


def judge_expression(answer: str, nums: Sequence[int], target: int, use_all_numbers: bool) -> Verdict:
    """1.0 / CORRECT when the expression uses the numbers as allowed and equals the target exactly.

    Args:
        answer: `+ - * /`, unary minus, brackets, whole numbers without leading zeros, and spaces.
        nums: The given numbers, none negative. A number given twice may be used twice.
        target: The value to reach.
        use_all_numbers: Every given number is used exactly once; otherwise each at most once.

    Returns:
        WRONG for another value, other numbers or a division by zero; BAD_FORMAT when the answer is not such an
        expression or is beyond the limits above; UNGRADEABLE when `nums` or `target` cannot be ground truth.

    >>> judge_expression("5 - 1", [1, 5, 2], 4, use_all_numbers=True).detail
    'does not use 2'
    >>> judge_expression("(2 + 5) / (1 + 1)", [1, 1, 2, 5], 3, use_all_numbers=True).detail
    'value 7/2, target 3'
    """
    fault = _ground_truth_fault(nums, target)
    if fault is not None:
        return Verdict(None, Outcome.UNGRADEABLE, fault)
    expression = answer.strip()
    fault = _text_fault(expression, MAX_CHARS_BASE + MAX_CHARS_PER_NUMBER * len(nums))
    if fault is not None:
        return Verdict(0.0, Outcome.BAD_FORMAT, fault)
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError:
        return Verdict(0.0, Outcome.BAD_FORMAT, "not an expression")
    nodes = list(ast.walk(tree))
    foreign = [type(node).__name__ for node in nodes if not isinstance(node, _GRAMMAR)]
    if foreign:
        return Verdict(0.0, Outcome.BAD_FORMAT, f"{foreign[0]} is not allowed")
    used = Counter(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, int))
    fault = _number_fault(used, Counter(nums), use_all_numbers)
    if fault is not None:
        return Verdict(0.0, Outcome.WRONG, fault)
    try:
        value = _value(tree.body)
    except ZeroDivisionError:
        return Verdict(0.0, Outcome.WRONG, "division by zero")
    if value != target:
        return Verdict(0.0, Outcome.WRONG, f"value {value}, target {target}")
    return Verdict(1.0, Outcome.CORRECT)


def canonical_expression(answer: str) -> str:
    """The answer up to order and brackets: equal for expressions that differ in nothing else.

    ``a + b`` and ``b + a``, ``a - (b - c)`` and ``a + c - b``, ``a / (b / c)`` and ``a * c / b`` are one answer. Values
    are not computed, so two ways to one value are two answers. What is no expression stands for itself, without spaces.

    >>> canonical_expression("5 - (2 - 1) * 3") == canonical_expression("3 * (1 - 2) + 5")
    True
    >>> canonical_expression("6 + 2") == canonical_expression("2 * 4")
    False
    """
    expression = answer.strip()
    plain = "".join(expression.split())
    if _text_fault(expression, MAX_CHARS_BASE + MAX_CHARS_PER_NUMBER * MAX_NUMBERS) is not None:
        return plain
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError:
        return plain
    if not all(isinstance(node, _GRAMMAR) for node in ast.walk(tree)):
        return plain
    sign, text = _canonical_sum(tree.body)
    return text if sign > 0 else f"-{text}"


def _canonical_sum(node: ast.expr) -> tuple[int, str]:
    """Sign and sorted terms of a sum; the first term in order is positive, so that ``a - b`` and ``b - a`` share it."""
    terms: list[tuple[str, int]] = []

    def collect(part: ast.expr, sign: int) -> None:
        match part:
            case ast.UnaryOp(operand=operand):
                collect(operand, -sign)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                collect(left, sign)
                collect(right, sign if isinstance(op, ast.Add) else -sign)
            case _:
                product_sign, product = _canonical_product(part)
                terms.append((product, sign * product_sign))

    collect(node, 1)
    terms.sort()
    lead = terms[0][1]
    if len(terms) == 1:
        return lead, terms[0][0]
    return lead, "(" + "".join(f"{'+' if sign == lead else '-'}{text}" for text, sign in terms) + ")"


def _canonical_product(node: ast.expr) -> tuple[int, str]:
    """Sign and sorted factors of a product; those divided by come behind a slash."""
    factors: tuple[list[str], list[str]] = ([], [])
    signs: list[int] = []

    def collect(part: ast.expr, below: bool) -> None:
        match part:
            case ast.Constant(value=int(number)):
                factors[below].append(str(number))
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
                collect(left, below)
                collect(right, below != isinstance(op, ast.Div))
            case _:
                sign, text = _canonical_sum(part)
                signs.append(sign)
                factors[below].append(text)

    collect(node, below=False)
    above, under = ("*".join(sorted(side)) for side in factors)
    text = f"{above or 1}/({under})" if under else above
    return math.prod(signs), text


def _ground_truth_fault(nums: Sequence[int], target: int) -> str | None:
    """Why no answer to this row can be judged, or None. Rows come from files, so the types are checked too."""
    if not isinstance(nums, Sequence) or not 1 <= len(nums) <= MAX_NUMBERS:
        return f"nums is not a list of 1 to {MAX_NUMBERS} numbers"
    # A bool is an int to isinstance, and a literal is never negative, so -5 could not be used.
    if any(type(num) is not int or not 0 <= num < 10**MAX_DIGITS for num in nums):
        return f"nums holds something other than whole numbers from 0 up, of at most {MAX_DIGITS} digits"
    if type(target) is not int or abs(target) >= 10**MAX_DIGITS:
        return f"target is not a whole number of at most {MAX_DIGITS} digits"
    return None


def _text_fault(expression: str, max_chars: int) -> str | None:
    """Why the text must not reach the parser, or None. Cheapest first; each scan is linear."""
    if len(expression) > max_chars:
        return f"{len(expression)} characters, limit {max_chars}"
    if "=" in expression:
        return "an equation: only the expression is wanted"
    foreign = _FOREIGN_CHARACTER.search(expression)
    if foreign is not None:
        return f"character {foreign[0]!a} is not allowed"
    if _LEADING_ZERO.search(expression):
        return "a number with a leading zero"
    if _LONG_NUMBER.search(expression):
        return f"a number of more than {MAX_DIGITS} digits"
    num_operators = sum(expression.count(sign) for sign in "+-*/")
    if num_operators > MAX_OPERATORS:
        return f"{num_operators} operators, limit {MAX_OPERATORS}"
    depth = 0
    for char in expression:
        depth += (char == "(") - (char == ")")
        if depth > MAX_NESTING:
            return f"brackets nested deeper than {MAX_NESTING}"
    return None


def _number_fault(used: Counter[int], given: Counter[int], use_all_numbers: bool) -> str | None:
    """The first way in which the numbers used are not the numbers allowed, or None."""
    for number, count in used.items():
        if number not in given:
            return f"uses {number} which is not given"
        if count > given[number]:
            return f"uses {number} {count} times, given {given[number]}"
    unused = sorted((given - used).elements())
    if use_all_numbers and unused:
        return f"does not use {', '.join(map(str, unused))}"
    return None


def _value(node: ast.expr) -> Fraction:
    """The exact value of a tree that holds only nodes of `_GRAMMAR`.

    Raises:
        ZeroDivisionError: The expression divides by zero.
    """
    match node:
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.UnaryOp(operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left) + _value(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left) - _value(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left) * _value(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _value(left) / _value(right)
    raise RuntimeError(f"{ast.dump(node)} passed the grammar check and has no value")
