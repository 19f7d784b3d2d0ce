r"""Questions and gold answers from files and Hub data sets, under the field names that published sets use.

Known without configuration: GSM8K (``question``; ``answer`` behind ``####``), MATH, MATH-500, AIME and OpenR1-Math
(``problem``; ``answer``, or the box of ``solution``), DAPO-17k (``prompt`` as chat turns;
``reward_model.ground_truth``), SimpleRL's (``question``, ``gt_answer``) and Qwen2.5-Math's evaluation files
(``question`` or ``problem``; ``final_answer``, ...). Golds that the judge cannot use are reported and leave the data:
they would pay nobody, or everybody. Golds that it can only compare letter by letter are reported and stay.
"""

import logging
from collections import Counter
from itertools import islice
from typing import Any, NamedTuple

from r1zero.config.tasks import MathConfig
from r1zero.tasks.rows import read_rows, without_held_out
from rewards.math_answer import Policy, check_gold, is_text_of_mathematics
from rewards.math_answer.extract import boxed

log = logging.getLogger(__name__)

PROMPT_FIELDS = ("problem", "question", "Problem", "Question", "prompt", "instruction", "query", "input")
ANSWER_FIELDS = (
    "answer",
    "Answer",
    "gt_answer",
    "final_answer",
    "expected_answer",
    "reward_model",
    "target",
    "response",
    "output",
    "completion",
    "solution",
)
MAX_EXAMPLES = 3  # of each fault, in the report
PROSE_WORDS = 8  # a gold of so many words is a sentence


class MathProblem(NamedTuple):
    """A question as it is put to the model, the gold answer, and the row that they are from."""

    question: str
    gold: str
    source_row: dict[str, Any]


def load_math(
    config: MathConfig, policy: Policy, judged_by_gold: bool = True
) -> tuple[list[MathProblem], list[MathProblem]]:
    """Training and held-out problems; held-out questions are not trained on. Without ``num_train``, no training rows.

    Rows need no gold, and all are used, where they are not ``judged_by_gold``.

    Raises:
        ValueError: A source is missing or unreadable, a row lacks its fields, or nothing usable is left.
    """
    kept, test = split(config, policy, judged_by_gold)
    train = without_held_out(kept, test, lambda given: given.question, config.source)
    for name, part in (("train", train), ("test", test)):
        if not part and getattr(config, f"num_{name}"):
            raise ValueError(
                f"task.source = {config.source}, task.test_source = {config.test_source}: no problem is left for "
                f"task.num_{name} = {getattr(config, f'num_{name}')}. Lower task.num_train, or name other data."
            )
    return train, test


def split(config: MathConfig, policy: Policy, judged_by_gold: bool) -> tuple[list[MathProblem], list[MathProblem]]:
    """The first rows to train on and those behind them, or those of ``test_source``, to hold out.

    Of a source that has fewer rows than both want, a fifth is held out, and no more than ``num_test``.
    """
    rows = list(islice(read_rows(config.source, config.source_split, config.source_config), wanted(config)))
    num_train = config.num_train
    if len(rows) < min(2, wanted(config)):
        raise ValueError(
            f"task.source = {config.source}: holds {len(rows) or 'no'} row{'s' * (len(rows) > 1)}; at least one to "
            "train on and one to hold out are needed."
        )
    if config.test_source is None and len(rows) < wanted(config):
        num_test = min(config.num_test, max(1, len(rows) // 5))
        num_train = min(config.num_train, len(rows) - num_test)
        log.info(
            "%s: of %d rows the first %d are trained on and the last %d held out (task.num_train, task.num_test).",
            *(config.source, len(rows), num_train, len(rows) - num_train),
        )
    train = usable(config, policy, config.source, rows[:num_train], judged_by_gold)
    if config.test_source is None:
        return train, usable(config, policy, config.source, rows[num_train:], judged_by_gold)
    held_out = islice(read_rows(config.test_source, config.test_split, config.test_config), config.num_test)
    return train, usable(config, policy, config.test_source, list(held_out), judged_by_gold)


def wanted(config: MathConfig) -> int:
    """How many rows of ``source`` are to be read."""
    return config.num_train + (config.num_test if config.test_source is None else 0)


def usable(
    config: MathConfig, policy: Policy, source: str, rows: list[tuple[str, Any]], judged_by_gold: bool
) -> list[MathProblem]:
    """Rows as problems, less those whose gold cannot be judged, which are reported."""
    found, faults, examples = [], Counter[str](), dict[str, list[str]]()
    for place, row in rows:
        question = prompt_of(row, config.prompt_field, place)
        gold = gold_of(row, config.answer_field, place, needed=judged_by_gold)
        fault = check_gold(gold, policy) if judged_by_gold else None
        if fault is None:
            found.append(MathProblem(question, gold, row))
            continue
        faults[fault] += 1
        if faults[fault] <= MAX_EXAMPLES:
            examples.setdefault(fault, []).append(f"{place}: {gold!r:.80}")
    for fault, number in faults.most_common():
        log.warning(
            "%s: %d of %d golds cannot be judged and are left out (%s): %s",
            *(source, number, len(found) + faults.total(), fault, "; ".join(examples[fault])),
        )
    if judged_by_gold:
        report_texts(source, [given.gold for given in found])
    return found


def report_texts(source: str, golds: list[str]) -> None:
    """Say which golds can only be matched letter by letter: mathematics that is not read as such, and prose."""
    texts = [gold for gold in golds if is_text_of_mathematics(gold)]
    prose = [gold for gold in golds if len(gold.split()) >= PROSE_WORDS]
    for said, found in (("hold a digit or a command and are not read as mathematics", texts), ("are prose", prose)):
        if found:
            log.warning(
                "%s: %d of %d golds %s: only the same letters match them%s: %s",
                *(source, len(found), len(golds), said),
                *("" if found is texts else "; a judge of your own may do better (reward.judges)",),
                "; ".join(f"{gold!r:.80}" for gold in found[:MAX_EXAMPLES]),
            )


def prompt_of(row: Any, field: str | None, place: str) -> str:
    """The question of a row; of chat turns, what the user says."""
    value = value_of(row, field, PROMPT_FIELDS, "task.prompt_field", place)
    if field is None and "instruction" in row and row.get("input"):  # Alpaca's form: a request and what it is about
        value = f"{value}\n{row['input']}"
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        value = "\n".join(str(turn.get("content", "")) for turn in value if turn.get("role") == "user")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{place}: the question must be a text; found {value!r:.100}. Set task.prompt_field.")
    return value.strip()


def gold_of(row: Any, field: str | None, place: str, needed: bool = True) -> str:
    """The gold answer of a row, as text; "" when it has none, which is an error where it is ``needed``."""
    if not needed and field is None and isinstance(row, dict) and not row.keys() & set(ANSWER_FIELDS):
        return ""
    if field is None and isinstance(row, dict) and "solution" in row:
        others = [row[name] for name in ANSWER_FIELDS[:-1] if name in row]
        field = "solution" if all(value is None or value == "" for value in others) else None
    value = value_of(row, field, ANSWER_FIELDS, "task.answer_field", place)
    if isinstance(value, dict):
        value = value.get("ground_truth")
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = "" if value is None else str(value)
    if "####" in text:
        return text.rpartition("####")[2].strip()
    # The sign behind \boxed{10}\% belongs to the sentence: the problem asks for a percentage, and the answer is 10.
    inner = boxed(text, join=True, percent_behind=False) if "\\boxed" in text or "\\fbox" in text else None
    if inner is None:
        return "" if field == "solution" else text.strip()  # a whole solution is not an answer
    return inner.strip()


def value_of(row: Any, field: str | None, usual: tuple[str, ...], key: str, place: str) -> Any:
    """The value under ``field``, or under the first of the ``usual`` names that the row has."""
    names = usual if field is None else (field,)
    if isinstance(row, dict):
        for name in names:
            if name in row and (field is not None or row[name] is not None):
                return row[name]
        if any(name in row for name in names):
            return None
    columns = sorted(row) if isinstance(row, dict) else row
    raise ValueError(f"{place}: has none of the columns {', '.join(names)}; found {columns!r:.200}. Set {key}.")
