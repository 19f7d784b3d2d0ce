"""Multiple choice: MMLU, GPQA, ARC and their kin, or rows of your own, judged by ``rewards.choice``."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.choice import ChoiceConfig
from r1zero.config.schema import RewardConfig
from r1zero.config.templates import TEMPLATES
from r1zero.tasks.choice_data import ChoiceProblem, load_choices
from r1zero.tasks.judging import judge_tags
from r1zero.tasks.prompts import prompt_columns
from r1zero.tasks.task import Row, Task
from rewards import Verdict
from rewards.choice import LETTERS, chosen_option, judge_choice
from rewards.math_answer.extract import extract

log = logging.getLogger(__name__)


def build_choice(config: ChoiceConfig, reward: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task for ``config``; logs what an answer that ignores the question earns."""
    mark = TEMPLATES[config.template].next_question
    answer_in, next_question = config.places(), () if mark is None else (mark,)
    train, test = load_choices(config)
    log.warning("%s: %s", config.name, floor(test))  # a warning, so that every command shows it
    return Task(
        name=config.name,
        train=[row(given, config, tokenizer) for given in train],
        test=[row(given, config, tokenizer) for given in test],
        judges={
            "choice": partial(judge_row, answer_in=answer_in, next_question=next_question),
            "format": partial(judge_tags, partial_credit=reward.format_partial_credit),
        },
        accuracy_judge="choice",
        ballot=partial(ballot, answer_in=answer_in, next_question=next_question),
        as_source=as_source,
    )


def floor(test: Sequence[ChoiceProblem]) -> str:
    """What can be had on the held-out problems without reading them: by guessing, and by one letter always."""
    guessed = sum(1 / len(given.options) for given in test) / len(test)
    letter, times = Counter(LETTERS[given.gold] for given in test).most_common(1)[0]
    return (
        f"guessing solves {guessed:.1%} of the {len(test)} held-out problems, always {letter} {times / len(test):.1%}: "
        "an accuracy near that shows nothing."
    )


def row(given: ChoiceProblem, config: ChoiceConfig, tokenizer: PreTrainedTokenizerBase) -> Row:
    """One problem as the trainer, the evaluation and the judges read it."""
    columns = prompt_columns(question_with_options(given), config, tokenizer)
    return columns | {"question": given.question, "options": given.options, "gold": given.gold}


def question_with_options(given: ChoiceProblem) -> str:
    """The question, a line for each option with its letter, and what to answer with."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, given.options, strict=False)]
    return "\n".join([given.question, *lines, "Answer with the letter of one option."])


def as_source(row: Row) -> Row:
    """The columns that ``task.source`` reads."""
    return {"question": row["question"], "choices": list(row["options"]), "answer": row["gold"]}


def judge_row(
    text: str, truth: Mapping[str, Any], answer_in: tuple[str, ...], next_question: tuple[str, ...]
) -> Verdict:
    """Whether the answer in ``text`` is the right option of the row ``truth``."""
    return judge_choice(text, truth["options"], truth["gold"], answer_in, next_question)


def ballot(
    text: str, truth: Mapping[str, Any], verdict: Verdict, answer_in: tuple[str, ...], next_question: tuple[str, ...]
) -> str | None:
    """The letter of the option that the completion names."""
    found = extract(text, answer_in, next_question=next_question)
    chosen = None if found is None else chosen_option(found.text, truth["options"])
    return None if chosen is None else LETTERS[chosen]
