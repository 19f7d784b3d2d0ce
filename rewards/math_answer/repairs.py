r"""Undoes what clean-ups and layout have done to the text of an answer, before it is read.

Golds of published sets have lost a backslash between matrix rows, carry a line break at their end or doubled
backslashes; answers carry row spacing, ordinal endings and ``p.m.``. Nothing here looks at values.
"""

import re

MAX_CHARS = 2_000  # of an answer that is parsed; longer ones are compared as text and as digits
_NAMES = (
    r"d?frac|tfrac|sqrt|pi|text|left|right|cdot|times|infty|theta|alpha|leq?|geq?|mathbb|mathrm|mathbf|pm|cup|cap|circ"
)
_DOUBLED = re.compile(rf"(?<!\\)\\\\(?=(?:{_NAMES})(?![a-z])|begin\{{|[%$])")
_MATRIX = re.compile(r"(\\begin\{([pbBvV]?matrix|smallmatrix|array)\})(.*?)(?=\\end\{\2\})", re.DOTALL)
# A backslash where a new row must begin; not one that only makes space next to "&".
_HALF_BREAK = re.compile(r"(?<![&{\\\s])\s*\\(?=[\s0-9+\-.(]|[a-z](?![A-Za-z]))(?!\s*(?:&|$))")
_ROW_SPACE = re.compile(r"\\\\\s*\[\s*-?[0-9.]+\s*(?:pt|em|ex|mm|cm|in|\\baselineskip)\s*\]")
_PRIMES = re.compile(r"\^\s*(?:\{\s*(?:\\prime\s*)+\}|\\prime(?![A-Za-z]))")
_FIRST_BREAK = re.compile(r"^(?:\\\\\s*)+(?![A-Za-z])")

_ENDING = "(?:(?<=1)st|(?<=2)nd|(?<=3)rd|(?<=[0-9])th)(?![A-Za-z])"
_FONT = r"\\(?:text|textrm|mathrm|mathit|mbox|rm|textsuperscript)"
# The endings in fonts and superscripts, made plain first: 7^{\text{th}} -> 7th.
_RAISED = re.compile(
    rf"""(?<=[0-9])(?:
    \s*\^\s*\{{\s*{_FONT}\s*\{{\s*(?P<a>st|nd|rd|th)\s*\}}\s*\}}
    |\s*\^\s*\{{\s*(?:\\rm\s*)?(?P<b>st|nd|rd|th)\s*\}}
    |\s*\^?\s*{_FONT}\s*\{{\s*(?P<c>st|nd|rd|th)\s*\}})""",
    re.VERBOSE,
)
_ORDINAL = re.compile(_ENDING)
_HALF_DAY = re.compile(r"(?<![A-Za-z\\])([apAP])\.\s?([mM])(?:\.|(?![A-Za-z]))")
_SPACED_DECIMAL = re.compile(r"([-+]?[0-9]+)\. ([0-9]+)\.?")


def repaired(text: str) -> str:
    r"""The text as it was meant.

    >>> repaired(r"\begin{pmatrix}-6\6\end{pmatrix}")
    '\\begin{pmatrix}-6\\\\6\\end{pmatrix}'
    >>> repaired("0. 98."), repaired(r"7^{\text{th}}"), repaired(r"\text{5 p.m.}")
    ('0.98', '7', '\\text{5 pm}')
    """
    if len(text) > MAX_CHARS:
        return text
    if "\\" in text:
        text = _latex(text)
    if "." in text:
        text = _HALF_DAY.sub(lambda found: (found[1] + found[2]).lower(), text)
        spaced = _SPACED_DECIMAL.fullmatch(text)
        text = text if spaced is None else f"{spaced[1]}.{spaced[2]}"
    if "th" in text or "st" in text or "nd" in text or "rd" in text:
        text = _ORDINAL.sub("", _RAISED.sub(lambda found: found["a"] or found["b"] or found["c"], text))
    return text


def _latex(text: str) -> str:
    if "\\\\" in text:
        text = _FIRST_BREAK.sub("", text)
        if "\\begin" not in text or "\\\\begin" in text:
            text = text.replace("\\\\", "\\") if "\\\\begin" in text else _DOUBLED.sub(r"\\", text)
        else:
            text = _DOUBLED.sub(r"\\\\\\", text)  # a row break and a command that lost its own backslash
        text = _ROW_SPACE.sub(r"\\\\", text)
    if "\\begin" in text:
        text = _MATRIX.sub(_rows, text)
    if "\\prime" in text:
        text = _PRIMES.sub(lambda found: "'" * found[0].count("prime"), text)
    return text.rstrip("\\ \t\n\r")


def _rows(found: re.Match[str]) -> str:
    """A matrix with whole row breaks where it has halves only."""
    body = found[3]
    if "\\\\" not in body and "\\cr" not in body:
        body = _HALF_BREAK.sub(r"\\\\", body)
    return found[1] + body
