r"""The judge of multiple choice: whether a response names one option, and the right one.

An option is named by its letter (``B``, ``(B)``, ``\text{B}``, ``Option B``), by its text, or by both together. What
names two is refused, whichever way: two letters, a list, a letter with another option's text. Where the answer stands
is found as in ``rewards.math_answer``. Texts are compared up to case, spaces, dollar signs and punctuation at the end,
and never by meaning: "Paris, in France" is not "Paris".
"""

import re
import unicodedata
from collections.abc import Sequence

from rewards.math_answer.choices import letters
from rewards.math_answer.extract import before_the_end, clean, extract
from rewards.tags import ANSWER_OPEN, extract_answer
from rewards.verdict import Outcome, Verdict

LETTERS = "ABCDEFGHIJ"  # MMLU-Pro's ten are the most that a published set has
_LAYOUT = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}|\$|\\[()\[\]]|\*\*")
_LABELLED = re.compile(
    r"(?:(?:option|choice|answer)[\s:]\s*)?\(?\s*([A-J])(?![A-Za-z0-9])\s*[).:,\u2013\u2014-]*\s*(.+)",
    re.IGNORECASE | re.DOTALL,
)


def judge_choice(
    text: str, options: Sequence[str], gold: int, answer_in: tuple[str, ...], next_question: tuple[str, ...] = ()
) -> Verdict:
    r"""Whether the answer in ``text`` is the option ``options[gold]``.

    Args:
        text: Prefilled tail of the prompt, and the completion.
        options: Their texts, in the order of their letters.
        gold: Index of the right one.
        answer_in: Where the answer is looked for: any of box, tag, hash, phrase, bare, in this order.
        next_question: How a next question would begin; nothing behind it is looked at.

    Returns:
        CORRECT, WRONG for another option, BAD_FORMAT for what names none or several, NO_ANSWER; UNGRADEABLE for a
        ``gold`` that is no option.

    >>> judge_choice(r"So it is \boxed{B}.", ["Rome", "Paris"], 1, ("box",)).outcome.name
    'CORRECT'
    >>> judge_choice(r"\boxed{A} or \boxed{B}", ["Rome", "Paris"], 1, ("box",)).outcome.name
    'BAD_FORMAT'
    """
    if not 0 <= gold < len(options) or len(options) > len(LETTERS):
        return Verdict(None, Outcome.UNGRADEABLE, f"gold {gold} of {len(options)} options")
    found = extract(text, answer_in, next_question=next_question)
    if found is None:
        return Verdict(0.0, Outcome.NO_ANSWER, "no answer")
    if found.place == "tag" and extract_answer(before_the_end(text, next_question)) is None:
        return Verdict(0.0, Outcome.BAD_FORMAT, f"more than one {ANSWER_OPEN}")
    chosen = chosen_option(found.text, options)
    if chosen is None:
        return Verdict(0.0, Outcome.BAD_FORMAT, f"names no single option: {found.text[:60]!r}")
    if chosen != gold:
        return Verdict(0.0, Outcome.WRONG, f"{LETTERS[chosen]}, not {LETTERS[gold]}")
    return Verdict(1.0, Outcome.CORRECT, LETTERS[gold])


def chosen_option(answer: str, options: Sequence[str]) -> int | None:
    r"""Index of the one option that ``answer`` names; None for none and for several.

    >>> chosen_option(r"\text{(B) } Paris.", ["Rome", "Paris"]), chosen_option("paris", ["Rome", "Paris"])
    (1, 1)
    >>> chosen_option("A and B", ["Rome", "Paris"]), chosen_option("A. Paris", ["Rome", "Paris"])
    (None, None)
    """
    answer = _LAYOUT.sub(lambda found: found[1] or "", clean(answer)).strip()
    known = LETTERS[: len(options)]
    alone = letters(answer.upper() if len(answer.strip("(). ")) == 1 else answer)
    if len(alone) == 1:
        return known.find(alone) if alone in known else None
    by_text = with_text(answer, options)
    if by_text is not None:
        return by_text
    label = _LABELLED.fullmatch(answer)
    if label is None:
        return None
    index = known.find(label[1].upper())
    return index if index >= 0 and with_text(label[2], options) == index else None


def with_text(text: str, options: Sequence[str]) -> int | None:
    """Index of the one option with this text: as written, or else up to case; None for none and for several."""
    for same in (plain, lambda given: plain(given).casefold()):
        found = [index for index, option in enumerate(options) if same(option) == same(text)]
        if len(found) == 1:
            return found[0]
    return None


def plain(text: str) -> str:
    """``text`` without what does not tell options apart: layout, spaces, quotes around it, a full stop at the end."""
    text = _LAYOUT.sub(lambda found: found[1] or "", unicodedata.normalize("NFC", text))
    return " ".join(text.split()).strip("\"'").rstrip(".;, ")
