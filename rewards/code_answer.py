"""Finds the program in a completion: reads text only, and never compiles it."""

import re
import textwrap
from typing import NamedTuple

from rewards.tags import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, extract_answer

# A fence opens or closes a block on a line of its own: indentation, marks, and what is written behind the marks. In a
# quotation there may be ">" before it. Possessive, for linear time.
_FENCE = re.compile(r"^([ \t>]*+)(`{3,}+|~{3,}+)[ \t]*+([^`\n]*+)$", re.MULTILINE)
_BEHIND_WORDS = re.compile(r"(?<=[^\s`~>])[ \t]*+(```(?:python|py)3?[ \t]*+)$", re.MULTILINE)
_PYTHON = re.compile(r"\{?\.?(?:python|pypy|py)[0-9.]*(?![\w-])", re.IGNORECASE)
_MARKDOWN = re.compile(r"(?:markdown|md)\b", re.IGNORECASE)
# Blocks with these words behind the fence are something to type or to read, not the program.
_NOT_PROGRAM = re.compile(
    r"(?:bash|sh|shell|zsh|console|terminal|cmd|powershell|output|stdout|input|stdin|log|json|ya?ml"
    r"|xml|html|toml|ini|csv|diff|pycon|python-\w+|traceback|error|none|result)\b",
    re.IGNORECASE,
)
_DEFINED = re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_PROGRAM = re.compile(
    r"^(?:async[ \t]|def[ \t]|class[ \t]|import[ \t]|from[ \t]|@)|\binput\(|\bsys\.stdin\b|\bopen\(0", re.MULTILINE
)
_STATEMENT = re.compile(r"^(?:for|while|if|with|try|print)\b", re.MULTILINE)
_CLOSING_INDENT = 3  # a closing fence may be so much further in than its opening one


class Block(NamedTuple):
    """A fenced block: what is written behind its opening fence, and its content."""

    label: str
    text: str


def extract_code(text: str, entry: str = "") -> str | None:
    """The program in ``text`` (prefilled tail of the prompt and completion), or None.

    With answer tags, what `extract_answer` finds, and of that the program's block if there are fences. Without any
    answer tag, the program's block after the last </think>; see `program_block`.

    Args:
        text: Where to look.
        entry: Name of the function that the program must define, if any.

    >>> extract_code("<think>?</think> <answer>print(1)</answer>")
    'print(1)'
    >>> extract_code("So:\\n```python\\nprint(2)\\n```\\nIt prints:\\n```\\n2\\n```")
    'print(2)\\n'
    >>> extract_code("```python\\nprint(2)") is None
    True
    """
    text = _BEHIND_WORDS.sub(r"\n\1", text.replace("\r\n", "\n"))
    if ANSWER_OPEN in text or ANSWER_CLOSE in text:
        answer = extract_answer(text)
        if answer is None:
            return None
        if _FENCE.search(answer) is None:
            return bare(text.partition(ANSWER_OPEN)[2].partition(ANSWER_CLOSE)[0])
        return program_block(answer, entry)
    return program_block(text.rpartition(THINK_CLOSE)[2], entry)


def bare(answer: str) -> str:
    """A program without a fence: its lines, less the indentation that all have."""
    code = textwrap.dedent(answer.strip("\n")).rstrip()
    return code.strip() if code[:1].isspace() else code


def program_block(text: str, entry: str = "") -> str | None:
    """The content of the block that is the program; None when there is none, or the last is not closed.

    Of the blocks that may be Python, the last that defines ``entry``; else the last that is a program of its own. One
    that only calls what an earlier one defines is an example, or the rest of a script; output and shell commands are
    neither.
    """
    found = blocks(text)
    if found is None:
        return None
    labelled = [block for block in found if _PYTHON.match(block.label)]
    likely = [
        block
        for block in found
        if _PYTHON.match(block.label) or (not block.label and (_PROGRAM.search(block.text) or not labelled))
    ] or [block for block in found if not _NOT_PROGRAM.match(block.label)]
    name = entry.rpartition(".")[2]
    owner = entry.rpartition(".")[0].removesuffix("()") or "Solution"
    defining = [block for block in likely if entry and {name, owner} & set(_DEFINED.findall(block.text))]
    if defining:
        return defining[-1].text
    programs = [block for block in likely if _PROGRAM.search(block.text) or _STATEMENT.search(block.text)]
    if not (programs or likely):
        return None
    return whole_program(likely if any(_PYTHON.match(block.label) for block in likely) else programs or likely, entry)


def whole_program(candidates: list[Block], entry: str) -> str:
    """The last block; where it only uses what an earlier one defines, that one, or both for a script."""
    last = candidates[-1]
    if _DEFINED.search(last.text):
        return last.text
    words = set(re.findall(r"\w+", last.text))
    for earlier in reversed(candidates[:-1]):
        if words & set(_DEFINED.findall(earlier.text)):
            alone = entry or runs(earlier.text)
            return earlier.text if alone else earlier.text.rstrip("\n") + "\n\n" + last.text
    return last.text


def runs(text: str) -> bool:
    """Whether a script does more than to define functions."""
    calls = {"print", "input", *_DEFINED.findall(text)}
    top = [line for line in text.split("\n") if line[:1].strip() and not _DEFINED.match(line)]
    return any(_STATEMENT.match(line) or calls & set(re.findall(r"(\w++)\(", line)) for line in top)


def blocks(text: str) -> list[Block] | None:
    """The fenced blocks that are not empty; None when the last is open: it was cut off, and with it the answer."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        indent, marks, label = fence.groups()
        if opening is None:
            opening = fence
        elif marks[0] != opening[2][0] or len(marks) < len(opening[2]):
            continue
        elif label.strip():
            if len(marks) == len(opening[2]):  # the earlier block was never closed
                opening = fence
        elif len(indent) <= len(opening[1]) + _CLOSING_INDENT:
            content = text[opening.end() : fence.start()].removeprefix("\n")
            if _MARKDOWN.match(opening[3]):
                found += blocks(content) or []
            elif content.strip():
                found.append(Block(opening[3].strip(), unindented(content, opening[1])))
            opening = None
    return found if opening is None else None


def unindented(content: str, indent: str) -> str:
    """The lines without the indentation or quotation marks of their fence, and without what all have in common."""
    if ">" in indent:
        content = re.sub(r"^[ \t]*+>[ \t]?", "", content, flags=re.MULTILINE)
    return textwrap.dedent(content)
