r"""From the text of an answer to tokens: LaTeX and plain notation in one stream, without what LaTeX does not show.

Spacing, fonts, sizes and ``$`` are dropped; synonyms (``\dfrac``, ``\leq``, ``**``) become one. Inside ``\text{..}``
and the fonts that stand for it, words stay whole (kind ``text``) and numbers and signs are tokens as usual.
Nothing is evaluated, no regular expression has nested quantifiers, and the number of tokens is capped.
"""

import re
from typing import NamedTuple

from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.units import LETTER_UNITS

MAX_TOKENS = 600


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: num, word (letters outside ``\\text``), text (a word inside it), cmd, op, sep (and, or), begin, end, junk.
        text: Its canonical spelling.
        space: Whether space stood in front of it.
        start: Offset in the text, for the names of left sides.
    """

    kind: str
    text: str
    space: bool
    start: int


_TOKEN = re.compile(
    r"""(?P<space>(?:[\s~$]|\\[ ,;:!>()\[\]]|\\(?:q?quad|thinspace|enspace|displaystyle|textstyle|limits|nolimits
            |hfill|left\.|right\.|tiny|small|normalsize|large|Large|LARGE|huge|Huge|bfseries|(?:left|right|[bB]igg?[lr]?|middle)(?![A-Za-z])|mathstrut|bf|rm|it)(?![A-Za-z]))+)
    |(?P<num>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+(?![A-Za-z]))?)
    |(?P<word>[A-Za-z]+)
    |(?P<env>\\(?:begin|end)\s*\{[a-zA-Z]+\*?\})
    |(?P<drop>\\(?:[hv]?phantom|[hv]space\*?)\s*\{[^{}]*\}|\\[hv]?phantom\s*[-+0-9A-Za-z](?![A-Za-z])
            |\\(?:text|page)?color(?:box)?\s*(?:\[[^\[\]]*\])?\s*\{[^{}]*\}|\\hline(?![A-Za-z]))
    |(?P<cmd>\\[A-Za-z]+|\\[{}|%$\#&_\\])
    |(?P<op><=|>=|!=|==|\*\*|:=|[-+*/^_=<>(){}\[\],;:|!'%&])
    |(?P<junk>.)""",
    re.VERBOSE | re.DOTALL,
)
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+)(?![0-9/])(?!,[0-9])(?:\.[0-9]+)?(?!\s*\\frac)")
_SHOWN_GROUP = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!\s*|\\,)(?=[0-9]{3}(?![0-9]))")
_OPEN_BRACE = re.compile(r"\s*\{")
_ARRAY_COLUMNS = re.compile(r"\s*\{[lcr|@{}\s]*\}")

TEXT_COMMANDS = frozenset(
    r"\text \textbf \textit \textrm \textnormal \textup \textsf \texttt \textsc \mbox \hbox \emph".split()
)
FONT_COMMANDS = frozenset(
    r"\mathrm \mathbf \mathit \mathsf \mathtt \mathcal \mathfrak \mathscr \boldsymbol \bm \operatorname "
    r"\mathop \boxed \fbox \ensuremath \mathord \underline \pmb".split()
)
_SYNONYMS = {
    **dict.fromkeys((r"\dfrac", r"\tfrac", r"\cfrac", r"\nicefrac", r"\sfrac"), r"\frac"),
    **dict.fromkeys((r"\dbinom", r"\tbinom"), r"\binom"),
    **dict.fromkeys((r"\leq", r"\leqslant", "<="), r"\le"),
    **dict.fromkeys((r"\geq", r"\geqslant", ">="), r"\ge"),
    **dict.fromkeys((r"\neq", "!="), r"\ne"),
    **dict.fromkeys((r"\lvert", r"\rvert", r"\vert", r"\mid", r"\|", r"\lVert", r"\rVert", r"\Vert"), "|"),
    **dict.fromkeys((r"\simeq", r"\doteq", r"\thickapprox", r"\approxeq"), r"\approx"),
    **dict.fromkeys((r"\cr", r"\tabularnewline"), r"\\"),
    **dict.fromkeys((r"\times", r"\cdot", r"\ast"), "*"),
    **dict.fromkeys((r"\varnothing", r"\empty"), r"\emptyset"),
    **dict.fromkeys((r"\cdots", r"\dots", r"\dotsc", r"\dotsb", r"\dotsm"), r"\ldots"),
    **dict.fromkeys((r"\backslash", r"\smallsetminus"), r"\setminus"),
    r"\lt": "<",
    r"\gt": ">",
    r"\div": "/",
    r"\colon": ":",
    r"\lbrace": r"\{",
    r"\rbrace": r"\}",
    r"\lbrack": "[",
    r"\rbrack": "]",
    r"\%": "%",
    "**": "^",
    r"\top": "T",
    r"\intercal": "T",
    "==": "=",
    r"\bar": r"\overline",
    r"\degree": r"\circ",
    r"\varepsilon": r"\epsilon",
    r"\varphi": r"\phi",
    r"\arccot": r"\acot",
}
_SEPARATORS = {"and": "and", "or": "or", r"\lor": "or", r"\vee": "or", r"\land": "and", r"\wedge": "and"}


def tokenise(text: str) -> list[Token]:
    """The tokens of a normalised text.

    Raises:
        TooBigError: More than MAX_TOKENS.
    """
    text = _SHOWN_GROUP.sub("", text)
    tokens: list[Token] = []
    modes: list[str] = []  # of the open braces: "" kept, "text" and "font" dropped with their closing brace
    depth = 0  # of brackets that separate their items by commas
    pos, space = 0, False
    while pos < len(text):
        found = _TOKEN.match(text, pos)
        assert found is not None  # junk matches anything
        kind, part, start = str(found.lastgroup), found[0], pos
        pos = found.end()
        if kind in ("space", "drop"):
            space = True
            continue
        if kind == "num" and depth == 0 and (grouped := _GROUPED.match(text, start)):
            part, pos = re.sub("[ ,]", "", grouped[0]), grouped.end()
        elif kind == "word":
            kind, part = _word(part, modes[-1] if modes else "", tokens)
        elif kind == "env":
            kind, name = part[1:].split("{")
            kind, part = kind.strip(), name.rstrip("}").rstrip("*")
            if kind == "begin" and part == "array" and (columns := _ARRAY_COLUMNS.match(text, pos)):
                pos = columns.end()
        elif part in TEXT_COMMANDS or part in FONT_COMMANDS:
            after = _OPEN_BRACE.match(text, pos)
            space = space or part in TEXT_COMMANDS
            if after is not None:
                modes.append("text" if part in TEXT_COMMANDS else "font")
                pos = after.end()
            continue
        elif kind in ("op", "cmd"):
            if part == "{":
                modes.append("")
            elif part == "}" and modes and modes.pop():
                continue
            part = _SYNONYMS.get(part, part)
            kind = "sep" if part in _SEPARATORS else "op" if part in ("(", "[", r"\{", "/", "|") else kind
            part = _SEPARATORS.get(part, part)
            depth += (part in ("(", "[", r"\{")) - (part in (")", "]", r"\}"))
        tokens.append(Token(kind, part, space, start))
        space = False
        if len(tokens) > MAX_TOKENS:
            raise TooBigError
    return tokens


def _word(word: str, mode: str, before: list[Token]) -> tuple[str, str]:
    r"""Kind and text of a run of letters; a letter in ``\text`` behind a number or another unit is a unit."""
    if word.lower() in ("and", "or"):
        return "sep", word.lower()
    if mode and len(word) > 1:
        return "text", word
    if mode and before and word in LETTER_UNITS:
        divided = len(before) > 1 and before[-1].text in ("/", "*") and before[-2].kind == "text"
        if divided or before[-1].kind == "num" or before[-1].text in ("}", ")", r"\pi"):
            return "text", word
    return "word", word


def spelled(tokens: list[Token]) -> str:
    """The tokens as one string; equal strings look the same in print. Space counts between two words or numbers."""
    parts = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        solid = before is not None and before.kind in ("num", "word", "text") and token.kind in ("num", "word", "text")
        parts.append(" " + token.text if solid and token.space else token.text)
    return "".join(parts)
