"""Numbers written out, as exact fractions: `1,234.5`, `-3/4`, `\\frac{1}{2}`, `2\\frac12`, `50\\%`, `1.5\\times10^{3}`.

One anchored regular expression and no floats; what does not match is left to the parser.
"""

import re
from fractions import Fraction

MAX_DIGITS = 4_000  # int() itself stops at 4,300
MAX_EXPONENT = 5_000

_GROUPED = r"[1-9][0-9]{0,2}(?:(?:,|\{,\}|,\\!\s*|\\,|\s)[0-9]{3})+|[0-9]+"
_NUMBER = re.compile(
    rf"""(?P<sign>[+-]?)\s*
    (?:
        (?P<whole>{_GROUPED}|(?=\.))(?P<decimals>\.[0-9]*)?
        (?:(?:[eE]|\s*(?:\\times|\\cdot|\*)\s*10\s*\^)\s*(?P<exponent>[+-]?[0-9]+|\{{\s*[+-]?[0-9]+\s*\}}))?
        |(?P<mixed>[0-9]+\s*(?=\\)|[0-9]+\s+)?
         (?:\\[dtc]?frac\s*(?:\{{\s*(?P<top>[+-]?[0-9]+)\s*\}}|(?P<top1>[0-9]))\s*
            (?:\{{\s*(?P<bottom>[+-]?[0-9]+)\s*\}}|(?P<bottom1>[0-9]))
         |(?P<over>[0-9]+)\s*/\s*(?P<under>[0-9]+))
    )
    \s*(?P<percent>\\?%)?""",
    re.VERBOSE,
)


class TooBigError(Exception):
    """A value or an expression beyond the caps."""


def exact_number(text: str) -> Fraction | None:
    r"""The value of ``text`` when it is one number and nothing else, otherwise None.

    Raises:
        TooBigError: More digits or a larger exponent than the caps.

    >>> exact_number(r"2\frac{1}{2}"), exact_number("12.5\\%"), exact_number("12,34")
    (Fraction(5, 2), Fraction(1, 8), None)
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    if len(text) > MAX_DIGITS:
        raise TooBigError
    if found["whole"] is not None:
        value = _decimal(found["whole"], found["decimals"], found["exponent"])
    else:
        value = _fraction(found)
    if value is None:
        return None
    if found["sign"] == "-":
        value = -value
    return value / 100 if found["percent"] else value


def _decimal(whole: str, decimals: str | None, exponent: str | None) -> Fraction | None:
    digits = re.sub("[^0-9]", "", whole)
    places = (decimals or "").removeprefix(".")
    if not digits + places:
        return None
    power = int((exponent or "0").strip("{} "))
    if abs(power) > MAX_EXPONENT:
        raise TooBigError
    return Fraction(int(digits + places)) * Fraction(10) ** (power - len(places))


def _fraction(found: re.Match[str]) -> Fraction | None:
    top = int(found["top"] or found["top1"] or found["over"])
    bottom = int(found["bottom"] or found["bottom1"] or found["under"])
    if bottom == 0:
        return None
    if found["mixed"] is None:
        return Fraction(top, bottom)
    # An improper fraction after a number is a product, which the parser reads.
    return int(found["mixed"]) + Fraction(top, bottom) if 0 <= top < bottom else None


def written(value: Fraction) -> str:
    """The number in decimal; in hexadecimal when it has more digits than Python writes in decimal (4,300)."""
    try:
        return str(value)
    except ValueError:
        return f"{hex(value.numerator)}/{hex(value.denominator)}"
