"""The judge: extraction, then the cheapest step that can decide.

Text, exact numbers, structure, values at points: these run in the caller, without signals, threads or unbounded loops.
What they cannot decide goes to sympy in a worker process with a deadline. Results are cached by gold, answer and
policy, timeouts included: an expensive answer that several completions of a group give costs its time once.
"""

import dataclasses
from functools import lru_cache

from rewards.math_answer.choices import labelled, letters, says
from rewards.math_answer.compare import Comparison
from rewards.math_answer.evaluate import NoValueError
from rewards.math_answer.extract import boxed, clean, extract
from rewards.math_answer.normal import normalise
from rewards.math_answer.numbers import TooBigError, exact_number
from rewards.math_answer.policy import DEFAULT, MathVerdict, Policy, Reason, accepted, verdict
from rewards.math_answer.reading import Reading, read

_UNDEFINED = frozenset(("nan", "null", ""))


def grade(gold: str, response: str, policy: Policy = DEFAULT) -> MathVerdict:
    r"""Whether the answer in ``response`` is the gold.

    Args:
        gold: The right answer: LaTeX or plain, with or without ``$`` and ``\boxed``.
        response: The whole completion.
        policy: What counts as the same.

    Returns:
        CORRECT, WRONG, NO_ANSWER, TIMEOUT; UNGRADEABLE when the gold says nothing, or when the symbolic step was needed
        and could not be run. ``reason`` and ``detail`` say which step decided.

    >>> grade(r"\frac{1}{2}", r"So it is $\boxed{0.5}$.").detail
    'exact'
    >>> grade("5", r"\boxed{3=5}").outcome.name
    'WRONG'
    """
    found = extract(response, policy.answer_in, policy.join_boxes, policy.next_question)
    answer = "" if found is None else found.text
    return judge_answer(gold, answer, policy)


def check_gold(gold: str, policy: Policy = DEFAULT) -> str | None:
    r"""None when answers can be judged against this gold, otherwise why not. For use when data is loaded.

    A gold is usable when it says something and its own boxed text is judged correct. Beyond the caps, only equal text
    is.

    >>> check_gold(r"\frac{3}{4}"), check_gold("")
    (None, 'bad_gold: it says nothing')
    """
    if not isinstance(gold, str):
        return f"bad_gold: a {type(gold).__name__}, not a text"
    found = grade(gold, rf"\boxed{{{gold_text(gold)}}}", dataclasses.replace(policy, answer_in=("box",)))
    return None if accepted(found.reason) else found.detail


@lru_cache(maxsize=8192)
def gold_text(gold: str) -> str:
    r"""The gold without a ``\boxed`` around its answer."""
    inner = boxed(gold, join=True) if "\\boxed" in gold or "\\fbox" in gold else None
    return clean(gold if inner is None else inner)


class _NoWorkerError(Exception):
    """The symbolic step could not be run; an exception because it must not be cached."""


def judge_answer(gold: str, answer: str, policy: Policy = DEFAULT) -> MathVerdict:
    """The verdict on an answer that is already extracted; "" for none."""
    try:
        return _judged(gold, answer, policy)
    except _NoWorkerError:
        return verdict(Reason.NO_WORKER, "no worker for the symbolic step")


@lru_cache(maxsize=8192)
def _judged(gold: str, answer: str, policy: Policy) -> MathVerdict:
    wanted = gold_text(gold)
    right, given = normalise(wanted), normalise(answer)
    try:
        if given and (value := exact_number(given)) is not None and (truth := exact_number(right)) is not None:
            if truth == value:
                return verdict(Reason.EXACT)
            if not (policy.relative_tolerance or policy.percent_sign_optional):
                return verdict(Reason.DIFFERS)
    except TooBigError:
        pass  # compared digit by digit below
    truth_read, read_answer = read(wanted), read(answer)
    if not truth_read.spelled or (truth_read.words in _UNDEFINED and not truth_read.too_big):
        return verdict(Reason.BAD_GOLD, "it says nothing")
    if not read_answer.spelled:
        return verdict(Reason.NO_ANSWER)
    try:
        reason = compare(truth_read, read_answer, policy)
    except (TooBigError, RecursionError, MemoryError, OverflowError):
        return verdict(Reason.TOO_BIG)
    except NoValueError:
        return verdict(Reason.DIFFERS, "undefined")
    if reason is Reason.NO_WORKER:
        raise _NoWorkerError
    if not accepted(reason) and reason is not Reason.TIMEOUT and as_choice(right, given, policy):
        return verdict(Reason.STRING, "a choice")
    return verdict(reason)


def as_choice(gold: str, answer: str, policy: Policy) -> bool:
    """Whether the two are one choice, where letter and content may each stand alone; or the same several letters."""
    one, other = labelled(gold), labelled(answer)
    if one is None and other is None:
        several = letters(gold)
        return several != "" and several == letters(answer)
    if one is None or other is None:
        label, plain, plain_is_gold = (other, gold, True) if one is None else (one, answer, False)
        assert label is not None
        letter = letters(plain)
        if len(letter) == 1:
            return says(label, letter)
        pair = (gold, label.content) if plain_is_gold else (label.content, answer)
        return labelled(label.content) is None and accepted(_judged(*pair, policy).reason)
    same = one.letter == other.letter and labelled(other.content) is None
    return same and accepted(_judged(one.content, other.content, policy).reason)


def compare(gold: Reading, answer: Reading, policy: Policy) -> Reason:
    """The first step that decides, for two answers that say something."""
    if gold.spelled == answer.spelled:
        return Reason.STRING
    if gold.too_big or answer.too_big:
        return Reason.TOO_BIG
    if gold.tree is None or answer.tree is None:
        if gold.tree is None and answer.tree is None:
            return compare_texts(gold.words, answer.words)
        return Reason.STRING if gold.words == answer.words and len(gold.words) > 1 else Reason.SHAPE
    reason = Comparison(policy).answers(gold.tree, answer.tree)
    if not accepted(reason) and gold.items is not None and answer.tree.op in ("list", "set"):
        return Comparison(policy).answers(gold.items, answer.tree)
    return reason


def compare_texts(gold: str, answer: str) -> Reason:
    """Words, case aside; several items in any order."""
    if gold == answer:
        return Reason.STRING
    items = [sorted(item.strip() for item in text.split(",")) for text in (gold, answer)]
    return Reason.STRING if items[0] == items[1] and all(items[0]) else Reason.DIFFERS
