"""The value of a tree, exactly or modulo a prime, and what is in it. Nothing here searches or simplifies.

Every operation looks at the size of its operands first, so no input takes longer than its number of nodes allows.
``probe`` computes what has no exact value.
"""

import math
from fractions import Fraction
from functools import lru_cache

from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError, written

MAX_BITS = 100_000
MAX_FACTORIAL = 5_000
PRIMES = (2305843009213693951, 2305843009213693921, 2305843009213693907)  # the largest three of 61 bits


class NotExactError(Exception):
    """The value is not rational, or not known to be."""


class NoValueError(Exception):
    """The tree has no number as value: undefined, infinite, or a structure."""


@lru_cache(maxsize=4096)
def canonical(node: Node) -> str:
    """A string that is equal for trees that differ only in the order of sums, products and sets."""
    parts = [canonical(arg) for arg in node.args]
    if node.op in ("add", "mul", "set"):
        parts.sort()
    value = written(node.value) if isinstance(node.value, Fraction) else node.value
    return f"{node.op}[{'' if value == 'frac' else value}]({','.join(parts)})"


def symbols(node: Node) -> frozenset[str]:
    """The free symbols, unknown functions and undone operators, each by one name."""
    if node.op == "sym":
        return frozenset((str(node.value),))
    if node.op in ("call", "big", "name"):
        return frozenset((canonical(node),))
    found: frozenset[str] = frozenset()
    for arg in node.args:
        found |= symbols(arg)
    return found


def holds(node: Node, *ops: str) -> bool:
    """Whether a node of one of these kinds is anywhere in the tree."""
    return node.op in ops or any(holds(arg, *ops) for arg in node.args)


def undone(node: Node) -> frozenset[str]:
    """The names of the operators, such as ``sum``, whose work was not done."""
    found = frozenset((str(node.value),)) if node.op == "big" else frozenset()
    for arg in node.args:
        found |= undone(arg)
    return found


def exact(node: Node) -> Fraction:
    """The value as a fraction.

    Raises:
        NotExactError: It is irrational or symbolic, or an irrational step is on the way.
        TooBigError: A step needs more than MAX_BITS.
        NoValueError: A division by zero.
    """
    op, args = node.op, node.args
    if op == "num":
        assert isinstance(node.value, Fraction)
        return node.value
    if op == "neg":
        return -exact(args[0])
    if op == "add":
        return _small(sum((exact(arg) for arg in args), Fraction(0)))
    if op == "mul":
        product = Fraction(1)
        for arg in args:
            product = _small(product * exact(arg))
        return product
    if op == "inv":
        value = exact(args[0])
        if value == 0:
            raise NoValueError
        return 1 / value
    if op == "pct":
        return exact(args[0]) / 100
    if op == "deg":
        return exact(args[0])
    if op == "abs":
        return abs(exact(args[0]))
    if op == "pow":
        return _power(exact(args[0]), exact(args[1]))
    if op == "root":
        index = exact(args[1])
        if index == 0:
            raise NoValueError
        return _power(exact(args[0]), 1 / index)
    if op == "fact":
        return Fraction(math.factorial(_countable(exact(args[0]))))
    if op == "binom":
        return _binomial(exact(args[0]), exact(args[1]))
    if op == "fn" and node.value in ("floor", "ceil"):
        value = exact(args[0])
        return Fraction(math.floor(value) if node.value == "floor" else math.ceil(value))
    raise NotExactError


def as_number(node: Node) -> Node:
    """The tree as one number when it is rational: arithmetic that the notation leaves open is not left undone."""
    try:
        return Node("num", (), exact(node))
    except (NotExactError, NoValueError, TooBigError):
        return node


def _small(value: Fraction) -> Fraction:
    """The value, which must not need more than MAX_BITS."""
    if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
        raise TooBigError
    return value


def _countable(value: Fraction) -> int:
    """A whole number from 0 up, small enough for its factorial to be computed."""
    if value.denominator != 1 or value < 0:
        raise NotExactError
    if value > MAX_FACTORIAL:
        raise TooBigError
    return int(value)


def _binomial(top: Fraction, bottom: Fraction) -> Fraction:
    if bottom.denominator != 1:
        raise NotExactError
    count = _countable(top)
    return Fraction(math.comb(count, int(bottom))) if bottom >= 0 else Fraction(0)


def _power(base: Fraction, power: Fraction) -> Fraction:
    if power.denominator != 1:
        return _root(base, power)
    if base == 0:
        if power <= 0:
            raise NoValueError
        return base
    if abs(base) == 1:
        return Fraction(1) if power % 2 == 0 else base
    bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(power)
    if bits > MAX_BITS:
        raise TooBigError
    return base ** int(power)


def _root(base: Fraction, power: Fraction) -> Fraction:
    """A power with a fraction as exponent, when the result is rational."""
    index = power.denominator
    if index > 64 or base.numerator.bit_length() + base.denominator.bit_length() > 4096:
        raise NotExactError
    if base < 0 and index % 2 == 0:
        raise NotExactError
    top, bottom = _whole_root(abs(base.numerator), index), _whole_root(base.denominator, index)
    if top is None or bottom is None:
        raise NotExactError
    return _power(Fraction(top if base >= 0 else -top, bottom), Fraction(power.numerator))


def _whole_root(value: int, index: int) -> int | None:
    """The whole number whose power it is, found by bisection; None when there is none."""
    low, high = 0, 1 << (value.bit_length() // index + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**index <= value else (low, middle - 1)
    return low if low**index == value else None


def modular(node: Node, prime: int) -> int:
    """The value modulo a prime, for integers and fractions that are too big to write down.

    Raises:
        NotExactError: There is no such value.
        TooBigError: Even an exponent is too big to write down.
    """
    op, args = node.op, node.args
    if op == "neg":
        return -modular(args[0], prime) % prime
    if op == "add":
        return sum(modular(arg, prime) for arg in args) % prime
    if op == "mul":
        product = 1
        for arg in args:
            product = product * modular(arg, prime) % prime
        return product
    if op == "inv":
        value = modular(args[0], prime)
        if value == 0:
            raise NotExactError
        return pow(value, -1, prime)
    if op == "pow":
        power = exact(args[1])
        base = modular(args[0], prime)
        if power.denominator != 1 or base == 0:
            raise NotExactError
        return pow(base, int(power), prime)
    value_exact = exact(node)
    return value_exact.numerator * pow(value_exact.denominator, -1, prime) % prime
