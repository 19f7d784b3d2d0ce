r"""Numbers as an answer writes them: decimals, mixed numbers, ``0.1\overline{6}``, ``52_8``.

Each function reads at a cursor and returns a node; nothing here calls the rest of the grammar.
"""

from fractions import Fraction

from rewards.math_answer.cursor import Cursor
from rewards.math_answer.nodes import Node, NotMathError
from rewards.math_answer.numbers import MAX_DIGITS, MAX_EXPONENT, TooBigError
from rewards.math_answer.tokens import Token

_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_BASES |= {"ten": "10", "twelve": "12", "sixteen": "16"}


def number(cursor: Cursor, token: Token) -> Node:
    """The number of ``token``, which was taken, with the base or the repeating digits that stand behind it."""
    if len(token.text) > MAX_DIGITS:
        raise TooBigError
    if cursor.peek().text == "_":
        return in_base(cursor, token.text)
    if token.text.isdecimal():
        return Node("num", (), Fraction(int(token.text)))
    mantissa, _, power = token.text.lower().partition("e")
    if power and abs(int(power)) > MAX_EXPONENT:
        raise TooBigError
    value = Fraction(mantissa.rstrip(".")) * (Fraction(10) ** int(power) if power else 1)
    if "." in mantissa and not power:
        places = len(mantissa.partition(".")[2])
        if cursor.peek().text == r"\overline":
            return _repeating(cursor, value, places)
        if cursor.peek().text == r"\dot":
            return _dotted(cursor, value, places)
        if not places and cursor.peek().text == "(" and cursor.peek(1).kind == "num" and cursor.peek(2).text == ")":
            cursor.pos += 3  # 0.(3)
            return _repeated(value, cursor.peek(-2).text, 0)
    return Node("num", (), value)


def in_base(cursor: Cursor, digits: str) -> Node:
    """Digits with a base as their subscript. They are compared as written, so the base is not applied."""
    cursor.expect("_")
    braced, bracketed = cursor.accept("{"), cursor.accept("(")
    base = cursor.take().text
    base = _BASES.get(base, base)
    if bracketed:
        cursor.expect(")")
    if braced:
        cursor.expect("}")
    if not base.isdecimal() or not digits.isdecimal() or len(base) > 2 or not 2 <= int(base) <= 36:
        raise NotMathError("a subscript that is no base")
    return Node("base", (), (digits, base))


def mixed_number(cursor: Cursor) -> Node | None:
    r"""``7 3/4`` or ``2\frac12``: a whole number and a proper fraction of whole numbers behind it; else None."""
    whole, top = cursor.peek(), cursor.peek(1)
    if not whole.text.isdecimal():
        return None
    start = cursor.pos
    if top.kind == "num" and top.space and cursor.peek(2).text == "/" and cursor.peek(3).kind == "num":
        bottom = cursor.peek(3)
        if top.text.isdecimal() and bottom.text.isdecimal() and cursor.peek(4).text not in ("^", "!", "."):
            cursor.pos += 4
            return _with_proper_fraction(cursor, start, whole.text, top.text, bottom.text)
    if top.text == r"\frac":
        cursor.pos += 2
        pair = [_whole_argument(cursor) for _ in range(2)]
        if pair[0] and pair[1] and cursor.peek().text not in ("^", "!"):
            return _with_proper_fraction(cursor, start, whole.text, pair[0], pair[1])
        cursor.pos = start
    return None


def _whole_argument(cursor: Cursor) -> str:
    r"""The digits of an argument of ``\frac``, or "" when it is anything else; one digit at a time outside braces."""
    if cursor.accept("{"):
        token = cursor.take()
        return token.text if token.text.isdecimal() and cursor.accept("}") else ""
    token = cursor.peek()
    if not token.text.isdecimal():
        return ""
    cursor.split_digits()
    return cursor.take().text


def _with_proper_fraction(cursor: Cursor, start: int, whole: str, top: str, bottom: str) -> Node | None:
    """The sum of the two; None, with the cursor back at ``start``, when the fraction is not below 1."""
    if max(len(whole), len(top), len(bottom)) > MAX_DIGITS:
        raise TooBigError
    if 0 <= int(top) < int(bottom):
        return Node("num", (), int(whole) + Fraction(int(top), int(bottom)))
    cursor.pos = start
    return None


def _repeating(cursor: Cursor, value: Fraction, places: int) -> Node:
    r"""``0.1\overline{6}``: a decimal of ``places`` decimals, and the digits that repeat behind them."""
    cursor.pos += 1
    cursor.expect("{")
    digits = cursor.take().text
    cursor.expect("}")
    return _repeated(value, digits, places)


def _dotted(cursor: Cursor, value: Fraction, places: int) -> Node:
    r"""``0.1\dot{6}`` or ``0.\dot{1}4\dot{2}``: the digits from the first dot to the last one repeat."""
    digits, dots = "", 0
    while cursor.peek().text == r"\dot" or (dots == 1 and cursor.peek().kind == "num" and _dot_follows(cursor)):
        if cursor.accept(r"\dot"):
            dots += 1
            braced = cursor.accept("{")
            cursor.split_digits()
            digits += cursor.take().text
            if braced:
                cursor.expect("}")
        else:
            digits += cursor.take().text
    if dots > 2:
        raise NotMathError("more than two dots over a decimal")
    return _repeated(value, digits, places)


def _dot_follows(cursor: Cursor) -> bool:
    return cursor.peek(1).text == r"\dot"


def _repeated(value: Fraction, digits: str, places: int) -> Node:
    """The decimal ``value`` of ``places`` decimals, with ``digits`` that repeat behind them."""
    if not digits.isdecimal() or len(digits) > MAX_DIGITS:
        raise NotMathError("no repeating decimal")
    return Node("num", (), value + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places))


def clock_time(cursor: Cursor) -> Node | None:
    """``10:50`` or ``7:05 pm``: whole hours, and minutes in two digits; None for anything else, a ratio among it.

    A ratio such as ``5:12`` has the same form. Nothing is lost by reading it as a time but that ``10:24`` is not equal.
    """
    if cursor.peek(1).text != ":" or cursor.peek().kind != "num":
        return None
    parts = [cursor.peek()]
    ahead = 1
    while cursor.peek(ahead).text == ":" and len(parts) < 3:
        parts.append(cursor.peek(ahead + 1))
        ahead += 2
    half_day = cursor.peek(ahead).text.lower() if cursor.peek(ahead).kind in ("text", "word") else ""
    half_day = half_day if half_day in ("am", "pm") else ""
    texts = [part.text for part in parts]
    if not all(text.isdecimal() and text.isascii() for text in texts) or len(texts[0]) > 2 or int(texts[0]) > 24:
        return None
    if any(len(text) != 2 or int(text) > 59 for text in texts[1:]):
        return None
    if any(part.space for part in parts[1:]) and not half_day and not any(text[0] == "0" for text in texts):
        return None  # "3 : 10" is a ratio
    behind = cursor.peek(ahead + bool(half_day))
    if behind.kind not in ("eof", "sep", "end") and behind.text not in (",", ";", ")", "]", "}", r"\}", "="):
        return None
    cursor.pos += ahead + bool(half_day)
    return Node("clock", tuple(Node("num", (), Fraction(int(text))) for text in texts), half_day)
