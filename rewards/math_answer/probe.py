"""The value of a tree at a point: in complex128, or to many digits. Nothing here searches or simplifies.

There is no state but mpmath contexts that are used by one caller at a time, so any thread or process may evaluate.
"""

import cmath
import hashlib
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import mpmath
from mpmath.ctx_mp import MPContext

from rewards.math_answer.evaluate import MAX_FACTORIAL, NotExactError, NoValueError, canonical, exact, holds
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError

MAX_LOG10 = 4_000  # of any intermediate value that is evaluated to many digits

Point = Mapping[str, Fraction]


@lru_cache(maxsize=4096)
def point(names: frozenset[str], index: int, negative: bool = False) -> Mapping[str, Fraction]:
    """A value for each name, in (1/2, 5/2), with 50 digits drawn by a hash; the same in every process."""
    values = {}
    for name in names:
        digest = hashlib.sha256(f"{index}:{name}".encode("utf-8", "surrogatepass")).digest()
        value = Fraction(1, 2) + Fraction(2 * (int.from_bytes(digest[:24], "big") | 1), 1 << 192)
        values[name] = -value if negative else value
    return MappingProxyType(values)


def opaque_value(name: str) -> Fraction:
    """The unwritten base of ``\\log``: some number, the same everywhere."""
    return point(frozenset((name,)), 77)[name] + 2


class _Arithmetic:
    """How one kind of number is computed; `value` walks the tree with it.

    Attributes:
        largest: The largest term that was added, which bounds the error of a difference.
        spread: The largest |log10| of any value on the way.
    """

    def __init__(self, at: Point) -> None:
        self.at = at
        self.largest: Any = 0
        self.spread = 0.0

    def number(self, value: Fraction) -> Any:
        raise NotImplementedError

    def constant(self, name: str) -> Any:
        raise NotImplementedError

    def power(self, base: Any, power: Any) -> Any:
        raise NotImplementedError

    def function(self, name: str, value: Any) -> Any:
        raise NotImplementedError

    def gamma(self, value: Any) -> Any:
        raise NotImplementedError

    def checked(self, value: Any) -> Any:
        raise NotImplementedError

    def value(self, node: Node) -> Any:
        """The value of the tree.

        Raises:
            NoValueError, TooBigError: There is none, or it is out of range.
        """
        return self.checked(self.unchecked(node))

    def unchecked(self, node: Node) -> Any:
        op, args = node.op, node.args
        if op == "num":
            assert isinstance(node.value, Fraction)
            return self.number(node.value)
        if op == "sym":
            return self.number(self.at[str(node.value)])
        if op in ("call", "big", "name"):
            return self.number(self.at[canonical(node)])
        if op == "const":
            return self.constant(str(node.value))
        if op == "add":
            terms = [self.value(arg) for arg in args]
            self.largest = max(self.largest, *map(abs, terms))
            return sum(terms[1:], terms[0])
        if op == "mul":
            product = self.value(args[0])
            for arg in args[1:]:
                product = self.checked(product * self.value(arg))
            return product
        if op == "neg":
            return -self.value(args[0])
        if op == "inv":
            return 1 / self.value(args[0])
        if op == "pow":
            base, exponent = self.value(args[0]), self.value(args[1])
            if base.imag == 0 and base.real < 0 and exponent.imag == 0 and exponent.real % 1:
                return self.real_power(base, exponent, args[1])
            return self.power(base, exponent)
        if op == "root":
            return self.nth_root(self.value(args[0]), self.value(args[1]))
        if op == "pct":
            return self.value(args[0]) / 100
        if op == "deg":
            return self.value(args[0])
        if op == "abs":
            return abs(self.value(args[0]))
        if op == "fact":
            return self.gamma(self.value(args[0]) + 1)
        if op == "binom":
            top, bottom = self.value(args[0]), self.value(args[1])
            return self.gamma(top + 1) / (self.gamma(bottom + 1) * self.gamma(top - bottom + 1))
        if op == "fn":
            return self.applied(node)
        raise NoValueError(op)

    def nth_root(self, value: Any, index: Any) -> Any:
        """The real root of a negative number when the index is odd, else the principal one."""
        real = value.imag == 0 and index.imag == 0
        if real and value.real < 0 and index.real % 2 == 1:
            return -self.power(-value, 1 / index)
        return self.power(value, 1 / index)

    def real_power(self, base: Any, exponent: Any, written: Node) -> Any:
        """A negative number to a power: real where the power is a fraction with an odd denominator, as its root is."""
        try:
            fraction = exact(written)
        except (NotExactError, TooBigError):
            return self.power(base, exponent)
        if fraction.denominator % 2 == 0:
            return self.power(base, exponent)
        value = self.power(-base, exponent)
        return -value if fraction.numerator % 2 else value

    def applied(self, node: Node) -> Any:
        name, args = str(node.value), node.args
        if name in ("floor", "ceil"):
            raise NoValueError(name)  # next to a jump, rounding would decide the value; sympy can decide it
        argument = args[0]
        if name in ("sin", "cos", "tan", "cot", "sec", "csc") and holds(argument, "deg"):
            value = self.value(argument) * self.constant("pi") / 180
        else:
            value = self.value(argument)
        if name in ("log", "lg"):
            base = self.value(args[1]) if len(args) == 2 else self.number(self.log_base(name))
            return self.function("ln", value) / self.function("ln", base)
        return self.function(name, value)

    def log_base(self, name: str) -> Fraction:
        return Fraction(10) if name == "lg" else opaque_value("log")


def _reciprocals(call: Callable[[str, Any], Any], name: str, value: Any) -> Any:
    """Functions that are one over another."""
    if name == "acot":
        return call("arctan", 1 / value)
    return 1 / call({"cot": "tan", "sec": "cos", "csc": "sin"}[name], value)


class _Double(_Arithmetic):
    """complex128: fast, and good enough to see that two values differ."""

    _FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
        **{name: getattr(cmath, name) for name in "sin cos tan sinh cosh tanh exp".split()},
        **{f"arc{name}": getattr(cmath, f"a{name}") for name in "sin cos tan sinh cosh tanh".split()},
        "ln": cmath.log,
    }

    def number(self, value: Fraction) -> complex:
        return complex(float(value))

    def constant(self, name: str) -> complex:
        if name == "inf":
            raise NoValueError
        return {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}[name]

    def power(self, base: complex, power: complex) -> complex:
        result = base**power
        return complex(result)

    def function(self, name: str, value: complex) -> complex:
        if name in self._FUNCTIONS:
            return self._FUNCTIONS[name](value)
        return complex(_reciprocals(self.function, name, value))

    def gamma(self, value: complex) -> complex:
        if value.imag:
            raise NoValueError
        return complex(math.gamma(value.real))

    def checked(self, value: complex) -> complex:
        if not cmath.isfinite(value):
            raise NoValueError
        return value + 0  # a negative zero would choose the other side of a branch cut


class _Digits(_Arithmetic):
    """mpmath with a given number of decimal digits."""

    def __init__(self, at: Point, context: MPContext) -> None:
        super().__init__(at)
        self.context = context
        self.largest = context.zero

    def number(self, value: Fraction) -> Any:
        return self.context.mpf(value.numerator) / value.denominator

    def constant(self, name: str) -> Any:
        if name == "inf":
            raise NoValueError
        return {"pi": +self.context.pi, "e": +self.context.e, "i": self.context.mpc(0, 1)}[name]

    def power(self, base: Any, power: Any) -> Any:
        if base == 0:
            if power == 0 or power.real < 0:
                raise NoValueError
            return base
        if abs(power) * (abs(self.log10(base)) + 1) > MAX_LOG10:
            raise TooBigError
        return self.context.power(base, power)

    def function(self, name: str, value: Any) -> Any:
        if abs(value) > 10_000 and name != "ln":
            raise TooBigError
        if name in ("cot", "sec", "csc", "acot"):
            return _reciprocals(self.function, name, value)
        return getattr(self.context, {"ln": "log"}.get(name, name.replace("arc", "a")))(value)

    def gamma(self, value: Any) -> Any:
        if abs(value) > MAX_FACTORIAL:
            raise TooBigError
        return self.context.gamma(value)

    def log10(self, value: Any) -> float:
        """Decimal exponent; the size of an mpf is its own exponent, so no conversion can overflow."""
        size = max(self.context.mag(value.real), self.context.mag(value.imag)) if value else 0
        return 0.30103 * float(size)

    def checked(self, value: Any) -> Any:
        if not self.context.isfinite(value):
            raise NoValueError
        size = abs(self.log10(value))
        if size > MAX_LOG10:
            raise TooBigError
        self.spread = max(self.spread, size)
        return value


_FREE: list[MPContext] = []


def _warm_constants() -> None:
    """mpmath keeps its constants in unlocked globals; computed here once, no thread ever has to change them."""
    with mpmath.workprec(40_000):
        for constant in (mpmath.pi, mpmath.e, mpmath.ln2, mpmath.ln10):
            mpmath.mpf(constant)


_warm_constants()


def with_digits(digits: int, at: Point, nodes: tuple[Node, ...]) -> tuple[list[Any], Any, float]:
    """The values of ``nodes`` at one point to ``digits`` digits; the largest term added; the largest |log10| met."""
    context = _FREE.pop() if _FREE else MPContext()  # pop and append are atomic: one caller per context
    try:
        context.dps = digits
        arithmetic = _Digits(at, context)
        values = [arithmetic.value(node) for node in nodes]
        return values, arithmetic.largest, arithmetic.spread
    except (ZeroDivisionError, ValueError, ArithmeticError) as error:
        raise NoValueError from error
    finally:
        _FREE.append(context)


def in_double(at: Point, nodes: tuple[Node, ...]) -> tuple[list[complex], float]:
    """The values of ``nodes`` at one point in complex128, and the largest term added on the way."""
    arithmetic = _Double(at)
    try:
        values = [arithmetic.value(node) for node in nodes]
    except (ZeroDivisionError, ValueError, ArithmeticError) as error:
        raise NoValueError from error
    return values, float(arithmetic.largest)
