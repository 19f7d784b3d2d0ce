"""Programming problems: the answer is a Python program, judged by its tests in a sandbox."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import RewardConfig
from r1zero.config.tasks import CodeConfig
from r1zero.tasks.code_data import Problem, load_code_problems
from r1zero.tasks.countdown_problems import ProblemSpace, Split, problems
from r1zero.tasks.judging import judge_tags
from r1zero.tasks.prompts import prompt_columns, question_of
from r1zero.tasks.task import Row, Task
from rewards import Outcome, Verdict
from rewards.code_answer import extract_code
from rewards.code_tests import CodeTests, Ledger, Runner, Score, run_tests, verdict
from sandbox import Sandbox, SandboxUnavailableError
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.fusion import FusionSandbox


def build_code(config: CodeConfig, reward: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task for ``config``; its judge keeps a sandbox open as long as the task lives.

    Raises:
        ValueError: Bad data, or a machine that cannot run the programs safely.
    """
    if config.source is None:
        train, test = list(toy_problems("train", config.num_train)), list(toy_problems("test", config.num_test))
    else:
        train, test = load_code_problems(config.source, config.source_split, config.num_train, config.num_test)
    try:
        sandbox = open_sandbox(config)
    except SandboxUnavailableError as error:
        raise ValueError(f"task.backend = {config.backend}: {error}") from error
    return Task(
        name=config.name,
        train=[row(problem, config, tokenizer) for problem in train],
        test=[row(problem, config, tokenizer) for problem in test],
        judges={
            "code": CodeJudge(sandbox, config),
            "format": partial(judge_tags, partial_credit=reward.format_partial_credit),
        },
        accuracy_judge="code",
        as_source=partial(as_source, config=config, tokenizer=tokenizer),
    )


def open_sandbox(config: CodeConfig) -> Runner:
    """What runs the programs."""
    if config.backend == "http":
        return FusionSandbox(str(config.endpoint))
    if config.backend == "bubblewrap":
        return BubblewrapSandbox()
    return Sandbox(workers=num_workers(config), min_level=config.min_level, memory_mb=config.memory_mb)


def num_workers(config: CodeConfig) -> int:
    """Programs at a time in this process; by default its share of the cores, if other ranks run beside it."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return config.num_workers or max(1, len(os.sched_getaffinity(0)) // ranks)


def toy_problems(split: Split, count: int) -> Iterator[Problem]:
    """Countdown problems for the embedded model as programs: its answer is the body of a function, run as Python.

    The value alone would pay for writing down the target, so the answer must also use the given numbers.
    """
    for given in problems(0, split, count, ProblemSpace()):
        tests = {"type": "function", "entry": "answer", "tests": [{"args": [], "expected": given.target}]}
        yield Problem(given.compact, tests, prefix="answer = lambda: ", numbers=tuple(given.nums))


def row(problem: Problem, config: CodeConfig, tokenizer: PreTrainedTokenizerBase) -> Row:
    """One problem; its tests as JSON text, because rows of a table must be alike."""
    return prompt_columns(problem.question, config, tokenizer) | {
        "tests": json.dumps(problem.tests),
        "prefix": problem.prefix,
        "numbers": list(problem.numbers),
    }


def as_source(row: Row, config: CodeConfig, tokenizer: PreTrainedTokenizerBase) -> Row:
    """The columns that ``task.source`` reads."""
    question = question_of(row["prompt"], config, tokenizer)
    return {"question": question, "tests": row["tests"], "prefix": row["prefix"]}


class CodeJudge:
    """Judges completions by the tests of their rows; many at a time with `judge_all`.

    Args:
        sandbox: Runs the programs.
        config: Limits and score.
    """

    def __init__(self, sandbox: Runner, config: CodeConfig) -> None:
        self.sandbox, self.config = sandbox, config
        self.num_workers = num_workers(config)
        self.ledger = Ledger(config.max_infrastructure_errors)

    def __call__(self, text: str, truth: Mapping[str, Any]) -> Verdict:
        """The verdict on one completion.

        Raises:
            JudgeUnavailableError: Too many completions could not be judged.
        """
        return self.judge_all([text], [truth])[0]

    def judge_all(self, texts: Sequence[str], truths: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        """One verdict for each completion, all workers busy.

        Raises:
            JudgeUnavailableError: Too many completions could not be judged.
        """
        with ThreadPoolExecutor(self.num_workers) as threads:
            verdicts = list(threads.map(self.judge_one, texts, truths))
        self.ledger.check()
        return verdicts

    def judge_one(self, text: str, truth: Mapping[str, Any]) -> Verdict:
        """The verdict on one completion, counted but not checked against the limit."""
        try:
            tests = CodeTests.parse(truth["tests"])
        except ValueError as error:
            return Verdict(None, Outcome.UNGRADEABLE, str(error))
        code = extract_code(text, tests.entry)
        if code is None:
            return Verdict(0.0, Outcome.NO_ANSWER, "no program, or more than one answer")
        score: Score = "fraction" if self.config.score == "fraction" else "all"
        report = run_tests(
            truth["prefix"] + code,
            tests,
            self.sandbox,
            self.config.timeout_s,
            self.config.memory_mb,
            stop_early=score == "all",
        )
        self.ledger.record(report)
        numbers = truth.get("numbers")
        if report.status == "accepted" and numbers and not consists_of(code, numbers):
            return Verdict(0.0, Outcome.WRONG, f"does not use each of {list(numbers)} once")
        return verdict(report, score)


def consists_of(code: str, numbers: Sequence[int]) -> bool:
    """Whether ``code`` is arithmetic on these integers, each once, in any order.

    Anything else that may have a value, such as a name, a comparison or a text, is refused; a comment is not counted.

    >>> consists_of("(1 + 2) * 2", [2, 1, 2]), consists_of("6", [1, 2, 3]), consists_of("len('abc') # 1 2", [1, 2])
    (True, False, False)
    """
    code = re.sub(r"#.*", "", code)
    if not re.fullmatch(r"[0-9+\-*/%()\s]*", code):
        return False
    return sorted(re.findall(r"[0-9]+", code)) == sorted(map(str, numbers))
