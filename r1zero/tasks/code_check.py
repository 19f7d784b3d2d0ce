"""Runs the solutions that come with programming problems, to find the rows that no program can pass."""

from concurrent.futures import ThreadPoolExecutor

from r1zero.config.tasks import TaskConfig
from r1zero.tasks.code import CodeConfig, num_workers, open_sandbox
from r1zero.tasks.code_data import Problem, load_code_problems
from rewards.code_tests import CodeTests, TestReport, run_tests

MAX_SHOWN = 20


def check_solutions(config: TaskConfig) -> str:
    """How many rows of the task are passed by their own solution, and which are not.

    Raises:
        ValueError: It is no task of programming problems from a data set, or the data set cannot be read.
    """
    if not isinstance(config, CodeConfig) or config.source is None:
        raise ValueError(f"solutions=1 with task = {config.name}: needs a code task with a task.source.")
    train, test = load_code_problems(config.source, config.source_split, config.num_train, config.num_test)
    problems = [*enumerate(train), *enumerate(test, len(train))]
    sandbox = open_sandbox(config)

    def run(problem: Problem) -> TestReport:
        tests, code = CodeTests.parse(problem.tests), problem.prefix + problem.solution
        return run_tests(code, tests, sandbox, config.timeout_s, config.memory_mb)

    with_solution = [(number, problem) for number, problem in problems if problem.solution]
    with ThreadPoolExecutor(num_workers(config)) as threads:
        reports = list(threads.map(run, (problem for _, problem in with_solution)))
    failed = [
        f"  problem {number}, {problem.question.strip()[:60]!r}: {report.status}, {report.detail}"
        for (number, problem), report in zip(with_solution, reports, strict=True)
        if report.status != "accepted"
    ]
    lines = [
        f"{config.name}: {len(with_solution)} of {len(problems)} rows carry a solution, and "
        f"{len(with_solution) - len(failed)} of these pass their own tests."
    ]
    return "\n".join(lines + failed[:MAX_SHOWN] + [f"  and {len(failed) - MAX_SHOWN} more"] * (len(failed) > MAX_SHOWN))
