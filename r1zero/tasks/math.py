"""Problems with a final answer: GSM8K, MATH and its kin, or rows of your own, judged by ``rewards.math_answer``."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import RewardConfig
from r1zero.config.tasks import MathConfig
from r1zero.config.templates import TEMPLATES
from r1zero.tasks.judging import judge_tags
from r1zero.tasks.math_data import MathProblem, load_math
from r1zero.tasks.prompts import prompt_columns, question_of
from r1zero.tasks.rows import Columns, further_columns
from r1zero.tasks.task import Judge, Row, Task
from rewards import Outcome, Verdict
from rewards.math_answer import Policy, canonical_answer, grade, warm_up

log = logging.getLogger(__name__)

GOLD = "<gold>"  # no answer has this form


def build_math(config: MathConfig, reward: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task for ``config``, with prompts written for ``tokenizer``."""
    next_question = TEMPLATES[config.template].next_question
    policy = Policy(
        answer_in=tuple(config.answer_in),
        percent_sign_optional=config.percent_sign_optional,
        relative_tolerance=config.relative_tolerance,
        next_question=() if next_question is None else (next_question,),
    )
    by_gold = reward.accuracy in (None, "math")
    train, test = load_math(config, policy, by_gold)
    columns = further_columns([given.source_row for given in (*train, *test)]) if reward.judges else None
    judges: dict[str, Judge] = {"format": partial(judge_tags, partial_credit=reward.format_partial_credit)}
    if by_gold:
        judges = {"math": partial(judge_row, policy=policy)} | judges
    if by_gold and not warm_up():  # importing sympy takes a second, which the first completion should not pay
        log.warning("The math judge's sympy worker does not start: answers that need a proof will be UNGRADEABLE.")
    return Task(
        name=config.name,
        train=[row(given, config, tokenizer, columns) for given in train],
        test=[row(given, config, tokenizer, columns) for given in test],
        judges=judges,
        accuracy_judge="math" if by_gold else "format",  # until the judge that reward.accuracy names takes its place
        ballot=partial(ballot, policy=policy) if by_gold else None,
        as_source=partial(as_source, config=config, tokenizer=tokenizer),
    )


def row(
    given: MathProblem, config: MathConfig, tokenizer: PreTrainedTokenizerBase, columns: Columns | None = None
) -> Row:
    """One problem as the trainer, the evaluation and the judges read it; ``columns`` of its source come along."""
    own = prompt_columns(given.question, config, tokenizer) | {"gold": given.gold}
    return {**(columns(given.source_row) if columns else {}), **own}


def as_source(row: Row, config: MathConfig, tokenizer: PreTrainedTokenizerBase) -> Row:
    """The columns that ``task.source`` reads."""
    return {"question": question_of(row["prompt"], config, tokenizer), "answer": row["gold"]}


def judge_row(text: str, truth: Mapping[str, Any], policy: Policy) -> Verdict:
    """Whether the answer in ``text`` is the gold of the row ``truth``."""
    return grade(truth["gold"], text, policy)


def ballot(text: str, truth: Mapping[str, Any], verdict: Verdict, policy: Policy) -> str | None:
    """The canonical answer; all right ones vote together, since all are equal to the gold."""
    return GOLD if verdict.outcome is Outcome.CORRECT else canonical_answer(text, policy)
