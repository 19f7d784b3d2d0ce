"""Units behind a number, as an answer writes them: ``5 cm``, ``3 m^2``, ``60 km/h``, ``12 apples``.

`units` says which words are units; here they are found among the tokens.
"""

from rewards.math_answer.cursor import Cursor
from rewards.math_answer.nodes import BIG_WORDS, CURRENCY, FUNCTIONS, Node, NotMathError, is_prose
from rewards.math_answer.tokens import Token
from rewards.math_answer.units import LETTER_UNITS, PERCENT, PLAIN_LETTER_UNITS, canonical_unit, is_unit_word

_IN_UNITS = frozenset(("^", "{", "}", "2", "3", "/", "*", "-", "."))


def starts_unit(cursor: Cursor, token: Token) -> bool:
    """Whether ``token``, the next one, begins a unit behind a product."""
    if token.text in PERCENT or token.text in FUNCTIONS:
        return False
    if token.kind == "text":
        return True
    if token.text == "(":
        return _in_brackets(cursor)
    if token.text in BIG_WORDS:
        return False
    if token.kind != "word":
        return token.text in CURRENCY
    if len(token.text) == 1:
        return token.space and token.text in PLAIN_LETTER_UNITS and _letter_ends_answer(cursor)
    return is_unit_word(token.text, token.space) or is_prose(token.text)


def _in_brackets(cursor: Cursor) -> bool:
    """Whether the next tokens are words in brackets and the end: ``12 (\\text{cm})``, "9 (apples)"."""
    ahead = 1
    while _is_word(cursor.peek(ahead)) or cursor.peek(ahead).text in _IN_UNITS:
        ahead += 1
    return _is_word(cursor.peek(1)) and cursor.peek(ahead).text == ")" and _ends(cursor, ahead + 1)


def _is_word(token: Token) -> bool:
    return token.kind == "text" or (token.kind == "word" and (is_prose(token.text) or is_unit_word(token.text, True)))


def _ends(cursor: Cursor, ahead: int) -> bool:
    return cursor.peek(ahead).kind == "eof"


def _letter_ends_answer(cursor: Cursor) -> bool:
    """Whether nothing but a power or a divisor stands behind a letter, and a number in front of it."""
    ahead = 1
    if cursor.peek(ahead).text == "^":
        ahead = 5 if cursor.peek(2).text == "{" else 3
    elif cursor.peek(ahead).text == "/" and cursor.peek(2).text in LETTER_UNITS:
        ahead = 3
        if cursor.peek(ahead).text == "^":
            ahead = 7 if cursor.peek(4).text == "{" else 5
    before = cursor.tokens[cursor.pos - 1]
    return cursor.peek(ahead).kind == "eof" and (before.kind == "num" or before.text in ("}", r"\pi"))


def unit(cursor: Cursor) -> list[Node]:
    """The unit, which must end the product, as a list of one node; empty for one that says nothing ("5 units").

    Raises:
        NotMathError: The words are no unit, or change the number ("5 or more").
    """
    if cursor.peek().text in CURRENCY:
        return [Node("unit", (), CURRENCY[cursor.take().text])]
    bracketed = cursor.accept("(")
    parts: list[tuple[str, int]] = []
    sign = 1
    while True:
        token = cursor.take()
        if token.kind not in ("text", "word"):
            raise NotMathError("a unit that is none")
        parts.append((token.text, sign * _power(cursor)))
        if token.text == "per":
            parts.pop()
            sign = -1
            continue
        sign = 1
        if cursor.peek().text == "/":
            cursor.pos += 1
            sign = -1
        elif cursor.peek().text == "." and _ends(cursor, 1):
            cursor.pos += 1
            break
        elif cursor.peek().text in ("*", "."):
            cursor.pos += 1
        elif cursor.peek().text == "-" and (bracketed or token.kind == "text") and _is_word(cursor.peek(1)):
            cursor.pos += 1  # "two-digit numbers"
            parts[-1] = (f"{token.text}-", parts[-1][1])
        elif cursor.peek().kind not in ("text", "word"):
            break
    if bracketed:
        cursor.expect(")")
    name = canonical_unit(parts)
    if name is None:
        raise NotMathError("words that change the number")
    return [Node("unit", (), name)] if name else []


def _power(cursor: Cursor) -> int:
    """The power written behind the name of a unit; 1 when there is none."""
    if not cursor.accept("^"):
        return 1
    braced = cursor.accept("{")
    sign = -1 if cursor.accept("-") else 1
    digits = cursor.take().text
    if braced:
        cursor.expect("}")
    if digits not in ("1", "2", "3", "4"):
        raise NotMathError("an odd power of a unit")
    return sign * int(digits)
