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
from r1zero.tasks.rows import held_out_share, read_rows, without_held_out
from rewards.math_answer import Policy, check_gold, is_text_of_mathematics
from rewards.math_answer.extract import boxed

log = logging.getLogger(__name__)

TURNS = ("messages", "conversations")  # a whole conversation: question and answer in one column
PROMPT_FIELDS = ("problem", "question", "prompt", "instruction", "query", "input", "q", *TURNS)
ANSWER_FIELDS = (
    *("answer", "gt_answer", "final_answer", "expected_answer", "correct_answer", "reward_model", "ground_truth"),
    *("gold", "target", "label", "response", "output", "completion", "a", *TURNS, "solution"),
)
ROLES = {"human": "user", "gpt": "assistant"}  # ShareGPT's names
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
    if not test:
        raise ValueError(
            f"task.source = {config.source}, task.test_source = {config.test_source}: no problem is left for "
            f"task.num_test = {config.num_test}. Lower task.num_train, or name other data."
        )
    train = without_held_out(kept, test, lambda given: given.question, config.source)
    if kept and not train:
        raise ValueError(
            f"task.source = {config.source}: each of its {len(kept)} training questions is also held out, such as "
            f"{test[0].question!r:.80}; nothing is left to train on. Name rows with more questions."
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
        num_test = min(config.num_test, held_out_share(len(rows)))
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
        if not found:
            raise ValueError(
                f"task.source = {source}: none of its {faults.total()} golds can be judged ({fault}), such as "
                f"{examples[fault][0]}. Set task.answer_field to the column of the answers."
            )
        log.warning(
            "%s: %d of %d golds cannot be judged and are left out (%s): %s",
            *(source, number, len(found) + faults.total(), fault, "; ".join(examples[fault])),
        )
    if judged_by_gold:
        report_texts(source, [given.gold for given in found])
    return found


def report_texts(source: str, golds: list[str]) -> None:
    """Say which golds can only be matched letter by letter: mathematics that is not read as such, and prose."""
    prose = [gold for gold in golds if len(gold.split()) >= PROSE_WORDS]
    texts = [gold for gold in golds if gold not in prose and is_text_of_mathematics(gold)]
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
    if is_conversation(value):
        value = "\n".join(said_by("user", value))
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{place}: the question must be a text; found {value!r:.100}. Set task.prompt_field.")
    return value.strip()


def is_conversation(value: Any) -> bool:
    """Whether it is a list of turns."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) for turn in value)


def said_by(role: str, turns: list[dict[str, Any]]) -> list[str]:
    """What ``role`` says, turn by turn, in the form of chat templates or of ShareGPT.

    >>> said_by("assistant", [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}])
    ['4']
    """
    named = [(turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))) for turn in turns]
    return [str(text or "") for name, text in named if ROLES.get(str(name), name) == role]


def gold_of(row: Any, field: str | None, place: str, needed: bool = True) -> str:
    """The gold answer of a row, as text; "" when it has none, which is an error where it is ``needed``."""
    if field is None and isinstance(row, dict):
        row = {str(name).lower(): value for name, value in row.items()}
        if not needed and not row.keys() & set(ANSWER_FIELDS):
            return ""
        if "solution" in row and all(row.get(name) in (None, "") for name in ANSWER_FIELDS[:-1]):
            field = "solution"
    value = value_of(row, field, ANSWER_FIELDS, "task.answer_field", place)
    if isinstance(value, dict):
        value = value.get("ground_truth")
    if is_conversation(value):
        value = next(reversed(said_by("assistant", value)), None)
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
    """The value under ``field``, or under the first of the ``usual`` names that the row has, in any case."""
    names = usual if field is None else (field,)
    if isinstance(row, dict):
        spelt = row if field else {str(name).lower(): value for name, value in row.items()}
        for name in names:
            if name in spelt and (field is not None or spelt[name] is not None):
                return spelt[name]
        if any(name in spelt for name in names):
            return None
    columns = sorted(row) if isinstance(row, dict) else row
    remedy = f"Set {key}."
    if isinstance(row, dict) and row.keys() >= {"nums", "target"}:
        remedy = "Rows of Countdown: set task=countdown, and task.source to the file."
    raise ValueError(f"{place}: has none of the columns {', '.join(names)}; found {columns!r:.200}. {remedy}")
