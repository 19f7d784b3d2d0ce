"""The nodes of a syntax tree, and the vocabulary that the parser knows: functions, constants, operators, words."""

from fractions import Fraction
from typing import NamedTuple


class NotMathError(Exception):
    """The tokens are not an answer in mathematical notation."""


class Node(NamedTuple):
    """A node of the tree.

    Attributes:
        op: num sym const add mul neg inv pow root fn abs fact binom deg pct pm mp call big (values);
            list set bracket matrix cases ratio clock base rel alts cup cap setminus builder reals empty unit name
            (structure). ``clock`` is a time of day, ``alts`` one value in several notations.
        args: Children.
        value: Number, name, unit, brackets or relation signs; by ``op``.
    """

    op: str
    args: tuple["Node", ...] = ()
    value: Fraction | str | tuple[str, ...] | tuple[int, int] | None = None


FUNCTIONS = {
    **{name: name for name in "sin cos tan cot sec csc sinh cosh tanh exp ln log".split()},
    **{name: name for name in "arcsin arccos arctan arcsinh arccosh arctanh".split()},
    **{name: name for name in ("floor", "ceil")},
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "arcctg": "acot",
    "tg": "tan",
    "ctg": "cot",
    "cosec": "csc",
    "lg": "lg",
    "cis": "cis",
}
INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
# Operators for work that the answer did not do. They are kept in the tree and never evaluated.
BIG = frozenset("sum prod int iint oint lim max min gcd lcm sup inf limsup liminf mod bmod det dim deg".split())
BIG_WORDS = frozenset("max min gcd lcm mod sum len abs det".split())
CONSTANTS = {"pi": "pi", r"\pi": "pi", "e": "e", "i": "i", r"\infty": "inf", r"\imath": "i", "infty": "inf"}
CONSTANTS |= {"infinity": "inf", "Infinity": "inf", "oo": "inf", "inf": "inf"}
GREEK = frozenset(
    rf"\{name}"
    for name in """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi
    chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell hbar varsigma vartheta varrho""".split()
)
GREEK_WORDS = frozenset(name[1:] for name in GREEK) | {"pi"}
RELATIONS = frozenset(("=", "<", ">", r"\le", r"\ge", r"\ne", r"\in", r"\approx", r"\equiv"))
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}  # the relation with its sides exchanged
DECORATIONS = frozenset((r"\overline", r"\vec", r"\hat", r"\tilde", r"\widehat", r"\overrightarrow", r"\dot", r"\ddot"))
CALLABLE = frozenset("fgFG")
CURRENCY = {r"\$": "$", r"\euro": "euro", r"\pounds": "pound", r"\yen": "yen", r"\cents": "cent"}
MATRICES = frozenset(("pmatrix", "bmatrix", "matrix", "array", "Bmatrix", "smallmatrix"))
TRANSPARENT = frozenset(("aligned", "align", "split", "gathered", "gather", "equation"))
_SHORT_WORDS = frozenset("no on of to is it if in at by an as be do go he me my so up us we ok am".split())
_VOWELS = frozenset("aeiouyAEIOUY")
_USUAL_PRODUCTS = tuple(map(frozenset, ("abcd", "uvwxyz", "ABCDE", "abcxyz")))


def is_prose(word: str) -> bool:
    """Whether a run of letters outside ``\\text`` is a word of a language, not a product of symbols."""
    if word in FUNCTIONS or word in CONSTANTS or word in GREEK_WORDS or len(word) == 1:
        return False
    if len(word) == 2:
        return word.lower() in _SHORT_WORDS
    letters = set(word)
    if len(letters) == len(word) and any(letters <= usual for usual in _USUAL_PRODUCTS):
        return False
    return bool(_VOWELS & letters)
