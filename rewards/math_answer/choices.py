r"""Letters of multiple choice with and without their content: ``\text{(B) }12``, ``B. 12``, ``A, C`` and ``AC``.

Only texts are looked at. A label whose content names another letter is a hedge, and is not read as its letter.
"""

import re
from typing import NamedTuple

_FONT = r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox|bf)\s*\{"
_LABEL = re.compile(
    rf"""[\s$]*(?P<font>{_FONT}\s*)?(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)[\s:]\s*)?
    (?:\(\s*(?P<in>[A-Ja-j])\s*\)|(?P<alone>[A-Ja-j])(?P<closed>\}})?\s*(?:\.(?=[^0-9])|\)|:\s))
    [.:]?(?P<content>.*)""",
    re.VERBOSE | re.DOTALL,
)
_OTHER = re.compile(r"(?<![A-Za-z\\])[A-J](?![A-Za-z])|(?<![A-Za-z])(?:or|not)(?![A-Za-z])")
_LETTERS = re.compile(r"[A-J](?:(?:,|;|and|&)*[A-J])*")
_SILENT = re.compile(rf"{_FONT}|[Oo]ption|[Cc]hoice|[\s$(){{}}.]|\\[ ,;]")


class Labelled(NamedTuple):
    """A choice: its letter, and the text of its content."""

    letter: str
    content: str


def labelled(text: str) -> Labelled | None:
    r"""The letter and the content of a choice that gives both; None for anything else.

    >>> labelled(r"\text{(B) }12"), labelled("C"), labelled("f(x)")
    (Labelled(letter='B', content='12'), None, None)
    """
    found = _LABEL.fullmatch(text)
    if found is None or (found["closed"] and not found["font"]):
        return None
    content = found["content"].strip()
    if found["font"] and not found["closed"]:
        content = content[1:] if content.startswith("}") else r"\text{" + content
    content = content.removesuffix("$").strip()
    return Labelled(found["in"] or found["alone"], content) if content.strip("{}.$ \\") else None


def letters(text: str) -> str:
    """The letters A to J of which the text consists, in order and each once; "" when it is anything else."""
    if len(text) > 120:
        return ""
    plain = _SILENT.sub("", text)
    if _LETTERS.fullmatch(plain) is None:
        return ""
    found = re.findall("[A-J]", plain)
    return "".join(sorted(found)) if len(set(found)) == len(found) else ""


def says(label: Labelled, letter: str) -> bool:
    """Whether the choice is ``letter`` and its content does not name another one."""
    return label.letter == letter and _OTHER.search(label.content) is None
