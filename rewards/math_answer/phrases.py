"""What is said in words and means a value, and what is said behind an answer and means nothing.

The words of a whole answer ("all real numbers", "no solution") are one table; quantifiers and "k an integer" at the end
are cut off the tokens.
"""

import re
from fractions import Fraction

from rewards.math_answer.nodes import GREEK, Node
from rewards.math_answer.tokens import Token

_INFINITY = Node("const", (), "inf")
_REALS = re.compile(
    r"(?:(?:the )?set of )?(?:all |any |every )?(?:the )?real numbers?(?: [a-z])?|(?:all|any|every) reals?(?: [a-z])?"
    r"|(?:all|any|every) real values?(?: (?:of|for) [a-z])?|all the reals|the reals|the real line"
)
_EMPTY = re.compile(
    r"(?:there (?:is|are) )?no (?:real |possible |valid )?solutions?(?: exists?)?|(?:the )?(?:empty|null) set"
)
_INFINITE = {"infinity": _INFINITY, "positive infinity": _INFINITY, "plus infinity": _INFINITY}
_INFINITE |= dict.fromkeys(("negative infinity", "minus infinity"), Node("neg", (_INFINITY,)))
_SAME = {
    **dict.fromkeys(("dne", "the limit does not exist", "limit does not exist", "it does not exist"), "does not exist"),
    **dict.fromkeys(("not defined", "is undefined", "it is undefined"), "undefined"),
    **dict.fromkeys(("infinite", "infinitely many solutions", "infinite solutions"), "infinitely many"),
}
_ANSWER_IS = re.compile(r"^(?:so )?(?:the )?(?:final )?(?:answer|result|solution) (?:is |: )+(?!not )(?=[^ ])")
_EACH = frozenset(("all", "any", "every", "each"))
_DOMAIN = _EACH | frozenset(
    r"\in \mathbb { } ^ + ( ) , . real reals number numbers value values of the in integer integers natural positive "
    r"nonnegative rational complex and".split()
)
_INTEGERS = frozenset(("integer", "integers"))
_BETWEEN = frozenset(
    "constant constants arbitrary real where with for and some any all every each is are an be a".split()
)


def meaning(words: str) -> Node | None:
    """The value that the words of a whole answer stand for; None when they are only a text."""
    if words in _INFINITE:
        return _INFINITE[words]
    if "real" in words and _REALS.fullmatch(words):
        return Node("reals")
    if ("no" in words or "set" in words) and _EMPTY.fullmatch(words):
        return Node("empty")
    return None


def usual(words: str) -> str:
    """The usual wording of a text: "does not exist" for DNE; without "the answer is" in front of it."""
    words = _ANSWER_IS.sub("", words)
    return _SAME.get(words, words)


def without_tail(tokens: list[Token]) -> list[Token]:
    r"""The tokens without ``\text{for all } x`` or ``, k\in\mathbb{Z}`` at their end.

    Only what says nothing new is cut: a quantifier without a condition, and integers that the answer is written in.
    """
    if len(tokens) < 3 or tokens[-1].kind == "num":
        return tokens
    for at, token in enumerate(tokens):
        if at == 0 or token.text not in ("for", r"\forall"):
            continue
        tail = tokens[at + 1 :]
        quantified = token.text == r"\forall" or (tail and tail[0].text in _EACH)
        if quantified and all(_letter(one) or one.text.lower() in _DOMAIN for one in tail):
            return _trimmed(tokens[:at])
    end = _integer_tail(tokens)
    return tokens if end is None else _trimmed(tokens[:end])


def _integers(tail: list[Token]) -> bool:
    texts = [token.text for token in tail if token.text not in ("{", "}", ")", "$")]
    return texts[-2:] == [r"\mathbb", "Z"] or (bool(texts) and texts[-1] in _INTEGERS)


def _integer_tail(tokens: list[Token]) -> int | None:
    r"""Where ``, k \in \mathbb{Z}`` or ``\text{ where } k \text{ is an integer}`` begins; None without one."""
    if len(tokens) < 4 or not (_integers(tokens) or (_of_function(tokens) and _constants(tokens))):
        return None
    at = len(tokens) - 1
    names: set[str] = set()
    while at and (
        tokens[at].text in ("{", "}", "(", ")", r"\in", r"\mathbb", ",") or _counts(tokens[at]) or _letter(tokens[at])
    ):
        article = tokens[at].text == "a" and at + 1 < len(tokens) and _counts(tokens[at + 1])
        if _letter(tokens[at]) and not (tokens[at].text in ("Z", "R") and not names) and not article:
            names.add(tokens[at].text)
        ends = tokens[at].text in (",", "(", "where", "for", "with") and names
        if ends and tokens[at - 1].text not in (",", "(", "where", "for", "with", "and"):
            used = {token.text for token in tokens[:at]} | {char for one in tokens[:at] for char in one.text}
            return at if names <= used else None
        at -= 1
    return None


def _of_function(tokens: list[Token]) -> bool:
    """Whether the answer is a function with its arguments in front: the letters in it that are free are constants."""
    return tokens[0].kind == "word" and tokens[1].text == "(" and any(token.text == "=" for token in tokens)


def _constants(tokens: list[Token]) -> bool:
    texts = [token.text for token in tokens if token.text not in ("{", "}", ")", "$")]
    return texts[-2:] == [r"\mathbb", "R"] or any(text in ("constant", "constants") for text in texts[-2:])


def _letter(token: Token) -> bool:
    return (token.kind == "word" and len(token.text) == 1) or token.text in GREEK


def _counts(token: Token) -> bool:
    return token.kind in ("text", "word", "sep") and token.text in _BETWEEN | _INTEGERS


def _trimmed(tokens: list[Token]) -> list[Token]:
    while len(tokens) > 1 and tokens[-1].text in (",", ";", "("):
        tokens = tokens[:-1]
    return tokens


def with_base(tokens: list[Token]) -> list[Token]:
    r"""``52 \text{ base } 8`` as ``52_8``."""
    plain = [token for token in tokens if token.text not in ("(", ")", "in")]
    if len(plain) == 3 and plain[0].kind == plain[2].kind == "num" and plain[1].text == "base":
        return [plain[0], plain[1]._replace(kind="op", text="_"), plain[2]]
    return tokens


def arc(degrees: Fraction, minutes: Fraction, seconds: Fraction) -> Node:
    """Degrees, minutes and seconds of arc as one angle."""
    return Node("deg", (Node("num", (), degrees + minutes / 60 + seconds / 3600),))
