"""Questions with options, from files and Hub data sets, in the shapes that published sets have.

Known without configuration: MMLU and MMLU-Pro (``choices`` or ``options``, ``answer`` as index or letter), ARC and
CommonsenseQA (``choices`` with ``text`` and ``label``, ``answerKey``), MedQA (``options`` by letter), columns ``A`` to
``J`` with a letter, and GPQA and SciQ (``Correct Answer`` beside ``Incorrect Answer 1`` or ``distractor1``). Rows
without one right option among 2 to 10 different ones are reported and leave the data.
"""

import logging
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from r1zero.config.choice import ChoiceConfig
from r1zero.tasks.rows import read_rows, without_held_out
from rewards.choice import LETTERS, plain

log = logging.getLogger(__name__)

QUESTIONS = ("question", "Question", "problem", "prompt", "input", "query")
OPTIONS = ("choices", "options", "Choices", "Options", "endings")
GOLDS = ("answer", "answerKey", "Answer", "answer_index", "answer_idx", "label", "target", "gold")
RIGHT = ("Correct Answer", "correct_answer")
WRONG = re.compile(r"(?:incorrect[ _]answer|distractor)[ _]*\d+", re.IGNORECASE)
# Options that name others by their place: another order would make them say something else.
PLACED = re.compile(
    r"""\b(?:above|below|preceding|following|previous)\b
    |\b(?:all|none|both|neither|either|any|two|each)\ of\ (?:these|them|the)\b
    |\b[A-J]\)?\s*(?:,|and|or|&)\s*\(?[A-J]\b|\((?:[A-J]|I{1,3})\)|\bI{1,3},?\s+(?:and|or|only)\b""",
    re.IGNORECASE | re.VERBOSE,
)
MAX_EXAMPLES = 3  # of each fault, in the report


class ChoiceProblem(NamedTuple):
    """A question, its options in the order in which they are shown, and the index of the right one."""

    question: str
    options: list[str]
    gold: int


def load_choices(config: ChoiceConfig) -> tuple[list[ChoiceProblem], list[ChoiceProblem]]:
    """Training and held-out problems; held-out questions are not trained on. Without ``num_train``, no training rows.

    Raises:
        ValueError: A source is missing or unreadable, a row has no question or no options, or nothing usable is left.
    """
    rows = read_rows(config.source, config.source_split, config.source_config)
    train = usable(config, config.source, rows, config.num_train) if config.num_train else []
    if config.test_source is not None:
        rows = read_rows(config.test_source, config.test_split, config.test_config)
    test = usable(config, config.test_source or config.source, rows, config.num_test)
    kept = without_held_out(train, test, lambda given: (given.question, *sorted(given.options)), config.source)
    for name, part in (("train", kept), ("test", test)):
        if not part and getattr(config, f"num_{name}"):
            raise ValueError(
                f"task.source = {config.source}, task.test_source = {config.test_source}: no problem is left for "
                f"task.num_{name} = {getattr(config, f'num_{name}')}. Lower task.num_train, or name other data."
            )
    return kept, test


def usable(config: ChoiceConfig, source: str, rows: Iterator[tuple[str, Any]], count: int) -> list[ChoiceProblem]:
    """The next ``count`` rows as problems, less those without one right option, which are reported."""
    found, faults, examples = [], Counter[str](), dict[str, list[str]]()
    for place, row in islice(rows, count):
        question, options, gold = parts(row, place)
        fault = fault_of(options, gold)
        if fault is None and gold is not None:
            problem = ChoiceProblem(question, options, gold)
            found.append(shuffled(problem, config.seed) if config.shuffle else problem)
            continue
        faults[str(fault)] += 1
        if faults[str(fault)] <= MAX_EXAMPLES:
            examples.setdefault(str(fault), []).append(place)
    for fault, number in faults.most_common():
        log.warning(
            "%s: %d of %d rows are left out, %s: %s",
            *(source, number, len(found) + faults.total(), fault, "; ".join(examples[fault])),
        )
    return found


def fault_of(options: list[str], gold: int | None) -> str | None:
    """Why a row cannot be judged; None if it can."""
    if not 2 <= len(options) <= len(LETTERS):
        return f"their options are not 2 to {len(LETTERS)}"
    if len({plain(option) for option in options}) < len(options) or not all(map(plain, options)):
        return "two of their options are the same, or one is empty"
    return "their answer is none of their options" if gold is None else None


def shuffled(problem: ChoiceProblem, seed: int) -> ChoiceProblem:
    """The problem with its options in an order that depends on ``seed`` and its own text, and on nothing else.

    >>> problem = ChoiceProblem("Which is even?", ["1", "2", "3"], 1)
    >>> [shuffled(problem, seed).options for seed in (0, 1)] == [shuffled(problem, seed).options for seed in (0, 1)]
    True
    """
    if any(PLACED.search(option) for option in problem.options):
        return problem
    draw = random.Random(f"{seed}/{problem.question}")
    options = draw.sample(sorted(problem.options), len(problem.options))
    return ChoiceProblem(problem.question, options, options.index(problem.options[problem.gold]))


def parts(row: Any, place: str) -> tuple[str, list[str], int | None]:
    """Question, options and the index of the right one, None where the row does not name one of them.

    Raises:
        ValueError: It has no question or no options.
    """
    if not isinstance(row, dict):
        raise ValueError(f"{place}: a row must be a table of columns; found {row!r:.100}.")
    question = first(row, QUESTIONS)
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"{place}: has no text in any of {', '.join(QUESTIONS)}; found {sorted(row)!r:.200}.")
    right = first(row, RIGHT)
    wrong = [str(row[name]).strip() for name in sorted(row) if WRONG.fullmatch(name) and row[name] is not None]
    if right is not None and wrong:
        return question.strip(), [str(right).strip(), *wrong], 0
    labels, options = labelled_options(row)
    if not options:
        raise ValueError(
            f"{place}: has no options: a list in {' or '.join(OPTIONS[:2])}, columns A, B, C, ..., or '{RIGHT[0]}' and "
            f"'Incorrect Answer 1', ...; found {sorted(row)!r:.200}."
        )
    return question.strip(), options, gold_index(first(row, GOLDS), labels, options)


def first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of the columns that the row has; None without any."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def labelled_options(row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The labels and the texts of a row's options; labels are letters where the row has none."""
    given = first(row, OPTIONS)
    if given is None:
        given = {letter: row[letter] for letter in LETTERS if row.get(letter) is not None}
    if isinstance(given, dict) and isinstance(given.get("text"), list):
        labels, texts = given.get("label") or list(LETTERS), given["text"]
    elif isinstance(given, dict):
        labels, texts = list(given), list(given.values())
    else:
        labels, texts = list(LETTERS), given if isinstance(given, list) else []
    if texts and all(isinstance(text, dict) and "text" in text for text in texts):  # [{"label": "A", "text": "..."}]
        labels = [text.get("label", letter) for text, letter in zip(texts, LETTERS, strict=False)]
        texts = [text["text"] for text in texts]
    return [str(label) for label in labels], [str(text).strip() for text in texts]


def gold_index(given: Any, labels: list[str], options: list[str]) -> int | None:
    """The option that a row's answer means: a number counts from 0, a text is a label, an option, or such a number."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given if 0 <= given < len(options) else None
    text = str(given).strip()
    letter = text.strip("().").upper()
    for known, wanted in ((labels[: len(options)], text), (labels[: len(options)], letter), (options, text)):
        if wanted in known:
            return known.index(wanted)
    return int(text) if text.isdecimal() and int(text) < len(options) else None
