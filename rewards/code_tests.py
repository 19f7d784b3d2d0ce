"""Judges programs by their tests, outside the process that runs them: ``verdict(run_tests(...), score)``.

Three kinds of test: a script's output for an input, a function's value for arguments, and assert statements (the form
of HumanEval and MBPP). Expected values never enter a process that runs model code or an ancestor of one. Results come
back as plain data; exit codes, markers in the output and exceptions' texts are never evidence that a program is right.

Each input of a script gets a process of its own. All calls of a function are made in one process, as the data sets' own
graders do, and another process without model code looks at what comes back (`rewards.code_functions`).

`code_spec` says what tests are, `code_report` what comes of them; their names can be imported from here.
"""

from typing import Any

from rewards.code_compare import same_output
from rewards.code_functions import run_function_tests
from rewards.code_program import BrokenRunError, Runner, TestedProgram, last_line
from rewards.code_report import JudgeUnavailableError, Ledger, Score, TestReport, verdict
from rewards.code_spec import CodeTests, Kind
from sandbox import Status

__all__ = [
    "CodeTests",
    "JudgeUnavailableError",
    "Kind",
    "Ledger",
    "Runner",
    "Score",
    "TestReport",
    "run_tests",
    "verdict",
]


def run_tests(
    code: str,
    tests: CodeTests,
    sandbox: Runner,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    stop_early: bool = True,
) -> TestReport:
    """How the program does on the tests; the limits are for each test, None for the sandbox's own.

    A run that a limit ended also ends the judging, as the next would most likely take as long; the tests that were not
    run count as failed. With ``stop_early`` any failure ends it.
    """
    program = TestedProgram(code, sandbox, timeout_s, memory_mb)
    try:
        if tests.kind is not Kind.STDIN:
            return run_function_tests(program, tests, stop_early)
        passed, first = 0, None
        for number, test in enumerate(tests.tests):
            status, detail = _run_stdin(program, test, tests)
            passed += status == "accepted"
            if status != "accepted" and first is None:
                first = (status, f"test {number}: {detail}")
            if status != "accepted" and (stop_early or status not in ("wrong_answer", Status.RUNTIME_ERROR)):
                break
    except BrokenRunError as broken:
        return TestReport(Status.INFRASTRUCTURE_ERROR, 0, len(tests.tests), str(broken))
    status, detail = first or ("accepted", "")
    return TestReport(status, passed, len(tests.tests), detail)


def _run_stdin(program: TestedProgram, test: Any, tests: CodeTests) -> tuple[str, str]:
    """(status, detail) of one test by input and output."""
    result = program.run(test["stdin"])
    if result.status is not Status.OK:
        return result.status, last_line(result)
    if same_output(result.stdout, test["expected"], tests.tolerance):
        return "accepted", ""
    return "wrong_answer", f"printed {result.stdout[:100]!r}"
