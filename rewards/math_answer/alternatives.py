r"""One value written twice: ``\frac13 \approx 0.333``, ``\frac52 \text{ or } 2.5``, a gold made of two boxes."""

from fractions import Fraction

from rewards.math_answer.evaluate import NotExactError, NoValueError, exact, symbols
from rewards.math_answer.forms import split_unit
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.probe import in_double
from rewards.math_answer.scalars import is_scalar

MAX_NOTATIONS = 3
MAX_DECIMALS = 20


def notations(node: Node, separators: tuple[str, ...]) -> tuple[Node, ...]:
    """The items of a short list joined by these separators, which may be one value in several notations; else ()."""
    if node.op != "list" or len(node.args) > MAX_NOTATIONS or not isinstance(node.value, tuple):
        return ()
    return node.args if all(sign in separators for sign in node.value) else ()


def values_of(node: Node) -> tuple[Node, ...]:
    r"""What ``a \approx b`` answers: ``a``, and ``b`` where it is ``a`` rounded to the decimals that it shows.

    A decimal or a whole number is not rounded once more: ``5.1 \approx 5`` says 5.1.
    """
    first, second = node.args
    if first.op == "alts":
        return values_of(first)
    plain, rounded = split_unit(first)[0], split_unit(second)[0]
    if plain.op == "neg":
        plain = plain.args[0]
    return (first, second) if plain.op != "num" and _rounds_to(split_unit(first)[0], rounded) else (first,)


def _rounds_to(value: Node, decimal: Node) -> bool:
    if not is_scalar(value) or not is_scalar(decimal) or symbols(value) or symbols(decimal):
        return False
    try:
        shown = exact(decimal)
        (number,), _ = in_double({}, (value,))
    except (NotExactError, NoValueError, TooBigError, ArithmeticError):
        return False
    places = next((places for places in range(MAX_DECIMALS) if (shown * 10**places).denominator == 1), None)
    if places is None or abs(number.imag) > 1e-12:
        return False
    return abs(number.real - float(shown)) <= float(Fraction(51, 100 * 10**places))
