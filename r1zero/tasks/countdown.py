"""Countdown: reach the target from the given numbers. Generated problems, or rows of a data set."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import RewardConfig
from r1zero.config.tasks import CountdownConfig
from r1zero.tasks.countdown_problems import Problem, ProblemSpace, problems
from r1zero.tasks.judging import judge_tags
from r1zero.tasks.prompts import has_unknown, prompt_columns
from r1zero.tasks.rows import load_splits
from r1zero.tasks.task import Row, Task
from rewards import Outcome, Verdict
from rewards.countdown import canonical_expression, judge_countdown, judge_expression
from rewards.tags import extract_answer


def build_countdown(config: CountdownConfig, reward: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task for ``config``, with prompts written for ``tokenizer``."""
    if config.source is None:
        space = problem_space(config)
        train = list(problems(config.seed, "train", config.num_train, space))
        test = list(problems(config.seed, "test", config.num_test, space))
    else:
        train, test = load_problems(config.source, config.source_split, config.num_train, config.num_test)
    return Task(
        name=config.name,
        train=[row(given, config, tokenizer) for given in train],
        test=[row(given, config, tokenizer) for given in test],
        judges={
            "countdown": partial(judge_row, use_all_numbers=config.use_all_numbers),
            "format": partial(judge_tags, partial_credit=reward.format_partial_credit),
        },
        accuracy_judge="countdown",
        ballot=ballot,
        as_source=as_source,
    )


def problem_space(config: CountdownConfig) -> ProblemSpace:
    """The generator's share of ``config``."""
    return ProblemSpace(
        num_numbers=tuple(config.num_numbers),
        number_min=config.number_min,
        number_max=config.number_max,
        target_min=config.target_min,
        target_max=config.target_max,
        operators=config.operators,
        use_all_numbers=config.use_all_numbers,
        max_intermediate=config.max_intermediate,
    )


def question(given: Problem, config: CountdownConfig) -> str:
    """The problem in words; the rule on using every number is the one that the judge applies."""
    if config.template == "nano":
        return given.compact
    rule = "Use every number exactly once." if config.use_all_numbers else "Use each number at most once."
    return (
        f"Using the numbers {list(given.nums)}, write an expression that equals {given.target}. "
        f"You may use the operators {', '.join(config.operators)} and parentheses. {rule}"
    )


def row(given: Problem, config: CountdownConfig, tokenizer: PreTrainedTokenizerBase) -> Row:
    """One problem as the trainer, the evaluation and the judges read it.

    Raises:
        ValueError: The prompt holds something the tokenizer has no token for.
    """
    columns = prompt_columns(question(given, config), config, tokenizer)
    if has_unknown(columns["prompt"], tokenizer):
        raise ValueError(
            f"The prompt {columns['prompt']!r} holds something that the tokenizer of {tokenizer.name_or_path!r} cannot "
            "write (the embedded model knows the integers 0 to 200): narrow the task's ranges or use another model."
        )
    return columns | {"nums": list(given.nums), "target": given.target}


def as_source(row: Row) -> Row:
    """The columns that ``task.source`` reads."""
    return {"nums": row["nums"], "target": row["target"]}


def judge_row(text: str, truth: Mapping[str, Any], use_all_numbers: bool) -> Verdict:
    """Whether the answer in ``text`` solves the problem of the row ``truth``."""
    return judge_countdown(text, truth["nums"], truth["target"], use_all_numbers)


def ballot(text: str, truth: Mapping[str, Any], verdict: Verdict) -> str | None:
    """The expression up to order and brackets: a vote is for a solution, not for a value, which the problem gives."""
    answer = extract_answer(text)
    return None if answer is None else canonical_expression(answer)


def load_problems(source: str, split: str, num_train: int, num_test: int) -> tuple[list[Problem], list[Problem]]:
    """Training and held-out problems of a data set, split as TinyZero does, see ``load_splits``.

    Problems are the same when they have the same numbers, in any order, and the same target.
    """
    return load_splits(source, split, num_train, num_test, checked_problem, key=as_set)


def as_set(given: Problem) -> tuple[int, ...]:
    """The sorted numbers and the target."""
    return (*sorted(given.nums), given.target)


def checked_problem(place: str, row: Any) -> Problem:
    """The row as a problem.

    Raises:
        ValueError: Names the place, what was found and what is needed.
    """
    if not isinstance(row, dict) or not {"nums", "target"} <= row.keys():
        found = sorted(row) if isinstance(row, dict) else row
        raise ValueError(f"{place}: needs the columns 'nums' and 'target'; found {found!r}.")
    nums, target = row["nums"], row["target"]
    if not isinstance(nums, list) or len(nums) < 2 or not all(type(number) is int for number in nums):
        raise ValueError(f"{place}: 'nums' must be a list of two or more integers; found {nums!r}.")
    if type(target) is not int:
        raise ValueError(f"{place}: 'target' must be an integer; found {target!r}.")
    verdict = judge_expression("", nums, target, use_all_numbers=False)
    if verdict.outcome is Outcome.UNGRADEABLE:
        raise ValueError(f"{place}: cannot be judged: {verdict.detail}; found nums = {nums!r}, target = {target!r}.")
    return Problem(tuple(nums), target)
