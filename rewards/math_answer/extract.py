r"""Where in a response the answer stands. Nothing is parsed here.

Looked for in the order of the policy: the last ``\boxed{..}`` (boxes joined by a comma or "and" are one list), the last
``<answer>..</answer>``, GSM8K's ``####``, "the answer is", and last a response that is nothing but an answer.
Only what comes after the last ``</think>`` counts, and nothing of a thought that is not closed.

Every scan is linear, and answers longer than MAX_ANSWER_CHARS are not looked at: finding a box in a megabyte of
braces takes milliseconds.
"""

import re
from typing import NamedTuple

from rewards.tags import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN

MAX_ANSWER_CHARS = 16_000
MAX_BOXES = 2_000  # looked at from the end
_MAX_JOINT_CHARS = 60

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s{0,9}(?:\{|((?<=\s)-?[0-9]+(?:\.[0-9]+)?|[A-Za-z0-9]))")
_BOX_NAMES = ("\\boxed", "\\fbox")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# What may stand between two boxes of one list: "papers and", ",", "and $y =".
_JOINT = re.compile(
    r"(?:[^\S\n]*[A-Za-z]{2,12}){0,2}\s*(?:,|;|,?\s*(?:and|or|&)\b)\s*(?:[A-Za-z](?:_\{?\w\}?)?\s*=\s*)?", re.IGNORECASE
)
_LAYOUT = re.compile(r"\\[()\[\],;! ]|\$|\\q?quad|\\text\{([^{}]*)\}|[*_]{2}|\s+")
# What a box holds that shows a place and no answer.
_PLACEHOLDER = re.compile(
    r"(?:[\s.…?_$~\[\]<>{}]|\\[,;:! _]"
    r"|\\(?:q?quad|[lc]?dots|cdot|square|Box|blacksquare|phantom|hspace|text|mbox)(?![A-Za-z]))*"
    r"(?:(?:your|the|final|my)\s{0,3})*(?:answer|result|value)?(?:\s{0,3}here)?[\s.}$>\]]*",
    re.IGNORECASE,
)
_MAX_PLACEHOLDER_CHARS = 60
_END_OF_TEXT = re.compile(
    r"<\|(?:endoftext|end_of_text|im_end|im_start|eot_id|eom_id|end|eos|endofprompt)\|>|</s>|<eos>|<end_of_turn>"
    r"|<｜(?:end▁of▁sentence|User)｜>"
)
_PERCENT_BEHIND = re.compile(r"\s*(?:\$|\\\)|\\\])?\s*(?:\\?%|(?:percent|percentage|pct)\b)")
_PHRASE = re.compile(
    r"(?:answer|result|solution)[\s*]{0,4}(?:is|are|=|:)\s{0,4}:?|\banswer(?=\s{0,4}(?:\$|\\\(|\\\[))|#\s?answer\s?\n",
    re.IGNORECASE,
)
_STOPS = re.compile(r"\n\s*\n|<\||\n(?=\s*(?:\#|-{3}))|(?<=[^.\s])\.(?=\s+[A-Z])")
_DELIMITER = re.compile(r"\$\$|\$|\\[()\[\]]|\*\*")
_CLOSING = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]", "**": "**"}
_TRAILING = re.compile(r"(?<![\\.,;:\s])[.,;:\s]+$")
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_BOLD = re.compile(r"\*\*([^*]+)\*\*|__([^_]+)__")


class Segment(NamedTuple):
    """A formula or bold text: where it starts and ends, delimiters included, and what is inside."""

    start: int
    end: int
    inside: str


class Extraction(NamedTuple):
    """The text of an answer and the kind of place it stood in (a name of ``policy.SOURCES``)."""

    text: str
    place: str


def extract(
    response: str, places: tuple[str, ...], join_boxes: bool = True, next_question: tuple[str, ...] = ()
) -> Extraction | None:
    r"""The answer that the response gives, or None when it gives none.

    >>> extract(r"first \boxed{5}, no: \boxed{\frac{1}{2}}.", ("box",)).text
    '\\frac{1}{2}'
    >>> extract(r"<think>\boxed{5}</think> \boxed{}", ("box", "bare")) is None
    True
    """
    text = after_thinking(before_the_end(response, next_question))
    finders = {"tag": tagged, "hash": hashed, "phrase": phrased, "bare": bare}
    for place in places:
        found = boxed(text, join_boxes) if place == "box" else finders[place](text)
        if found is not None:
            found = clean(found)
            return Extraction(found, place) if found and len(found) <= MAX_ANSWER_CHARS else None
    return None


def before_the_end(response: str, next_question: tuple[str, ...] = ()) -> str:
    """What comes before an end-of-text token, and before the model goes on with the opening of a next question."""
    ends = [at for mark in next_question if (at := response.find(mark)) >= 0]
    for found in _END_OF_TEXT.finditer(response) if "<" in response else ():
        if response[: found.start()].strip():  # not the opening of the model's own turn
            ends.append(found.start())
            break
    return response[: min(ends)] if ends else response


def after_thinking(response: str) -> str:
    """What counts: the text behind the last thought; nothing of one that is still open."""
    text = response.rpartition(THINK_CLOSE)[2]
    return text.partition(THINK_OPEN)[0]


def clean(text: str) -> str:
    """Without space and closing punctuation."""
    if len(text) > MAX_ANSWER_CHARS:
        return text
    text = _TRAILING.sub("", text.strip())
    bold = _BOLD.fullmatch(text)
    return text if bold is None else bold[1] or bold[2]


def boxed(text: str, join: bool, percent_behind: bool = True) -> str | None:
    r"""The content of the last balanced box, or of the boxes joined to it; None when there is no box.

    A box that holds no answer, such as ``\boxed{...}``, is passed over; "" when there are only such boxes. A percent
    sign behind the box belongs to the answer, unless ``percent_behind`` is False.
    """
    passed_over = False
    boxes: list[tuple[int, int, str]] = []  # of one list, last first: start, end, content
    limit = len(text)  # a box that starts in front of one that never closes must close before that one
    if not any(name in text for name in _BOX_NAMES):
        return None
    last = {name: text.rfind(name) for name in _BOX_NAMES}  # each name searched on from its own place: linear
    for _ in range(MAX_BOXES):
        name, start = max(last.items(), key=lambda place: place[1])
        if start < 0:
            break
        last[name] = text.rfind(name, 0, start)
        found = _box_at(text, start, limit)
        if found is None:
            limit = start
            continue
        stop, content = found
        if boxes and stop >= boxes[-1][1]:  # a box in a box: the outer one is the answer
            boxes[-1] = (start, stop, content)
            continue
        if holds_nothing(content):
            passed_over = True
            continue
        if boxes and not (join and _joined(text[stop : boxes[-1][0]])):
            break
        boxes.append((start, stop, content))
    if not boxes:
        return "" if passed_over else None
    contents = [content for _, _, content in reversed(boxes)]
    if len(contents) > 1 and len(set(contents)) == 1:
        contents = contents[:1]  # the same box twice is one answer
    answer = contents[0]
    between = [text[left[1] : right[0]] for left, right in zip(boxes[:0:-1], boxes[-2::-1], strict=True)]
    for content, joint in zip(contents[1:], between, strict=False):
        answer += (r" \text{ or } " if re.search(r"\bor\b", joint) else ", ") + content
    if (
        percent_behind
        and len(contents) == 1
        and (found_sign := _PERCENT_BEHIND.match(text[boxes[0][1] : boxes[0][1] + 30]))
    ):
        answer += r"\%" if found_sign and answer.strip() and "%" not in answer else ""
    return answer


def holds_nothing(content: str) -> bool:
    r"""Whether the content of a box is empty or a placeholder: ``...``, ``\text{your answer}``."""
    return len(content) <= _MAX_PLACEHOLDER_CHARS and _PLACEHOLDER.fullmatch(content) is not None


def _box_at(text: str, start: int, limit: int) -> tuple[int, str] | None:
    """End and content of the box at ``start``; None when it does not close before ``limit``."""
    opening = _BOX.match(text, start)
    if opening is None:
        return None
    if opening[1]:
        return opening.end(), opening[1]
    depth = 1
    for brace in _BRACE.finditer(text, opening.end(), min(limit, opening.end() + MAX_ANSWER_CHARS)):
        depth += (brace[0] == "{") - (brace[0] == "}")
        if depth == 0:
            return brace.end(), text[opening.end() : brace.start()]
    return None


def _joined(between: str) -> bool:
    """Whether two boxes with this text between them are one list; so they are with nothing but space between them."""
    if len(between) > _MAX_JOINT_CHARS:
        return False
    plain = _LAYOUT.sub(lambda found: f" {found[1] or ''} ", between)
    return not plain.strip() or _JOINT.fullmatch(plain.strip()) is not None


def tagged(text: str) -> str | None:
    """What the last closed answer tag holds; of a sentence, what it states: its box, or what "the answer is"."""
    close = text.rfind(ANSWER_CLOSE)
    if close < 0:
        return None
    opening = text.rfind(ANSWER_OPEN, 0, close)
    if opening < 0:
        return None
    content = text[opening + len(ANSWER_OPEN) : close]
    if len(content) > MAX_ANSWER_CHARS:
        return content
    return boxed(content, join=True) or _stated(content) or content


def _stated(sentences: str) -> str | None:
    """What the last of several words says "the answer is"; None when it says more behind it."""
    if len(_WORDS.findall(sentences)) <= 2:
        return None
    last = list(_PHRASE.finditer(sentences))
    return phrased(sentences) if last and not _STOPS.search(sentences[last[-1].end() :].strip(" *:\n\t")) else None


def hashed(text: str) -> str | None:
    """The rest of the line behind the last ``####``."""
    at = text.rfind("####")
    return None if at < 0 else text[at + 4 : at + 4 + MAX_ANSWER_CHARS].lstrip("#").partition("\n")[0]


def phrased(text: str) -> str | None:
    """What the last "answer is" or "Answer:" names: the formula behind it, or the rest of the sentence."""
    tail = text[-2 * MAX_ANSWER_CHARS :]
    found = list(_PHRASE.finditer(tail))
    if not found:
        return None
    rest = tail[found[-1].end() :].lstrip(" *:\n\t")
    stop = _STOPS.search(rest)
    rest = rest[: stop.start()] if stop else rest
    if any(name in rest for name in _BOX_NAMES):
        return None
    formulas = segments(rest)
    if len(formulas) == 1 and formulas[0].start == 0 and not clean(rest[formulas[0].end :]):
        return formulas[0].inside
    return rest.rstrip("*") or None


def bare(text: str) -> str | None:
    """A response that is an answer: short and alone, or with the answer as its last formula or behind its last "is"."""
    if len(text) > MAX_ANSWER_CHARS or any(name in text for name in _BOX_NAMES):
        return None  # a box that does not close is an answer cut off
    text = text.partition("<|")[0].strip()
    words = _WORDS.findall(re.sub(r"\\text\s*\{[^{}]*\}|\\[a-z]+\{[a-z]*\}", " ", text))
    prose = [word for word in words if word.lower() not in ("and", "or", "pi", "sqrt", "sin", "cos", "tan")]
    if len(prose) <= 2 and "\n\n" not in text:
        for segment in segments(text):  # "Answer $9$": one word and one formula
            if prose and text[: segment.start].rstrip(" :").isalpha() and not clean(text[segment.end :]):
                return segment.inside
        return text
    formulas = segments(text)
    if formulas:
        first = len(formulas) - 1
        while first and _joined(text[formulas[first - 1].end : formulas[first].start]):
            first -= 1  # "either $1$ or $2$" is a list
        return ", ".join(formula.inside for formula in formulas[first:])
    sentence = clean(text)
    _, verb, tail = sentence.rpartition(" is ")
    return tail if verb and re.match(r"[-+\\$(\[]?[0-9\\]", tail) else text


def segments(text: str) -> list[Segment]:
    """The formulas and bold texts of ``text``, in one pass; an opening without its closing is none."""
    found: list[Segment] = []
    opening: re.Match[str] | None = None
    for delimiter in _DELIMITER.finditer(text):
        if opening is not None and delimiter[0] == _CLOSING[opening[0]]:
            inside = text[opening.end() : delimiter.start()]
            if inside.strip():
                found.append(Segment(opening.start(), delimiter.end(), inside))
            opening = None
        elif delimiter[0] in _CLOSING:
            opening = delimiter
    return found
