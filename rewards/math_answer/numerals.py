r"""Numbers as an answer writes them: decimals, mixed numbers, ``0.1\overline{6}``, ``52_8``.

Each function reads at a cursor and returns a node; nothing here calls the rest of the grammar.
"""

from fractions import Fraction

from rewards.math_answer.cursor import Cursor
from rewards.math_answer.nodes import Node, NotMathError
from rewards.math_answer.numbers import MAX_DIGITS, MAX_EXPONENT, TooBigError
from rewards.math_answer.tokens import Token


def number(cursor: Cursor, token: Token) -> Node:
    """The number of ``token``, which was taken, with the base or the repeating digits that stand behind it."""
    if len(token.text) > MAX_DIGITS:
        raise TooBigError
    if cursor.peek().text == "_":
        return in_base(cursor, token.text)
    mantissa, _, power = token.text.lower().partition("e")
    if power and abs(int(power)) > MAX_EXPONENT:
        raise TooBigError
    value = Fraction(mantissa.rstrip(".")) * (Fraction(10) ** int(power) if power else 1)
    if cursor.peek().text == r"\overline" and "." in mantissa and not power:
        return _repeating(cursor, value, len(mantissa.partition(".")[2]))
    return Node("num", (), value)


def in_base(cursor: Cursor, digits: str) -> Node:
    """Digits with a base as their subscript. They are compared as written, so the base is not applied."""
    cursor.expect("_")
    braced = cursor.accept("{")
    base = cursor.take().text
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
    if not digits.isdecimal() or len(digits) > MAX_DIGITS:
        raise NotMathError("an overline that is no repeating decimal")
    return Node("num", (), value + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places))
