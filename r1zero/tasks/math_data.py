r"""Questions and gold answers from files and Hub data sets, under the field names that published sets use.

Known without configuration: GSM8K (``question``; ``answer`` behind ``####``), MATH, MATH-500, AIME and OpenR1-Math
(``problem``; ``answer``, or the box of ``solution``), DAPO-17k (``prompt`` as chat turns;
``reward_model.ground_truth``), SimpleRL's (``question``, ``gt_answer``) and Qwen2.5-Math's evaluation files
(``question`` or ``problem``; ``final_answer``, ...). Golds that the judge cannot use are reported and leave the data:
they would pay nobody, or everybody. Golds that it can only compare letter by letter are reported and stay.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from r1zero.config.tasks import MathConfig
from r1zero.tasks.rows import read_rows, without_held_out
from rewards.math_answer import Policy, check_gold, is_text_of_mathematics
from rewards.math_answer.extract import boxed

log = logging.getLogger(__name__)

PROMPT_FIELDS = ("problem", "question", "Problem", "Question", "prompt", "input")
ANSWER_FIELDS = (
    "answer",
    "Answer",
    "gt_answer",
    "final_answer",
    "expected_answer",
    "reward_model",
    "target",
    "solution",
)
MAX_EXAMPLES = 3  # of each fault, in the report


class MathProblem(NamedTuple):
    """A question as it is put to the model, and the gold answer."""

    question: str
    gold: str


def load_math(config: MathConfig, policy: Policy) -> tuple[list[MathProblem], list[MathProblem]]:
    """Training and held-out problems; held-out questions are not trained on. Without ``num_train``, no training rows.

    Raises:
        ValueError: A source is missing or unreadable, a row lacks its fields, or nothing usable is left.
    """
    rows = read_rows(config.source, config.source_split, config.source_config)
    train = usable(config, policy, config.source, rows, config.num_train) if config.num_train else []
    if config.test_source is None:
        test = usable(config, policy, config.source, rows, config.num_test)
    else:
        held_out = read_rows(config.test_source, config.test_split, config.test_config)
        test = usable(config, policy, config.test_source, held_out, config.num_test)
    kept = without_held_out(train, test, lambda given: given.question, config.source)
    for name, part in (("train", kept), ("test", test)):
        if not part and getattr(config, f"num_{name}"):
            raise ValueError(
                f"task.source = {config.source}, task.test_source = {config.test_source}: no problem is left for "
                f"task.num_{name} = {getattr(config, f'num_{name}')}. Lower task.num_train, or name other data."
            )
    return kept, test


def usable(
    config: MathConfig, policy: Policy, source: str, rows: Iterator[tuple[str, Any]], count: int
) -> list[MathProblem]:
    """The next ``count`` rows as problems, less those whose gold cannot be judged, which are reported."""
    found, faults, examples = [], Counter[str](), dict[str, list[str]]()
    for place, row in islice(rows, count):
        question = prompt_of(row, config.prompt_field, place)
        gold = gold_of(row, config.answer_field, place)
        fault = check_gold(gold, policy)
        if fault is None:
            found.append(MathProblem(question, gold))
            continue
        faults[fault] += 1
        if faults[fault] <= MAX_EXAMPLES:
            examples.setdefault(fault, []).append(f"{place}: {gold!r:.80}")
    for fault, number in faults.most_common():
        log.warning(
            "%s: %d of %d golds cannot be judged and are left out (%s): %s",
            *(source, number, len(found) + faults.total(), fault, "; ".join(examples[fault])),
        )
    texts = [given.gold for given in found if is_text_of_mathematics(given.gold)]
    if texts:
        log.warning(
            "%s: %d of %d golds hold a digit or a command and are not read as mathematics: only the same letters match "
            "them: %s",
            *(source, len(texts), len(found), "; ".join(f"{gold!r:.80}" for gold in texts[:MAX_EXAMPLES])),
        )
    return found


def prompt_of(row: Any, field: str | None, place: str) -> str:
    """The question of a row; of chat turns, what the user says."""
    value = value_of(row, field, PROMPT_FIELDS, "task.prompt_field", place)
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        value = "\n".join(str(turn.get("content", "")) for turn in value if turn.get("role") == "user")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{place}: the question must be a text; found {value!r:.100}. Set task.prompt_field.")
    return value.strip()


def gold_of(row: Any, field: str | None, place: str) -> str:
    """The gold answer of a row, as text; "" when it has none."""
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
