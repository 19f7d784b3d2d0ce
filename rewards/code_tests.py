"""Judges programs by their tests, outside the process that runs them: ``verdict(run_tests(...), score)``.

Three kinds of test: a script's output for an input, a function's value for arguments, and assert statements (the form
of HumanEval and MBPP). Expected values never enter a process that runs model code or an ancestor of one. Results come
back as plain data; exit codes, markers in the output and exceptions' texts are never evidence that a program is right.

It does not look at arguments that a function changes in place, and one call's state is not the next one's: each call
of the function under test, like each input of a script, gets a process of its own.

`code_spec` says what tests are, `code_report` what comes of them; their names can be imported from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rewards.code_checks import CHECK_PROGRAM
from rewards.code_compare import same_output, same_value
from rewards.code_report import JudgeUnavailableError, Ledger, Score, TestReport, verdict
from rewards.code_spec import CodeTests, Kind
from sandbox import Result, Status
from sandbox.codec import encode

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

# Infrastructure errors are retried on another worker this often before a completion is given up as ungradeable.
MAX_RETRIES = 2
# Passes over a check whose calls depend on results of others (`f(f(1))` takes three) and calls it may make in all.
MAX_PASSES = 50
MAX_CALLS = 1000
# Check code runs in a sandbox too, and has this long, whatever the program under test is allowed.
CHECK_TIMEOUT_S = 30.0
CHECK_MEMORY_MB = 1024
# All calls that one check makes together have as long, and their values this much room: half of what the codec carries.
CALLS_TIMEOUT_S = 30.0
MAX_VALUE_BYTES = 16 << 20

# What came of a call: ("value", v), ("raised", name of a builtin exception), or None when it gave no readable answer.
Answer = tuple[str, Any] | None


class Runner(Protocol):
    """What the judge needs of a sandbox; see `sandbox.Sandbox`, `sandbox.bubblewrap` and `sandbox.fusion`."""

    def run(
        self, code: str, stdin: str = "", *, timeout_s: float | None = None, memory_mb: int | None = None
    ) -> Result:
        """Run a script."""

    def call(
        self,
        code: str,
        entry: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
    ) -> tuple[Result, Answer]:
        """Run a script and then one of its functions."""


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
    program = _Program(code, sandbox, timeout_s, memory_mb)
    try:
        if tests.kind is Kind.ASSERT:
            return _run_asserts(program, tests)
        passed, first = 0, None
        for number, test in enumerate(tests.tests):
            run = _run_stdin if tests.kind is Kind.STDIN else _run_function
            status, detail = run(program, test, tests)
            passed += status == "accepted"
            if status != "accepted" and first is None:
                first = (status, f"test {number}: {detail}")
            if status != "accepted" and (stop_early or status not in ("wrong_answer", Status.RUNTIME_ERROR)):
                break
    except _BrokenRunError as broken:
        return TestReport(Status.INFRASTRUCTURE_ERROR, 0, len(tests.tests), str(broken))
    status, detail = first or ("accepted", "")
    return TestReport(status, passed, len(tests.tests), detail)


class _BrokenRunError(Exception):
    """The sandbox failed, again and again, so nothing is known about the program."""


@dataclass(frozen=True)
class _Program:
    """A program with its sandbox and limits. Each run has a process of its own, retried while the sandbox fails."""

    code: str
    sandbox: Runner
    timeout_s: float | None
    memory_mb: int | None

    def run(self, stdin: str) -> Result:
        """The program as a script."""
        for _ in range(MAX_RETRIES + 1):
            result = self.sandbox.run(self.code, stdin, timeout_s=self.timeout_s, memory_mb=self.memory_mb)
            if result.status is not Status.INFRASTRUCTURE_ERROR:
                return result
        raise _BrokenRunError(result.error)

    def call(self, entry: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Result, Answer]:
        """One call of one of its functions."""
        limits: dict[str, Any] = {"timeout_s": self.timeout_s, "memory_mb": self.memory_mb}
        for _ in range(MAX_RETRIES + 1):
            result, answer = self.sandbox.call(self.code, entry, args, kwargs, **limits)
            if result.status is not Status.INFRASTRUCTURE_ERROR:
                return result, answer
        raise _BrokenRunError(result.error)


def _run_stdin(program: _Program, test: Any, tests: CodeTests) -> tuple[str, str]:
    """(status, detail) of one test by input and output."""
    result = program.run(test["stdin"])
    if result.status is not Status.OK:
        return result.status, _last_line(result)
    if same_output(result.stdout, test["expected"], tests.tolerance):
        return "accepted", ""
    return "wrong_answer", f"printed {result.stdout[:100]!r}"


def _run_function(program: _Program, test: Any, tests: CodeTests) -> tuple[str, str]:
    """(status, detail) of one test by arguments and value."""
    result, answer = program.call(tests.entry, test["args"], {})
    if result.status is not Status.OK:
        return result.status, _last_line(result)
    if answer is None or answer[0] != "value":
        return "wrong_answer", "ended without a value"
    if same_value(answer[1], test["expected"], tests.tolerance):
        return "accepted", ""
    return "wrong_answer", f"returned {_show(answer[1])}"


def _run_asserts(program: _Program, tests: CodeTests) -> TestReport:
    """The tests run in a sandbox that has no model code, with a table of results in place of the function.

    Each pass lists the calls that were not in the table; they are made in the model's sandbox, and the next pass knows
    their results. A pass without unknown calls is the verdict.
    """
    total = len(tests.tests)
    checks = _Program(CHECK_PROGRAM, program.sandbox, CHECK_TIMEOUT_S, CHECK_MEMORY_MB)
    known: dict[str, tuple[str, Any]] = {}
    failure, spent_s, num_bytes = "", 0.0, 0
    for _ in range(MAX_PASSES):
        result, answer = checks.call("check", [tests.setup, list(tests.tests), tests.entry, known], {})
        if result.status is not Status.OK or answer is None or answer[0] != "value":
            broken = not known  # without any result of the program's, it is the tests that do not run
            detail = f"the tests ended with {result.status}: {_last_line(result)}"
            return TestReport("broken_tests" if broken else "wrong_answer", 0, total, detail)
        outcomes, wanted, impossible = answer[1]
        fault = _fault(tests, outcomes, len(known), len(wanted), impossible)
        if fault is not None:
            return TestReport("broken_tests", 0, total, fault)
        if not wanted:
            passed = sum(outcome == "pass" for outcome, _ in outcomes)
            wrong = (f"test {n}: {detail}" for n, (outcome, detail) in enumerate(outcomes) if outcome != "pass")
            status = "accepted" if passed == total else "wrong_answer"
            return TestReport(status, passed, total, failure or next(wrong, ""))
        for args, kwargs in wanted:
            result, made = program.call(tests.entry, args, kwargs)
            spent_s += result.wall_s
            num_bytes += len(encode(made))
            if result.status not in (Status.OK, Status.RUNTIME_ERROR):
                return TestReport(result.status, 0, total, _last_line(result))
            if spent_s > CALLS_TIMEOUT_S:
                return TestReport(Status.TIMEOUT, 0, total, f"its calls took more than {CALLS_TIMEOUT_S:.0f} s in all")
            if num_bytes > MAX_VALUE_BYTES:
                return TestReport("wrong_answer", 0, total, f"returned more than {MAX_VALUE_BYTES} bytes in all")
            failure = failure or (_last_line(result) if result.status is Status.RUNTIME_ERROR else "")
            known[encode([args, kwargs])] = made if result.status is Status.OK and made else _raised(made)
    return TestReport("broken_tests", 0, total, f"the tests' calls are not settled after {MAX_PASSES} passes")


def _fault(
    tests: CodeTests, outcomes: list[list[str]], num_known: int, num_wanted: int, impossible: list[str]
) -> str | None:
    """Why one pass shows that the tests themselves cannot be run, or None."""
    if impossible:
        return f"a test calls {impossible[0]}, and only plain data can be passed"
    if not num_wanted and not num_known:
        return f"no test calls {tests.entry}: {outcomes[0][1] or 'they pass without'}"
    if num_known + num_wanted > MAX_CALLS:
        return f"the tests make more than {MAX_CALLS} calls"
    return next((detail for outcome, detail in outcomes if outcome == "broken"), None)


def _raised(made: Answer) -> tuple[str, Any]:
    """How a call without a value enters the table: as its exception, or as an end that no test can catch."""
    return made if made is not None and made[0] == "raised" else ("died", None)


def _last_line(result: Result) -> str:
    """The last line of stderr, with control characters replaced, as it may be printed on a terminal."""
    line = result.stderr.rstrip().rpartition("\n")[2][:200]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _show(value: Any) -> str:
    """A short form of a plain value; a long one is cut before it is written out in full where that is possible."""
    try:
        return repr(value)[:100] if not isinstance(value, int) or abs(value) < 10**100 else "a large number"
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
