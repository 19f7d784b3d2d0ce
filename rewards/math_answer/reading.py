"""An answer, read as far as it can be: its tokens as one string, its words, and its tree."""

from functools import lru_cache
from typing import NamedTuple

from rewards.math_answer.choices import labelled
from rewards.math_answer.extract import MAX_ANSWER_CHARS, clean
from rewards.math_answer.nodes import Node, NotMathError
from rewards.math_answer.normal import normalise
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.phrases import meaning, usual, with_base, without_tail
from rewards.math_answer.repairs import MAX_CHARS
from rewards.math_answer.syntax import parse
from rewards.math_answer.tokens import Token, spelled, tokenise

_CHOICES = frozenset("ABCDEFGHIJ")
_SILENT = frozenset("{}()[],.;:?!|")


class Reading(NamedTuple):
    """An answer, read as far as it can be.

    Attributes:
        spelled: Its tokens as one string, "" when it says nothing; the text itself beyond MAX_CHARS.
        words: The same for a text: lower case, without punctuation.
        tree: None for a text.
        too_big: Why there is no tree.
        items: The tree of ``123,456`` as a list, where the number is the first reading.
    """

    spelled: str
    words: str
    tree: Node | None = None
    too_big: bool = False
    items: Node | None = None


@lru_cache(maxsize=8192)
def read(text: str) -> Reading:
    """An answer as tokens, text and tree."""
    text = normalise(text)
    if len(text) > MAX_CHARS:
        squeezed = "".join(text.split()).lower()
        return Reading(squeezed[:MAX_ANSWER_CHARS], "", too_big=True)
    try:
        tokens = tokenise(text)
    except TooBigError:
        return Reading("".join(text.split()), "", too_big=True)
    tokens = with_base(without_tail(choice(tokens)))
    shown = spelled(tokens)
    if not any(token.text not in _SILENT for token in tokens):
        return Reading("", "")
    words = " ".join(
        "," if token.kind == "sep" else token.text.lower() for token in tokens if token.text not in ("{", "}", ".")
    )
    words = words.replace(" ,", ",").replace(",,", ",").strip(" ,?!")
    try:
        tree = parse(tokens)
    except NotMathError:
        return Reading(shown, usual(words), meaning(words))
    except (TooBigError, RecursionError):
        return Reading(shown, words, too_big=True)
    return Reading(shown, words, tree, items=as_list(text, tree))


def choice(tokens: list[Token]) -> list[Token]:
    """The letter of ``(B)``, ``B.`` or ``B)`` alone."""
    letters = [token for token in tokens if token.text not in ("(", ")", ".", ":")]
    if len(tokens) <= 3 and len(letters) == 1 and letters[0].text in _CHOICES:
        return [letters[0]._replace(space=False)]
    return tokens


def as_list(text: str, tree: Node) -> Node | None:
    """``123,456`` is a number first, but may have been meant as a list."""
    if (
        tree.op == "num"
        and "," in text
        and "{,}" not in text
        and "!" not in text
        and ", " not in text
        and ",0" not in text
    ):
        try:
            return parse(tokenise(text.replace(",", ", ")))
        except (NotMathError, TooBigError):
            return None
    return None


def is_text_of_mathematics(text: str) -> bool:
    r"""Whether the text holds a digit or a command and has no tree all the same: only the same letters can match it."""
    text = clean(text)
    reading = read(text)
    if reading.tree is not None or reading.too_big or labelled(normalise(text)) is not None:
        return False
    return any(token.kind in ("num", "cmd", "begin") for token in tokenise(normalise(text)))
