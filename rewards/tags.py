r"""The only place that knows the tags <think> </think> <answer> </answer>.

In every function `text` is the tail of the prompt that the template prefilled (such as "<think>\n") followed by the
completion: not the whole prompt, whose instructions may name the tags, and not the completion alone, which lacks
a prefilled tag. Tags are exact strings: "<Answer>", "< answer>" and "<answer id=1>" are ordinary text.

It does not look at what is thought or answered: one dot between the think tags is a thought.
Only `str.count`, `find` and `split` are used, so the time is linear in the text whatever the text is.
"""

from rewards.verdict import Outcome, Verdict

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
ANSWER_OPEN = "<answer>"
ANSWER_CLOSE = "</answer>"
# In the order in which a well-formed text has them.
TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)

# What TinyZero pays for an answer tag around a wrong answer: `format_score` in verl/utils/reward_score/countdown.py.
TINYZERO_PARTIAL_CREDIT = 0.1


def extract_answer(text: str) -> str | None:
    """The stripped content of the only answer, or None when there is none or it is not plain which one is meant.

    Two rules, so that a policy cannot hedge:

    - <answer> and </answer> each occur once in the whole text, in this order, with more than whitespace between.
    - If there are think tags, the last of them is a </think> and the answer comes after it. So an answer inside an
      open think section does not count, nor does one after which thinking is taken up again.

    Think tags may be absent, and text before or after the answer is no obstacle: that is `judge_format`'s business.

    >>> extract_answer("<think>one and two</think> <answer> 1 + 2 </answer>")
    '1 + 2'
    >>> extract_answer("<answer>1</answer> or <answer>2</answer>") is None
    True
    >>> extract_answer("<think>perhaps <answer>1 + 2</answer>") is None
    True
    """
    if text.count(ANSWER_OPEN) != 1 or text.count(ANSWER_CLOSE) != 1:
        return None
    answer_open, answer_close = text.find(ANSWER_OPEN), text.find(ANSWER_CLOSE)
    think_open, think_close = text.rfind(THINK_OPEN), text.rfind(THINK_CLOSE)
    if answer_open > answer_close or think_open > think_close or think_close > answer_open:
        return None
    return text[answer_open + len(ANSWER_OPEN) : answer_close].strip() or None


def judge_format(text: str, partial_credit: float = TINYZERO_PARTIAL_CREDIT) -> Verdict:
    """1.0 / CORRECT when the whole text is `<think>...</think> <answer>...</answer>`, otherwise what is wrong.

    Well-formed means: each of the four tags once and in this order, more than whitespace inside both pairs, nothing
    but whitespace outside them. Failing that, BAD_FORMAT with `partial_credit` if `extract_answer` finds the answer
    all the same; NO_ANSWER with 0.0 if <answer> or </answer> is missing; else BAD_FORMAT with 0.0.

    Raises:
        ValueError: `partial_credit` lies outside [0, 1].

    >>> judge_format("<think>one and two</think> <answer>1 + 2</answer>").score
    1.0
    >>> judge_format("<think>one and two</think> <answer>1 + 2</answer> I hope").detail
    'text after </answer>'
    """
    if not 0.0 <= partial_credit <= 1.0:
        raise ValueError(f"partial_credit = {partial_credit}: a score lies in [0, 1]; TinyZero pays 0.1")
    fault = _format_fault(text)
    if fault is None:
        return Verdict(1.0, Outcome.CORRECT)
    if extract_answer(text) is not None:
        return Verdict(partial_credit, Outcome.BAD_FORMAT, fault)
    if ANSWER_OPEN not in text or ANSWER_CLOSE not in text:
        return Verdict(0.0, Outcome.NO_ANSWER, fault)
    return Verdict(0.0, Outcome.BAD_FORMAT, fault)


def _format_fault(text: str) -> str | None:
    """The first thing that keeps the text from being well-formed, or None."""
    counts = {tag: text.count(tag) for tag in TAGS}
    miscounts = [f"{count} {tag}" for tag, count in counts.items() if count != 1]
    if miscounts:
        return ", ".join(miscounts)
    if sorted(TAGS, key=text.find) != list(TAGS):
        return "tags out of order"
    before, rest = text.split(THINK_OPEN)
    thinking, rest = rest.split(THINK_CLOSE)
    between, rest = rest.split(ANSWER_OPEN)
    answer, after = rest.split(ANSWER_CLOSE)
    faults = {
        f"text before {THINK_OPEN}": before.strip(),
        "empty think": not thinking.strip(),
        f"text between {THINK_CLOSE} and {ANSWER_OPEN}": between.strip(),
        "empty answer": not answer.strip(),
        f"text after {ANSWER_CLOSE}": after.strip(),
    }
    return next((fault for fault, present in faults.items() if present), None)
