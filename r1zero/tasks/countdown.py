"""Countdown: reach the target from the given numbers. Generated problems, or rows of a data set."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import CountdownConfig, RewardConfig
from r1zero.tasks import Row, Task
from r1zero.tasks.countdown_problems import Problem, ProblemSpace, problems
from r1zero.tasks.prompts import NANO_TEMPLATE, TEMPLATES, encode, render
from r1zero.tasks.rows import load_problems
from rewards import Verdict
from rewards.countdown import canonical_expression, judge_countdown
from rewards.tags import extract_answer, judge_format


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
        compact = NANO_TEMPLATE.format(nums=" ".join(map(str, given.nums)), target=given.target)
        return compact.removesuffix(TEMPLATES["nano"].prefill)
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
    template = TEMPLATES[config.template]
    prompt = render(template, question(given, config), "(1 + 2) / 3", tokenizer)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in encode(prompt, tokenizer):
        raise ValueError(
            f"The prompt {prompt!r} holds something that the tokenizer of {tokenizer.name_or_path!r} cannot write "
            "(the embedded model knows the integers 0 to 200): narrow the task's ranges or use another model."
        )
    return {"prompt": prompt, "prefill": template.prefill, "nums": list(given.nums), "target": given.target}


def judge_row(text: str, truth: Mapping[str, Any], use_all_numbers: bool) -> Verdict:
    """Whether the answer in ``text`` solves the problem of the row ``truth``."""
    return judge_countdown(text, truth["nums"], truth["target"], use_all_numbers)


def ballot(text: str, truth: Mapping[str, Any], verdict: Verdict) -> str | None:
    """The expression up to order and brackets: a vote is for a solution, not for a value, which the problem gives."""
    answer = extract_answer(text)
    return None if answer is None else canonical_expression(answer)


def judge_tags(text: str, truth: Mapping[str, Any], partial_credit: float) -> Verdict:
    """Whether ``text`` has the think and answer sections; the ground truth plays no part."""
    return judge_format(text, partial_credit)
