"""Finds the program in a completion."""

import re

from rewards.tags import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, extract_answer

# A fence opens at the start of a line, with nothing after it but the name of a language. Possessive, for linear time.
_FENCE = re.compile(r"^[ \t]*+```[ \t]*+[\w+-]*+[ \t]*+$", re.MULTILINE)


def extract_code(text: str) -> str | None:
    """The program in ``text`` (prefilled tail of the prompt and completion), or None.

    With answer tags, what `extract_answer` finds, and of that the last fenced block if there is one. Without any answer
    tag, the last fenced block after the last </think>. A block that is never closed was cut off and does not count.

    >>> extract_code("<think>?</think> <answer>print(1)</answer>")
    'print(1)'
    >>> extract_code("So:\\n```python\\nprint(2)\\n```\\nDone.")
    'print(2)\\n'
    >>> extract_code("```python\\nprint(2)") is None
    True
    """
    if ANSWER_OPEN in text or ANSWER_CLOSE in text:
        answer = extract_answer(text)
        if answer is None:
            return None
        return last_block(answer) if "```" in answer else answer
    return last_block(text.rpartition(THINK_CLOSE)[2])


def last_block(text: str) -> str | None:
    """The content of the last fenced block; None when there is none or it is not closed."""
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2 or len(fences) % 2:
        return None
    opening, closing = fences[-2:]
    block = text[opening.end() : closing.start()].removeprefix("\n")
    return block if block.strip() else None
