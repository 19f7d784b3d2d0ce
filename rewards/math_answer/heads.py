r"""What stands in front of a value and is not part of it: ``P(x) =``, ``P(X=3) =``, ``\text{The answer is}``, ``=``.

Each function looks at the tokens under a cursor and takes those that it knows. Whether the tree in front of ``=`` is a
name, where a tree can be made of it, is the business of `forms`.
"""

from rewards.math_answer.cursor import Cursor
from rewards.math_answer.nodes import GREEK, Node, is_prose
from rewards.math_answer.tokens import Token

MAX_HEAD_TOKENS = 40
EQUAL_SIGNS = ("=", r"\approx", r"\equiv")
_IN_FRONT = ("=", r"\approx", r"\therefore", r"\Rightarrow", r"\implies", ":")
_VERBS = frozenset(("is", "are", "equals", "be"))
# Words that deny what follows, or multiply it.
_DENIALS = frozenset(
    "not no never wrong incorrect false isn neither nor cannot tens dozens hundred hundreds thousand thousands million "
    "millions billion billions lakhs crores".split()
)
# Operators whose argument may be an event or a set: P(X = 3), E[X], n(A \cup B).
_OF_EVENTS = frozenset("P E V D N n Pr Var Cov SD".split())
_CLOSING = {"(": ")", "[": "]"}


def lead(cursor: Cursor) -> None:
    r"""Take ``=`` or a label in words, such as ``\text{Answer: }`` or "The answer is", in front of a value."""
    token = cursor.peek()
    if token.kind == "num":
        return
    while cursor.peek().text in _IN_FRONT and cursor.peek().kind != "text" and cursor.peek(1).kind != "eof":
        if cursor.peek().text == r"\approx" and "." not in cursor.peek(1).text + cursor.peek(2).text:
            return  # a whole number that is only nearly right
        cursor.pos += 1
    if not _is_word(cursor.peek()):
        return
    ahead = label = 0
    while _is_word(token := cursor.peek(ahead)) or (ahead and token.kind == "word" and len(token.text) == 1):
        if token.text.lower() in _DENIALS:
            return
        ahead += 1
        label = ahead if token.text.lower() in _VERBS else label
    if cursor.peek(ahead).text == ":":
        label = ahead + 1
    if label and cursor.peek(label).kind not in ("eof", "sep"):
        cursor.pos += label


def _is_word(token: Token) -> bool:
    return token.kind == "text" or (token.kind == "word" and is_prose(token.text))


def head(cursor: Cursor) -> Node | None:
    """A function with its arguments, if it is all that stands in front of an equals sign; it is taken then."""
    ahead = _after_name(cursor)
    if ahead == 0:
        return None
    name = cursor.peek(ahead - 1 if cursor.peek().text == r"\mathbb" and cursor.peek(1).text != "{" else 0)
    of_events = cursor.peek().kind == "text" or cursor.peek().text in (r"\mathbb", r"\Pr") or name.text in _OF_EVENTS
    ahead = _after_scripts(cursor, ahead)
    opening = cursor.peek(ahead).text
    if opening not in _CLOSING:
        return None
    depth, end = 1, ahead + 1
    while depth and end - ahead < MAX_HEAD_TOKENS:
        token = cursor.peek(end)
        if token.kind == "eof" or not (of_events or _is_argument(token, cursor.peek().text)):
            return None
        depth += (token.text == opening) - (token.text == _CLOSING[opening])
        end += 1
    end = _after_scripts(cursor, end)
    if depth or cursor.peek(end).text not in EQUAL_SIGNS:
        return None
    text = "".join(token.text for token in cursor.tokens[cursor.pos : cursor.pos + end])
    cursor.pos += end
    return Node("call", (), text)


def _after_name(cursor: Cursor) -> int:
    r"""How many tokens the name of a function takes: ``y``, ``\phi``, ``\text{Var}``, ``\mathbb{E}``; 0 for none."""
    token = cursor.peek()
    if token.text == "(":
        return _combined(cursor)
    if token.text == r"\mathbb":
        return 4 if cursor.peek(1).text == "{" else 2
    if token.kind == "word":
        return int(len(token.text) == 1 or token.text in _OF_EVENTS)
    return int(token.kind == "text" or token.text in GREEK or token.text == r"\Pr")


def _combined(cursor: Cursor) -> int:
    """The tokens of ``(f+g)``, sums and products of functions with one letter; 0 for anything else."""
    ahead = 1
    while cursor.peek(ahead).kind == "word" and len(cursor.peek(ahead).text) == 1:
        if cursor.peek(ahead + 1).text == ")":
            return ahead + 2 if ahead > 1 else 0
        if cursor.peek(ahead + 1).text not in ("+", "-", "*", "/", r"\circ"):
            return 0
        ahead += 2
    return 0


def _after_scripts(cursor: Cursor, ahead: int) -> int:
    """The place behind subscripts, primes and powers that stand at ``ahead``."""
    while (token := cursor.peek(ahead)).text in ("_", "^", "'"):
        ahead += 1
        if token.text == "'":
            continue
        if cursor.peek(ahead).text != "{":
            ahead += 2 if cursor.peek(ahead).text == "-" else 1
            continue
        depth = 1
        while depth and cursor.peek(ahead).kind != "eof":
            ahead += 1
            depth += (cursor.peek(ahead).text == "{") - (cursor.peek(ahead).text == "}")
        ahead += 1
    return ahead


def _is_argument(token: Token, name: str) -> bool:
    """Whether a token may stand in the arguments of a function called ``name``: letters other than it, and numbers."""
    if token.kind == "word":
        return len(token.text) == 1 and token.text != name
    if token.kind == "num":
        return True
    return token.text in (",", "-", "/", "{", "}", "_", "'", ")", r"\frac", r"\pi", r"\infty") or token.text in GREEK


def calls_a_number(cursor: Cursor, name: str) -> bool:
    """Whether brackets around one number follow: ``I(0)`` is a function at 0, and no product.

    For ``e`` and ``i``, which are numbers of their own, only 0 is such an argument.
    """
    if cursor.peek().text != "(":
        return False
    ahead = 2 if cursor.peek(1).text in ("-", "+") else 1
    token = cursor.peek(ahead)
    if name in ("e", "i"):
        return token.text == "0" and cursor.peek(ahead + 1).text == ")"
    if token.text == r"\frac":
        inside = [cursor.peek(ahead + step) for step in range(1, 7)]
        shape = [one.kind if one.kind == "num" else one.text for one in inside]
        ends = 3 if shape[:2] == ["num", "num"] else 7 if shape == ["{", "num", "}"] * 2 else 0
        return bool(ends) and cursor.peek(ahead + ends).text == ")"
    return (token.kind == "num" or token.text in (r"\pi", r"\infty")) and cursor.peek(ahead + 1).text == ")"
