"""Judges programs by their tests, outside the process that runs them.

Three kinds of test: a script's output for an input, a function's value for arguments, and assert statements (the form
of HumanEval and MBPP). Expected values never enter a process that runs model code or an ancestor of one. Results come
back as plain data; exit codes, markers in the output and exceptions' texts are never evidence that a program is right.

It does not look at arguments that a function changes in place, and one call's state is not the next one's: each call
of the function under test, like each input of a script, gets a process of its own.
"""

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rewards.code_checks import CHECK_PROGRAM
from rewards.code_compare import same_output, same_value
from rewards.verdict import Outcome, Verdict
from sandbox import Result, Status
from sandbox.codec import encode

Score = Literal["all", "fraction"]

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
    ) -> tuple[Result, tuple[str, Any] | None]:
        """Run a script and then one of its functions."""


class Kind(enum.StrEnum):
    """What a test compares."""

    STDIN = "stdin"
    FUNCTION = "function"
    ASSERT = "assert"


@dataclass(frozen=True)
class CodeTests:
    """The tests of one problem.

    Attributes:
        kind: Which.
        tests: STDIN: {"stdin", "expected"} each. FUNCTION: {"args", "expected"} each. ASSERT: source text each, which
            calls the function by its name or as ``candidate`` and raises when it is wrong.
        entry: Name of the function under test.
        tolerance: Numbers may differ by this much, absolutely or relatively; None compares text or values exactly.
        setup: ASSERT: trusted source that the tests need, such as imports or the problem's own helper functions.
    """

    kind: Kind
    tests: Sequence[Any]
    entry: str = ""
    tolerance: float | None = None
    setup: str = ""

    @classmethod
    def parse(cls, given: str | Mapping[str, Any]) -> "CodeTests":
        """From a mapping, or its JSON text, with the key ``type`` for the kind and the others as above.

        Raises:
            ValueError: Something is missing or of the wrong type.
        """
        try:
            spec = json.loads(given) if isinstance(given, str) else given
            if not isinstance(spec, Mapping):
                raise ValueError(f"tests are a mapping, not {type(spec).__name__}")
            found = cls(
                Kind(spec["type"]),
                spec["tests"],
                spec.get("entry") or "",
                spec.get("tolerance"),
                spec.get("setup") or "",
            )
        except KeyError as error:
            raise ValueError(f"tests have no {error}") from error
        except RecursionError as error:
            raise ValueError("tests are nested too deep") from error
        fault = found.fault()
        if fault is not None:
            raise ValueError(fault)
        return found

    def fault(self) -> str | None:
        """Why these cannot be tests, or None."""
        if not isinstance(self.tests, Sequence) or isinstance(self.tests, str) or not self.tests:
            return "tests are not a list of one or more"
        keys = {Kind.STDIN: {"stdin", "expected"}, Kind.FUNCTION: {"args", "expected"}, Kind.ASSERT: None}[self.kind]
        for number, test in enumerate(self.tests):
            if keys is None:
                if not isinstance(test, str):
                    return f"test {number} is not source text"
            elif not isinstance(test, Mapping) or not keys <= test.keys():
                return f"test {number} lacks one of {', '.join(sorted(keys))}"
            elif self.kind is Kind.STDIN and not (isinstance(test["stdin"], str) and isinstance(test["expected"], str)):
                return f"test {number}: stdin and expected must be text"
            elif self.kind is Kind.FUNCTION and not isinstance(test["args"], list):
                return f"test {number}: args must be a list"
        if self.kind is not Kind.STDIN and not self.entry.isidentifier():
            return f"entry = {self.entry!r}: must name the function under test"
        if self.tolerance is not None and not (type(self.tolerance) in (int, float) and 0 <= self.tolerance < math.inf):
            return f"tolerance = {self.tolerance!r}: must be a number from 0 up"
        return None


@dataclass(frozen=True)
class TestReport:
    """How a program did.

    Attributes:
        status: ``accepted``, ``wrong_answer``, or the status of the run that went wrong.
        passed, total: Tests.
        detail: The first failure, for a person.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    status: str
    passed: int
    total: int
    detail: str = ""


@dataclass
class Ledger:
    """Counts what could not be judged, so that a broken sandbox stops a run instead of starving it.

    Attributes:
        max_share: Share of infrastructure errors, after retries, above which `check` raises.
        judged, failed: Completions so far.
    """

    max_share: float = 0.01
    judged: int = 0
    failed: int = 0
    last_error: str = field(default="", repr=False)

    def record(self, report: TestReport) -> None:
        """Count one report."""
        self.judged += 1
        if report.status == Status.INFRASTRUCTURE_ERROR:
            self.failed += 1
            self.last_error = report.detail

    def check(self) -> None:
        """Raise when too many failed. Two are forgiven: a single one in a first small batch is more than any share.

        Raises:
            JudgeUnavailableError: The share is above `max_share`.
        """
        if self.failed > max(2, self.max_share * self.judged):
            raise JudgeUnavailableError(
                f"{self.failed} of {self.judged} completions could not be judged because the sandbox failed, and more "
                f"than {self.max_share:.0%} are not accepted (task.max_infrastructure_errors). Last error: "
                f"{self.last_error}. `python -m sandbox.doctor` tests this machine."
            )


class JudgeUnavailableError(RuntimeError):
    """The tools behind a judge are broken; going on would train on whatever still happens to work."""


class _BrokenRunError(Exception):
    """The run that raised this says nothing about the program."""


def judge_code(
    code: str,
    tests: CodeTests,
    sandbox: Runner,
    score: Score = "all",
    timeout_s: float | None = None,
    memory_mb: int | None = None,
) -> Verdict:
    """The verdict on a program, see `run_tests` and `verdict`."""
    return verdict(run_tests(code, tests, sandbox, timeout_s, memory_mb, stop_early=score == "all"), score)


def verdict(report: TestReport, score: Score) -> Verdict:
    """1.0 / CORRECT when all tests pass; else 0.0 or, with ``fraction``, the share that passed.

    TIMEOUT for a run beyond its time, UNGRADEABLE for an infrastructure error or tests that do not run; else WRONG.
    """
    detail = f"{report.passed} of {report.total} tests" + (f"; {report.detail}" if report.detail else "")
    match report.status:
        case "accepted":
            return Verdict(1.0, Outcome.CORRECT, detail)
        case Status.INFRASTRUCTURE_ERROR | "broken_tests":
            return Verdict(None, Outcome.UNGRADEABLE, f"{report.status}: {report.detail}")
    share = report.passed / report.total if score == "fraction" else 0.0
    outcome = Outcome.TIMEOUT if report.status == Status.TIMEOUT else Outcome.WRONG
    return Verdict(share, outcome, f"{report.status}: {detail}")


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
    try:
        if tests.kind is Kind.ASSERT:
            return _run_asserts(code, tests, sandbox, timeout_s, memory_mb)
        passed, first = 0, None
        for number, test in enumerate(tests.tests):
            run = _run_stdin if tests.kind is Kind.STDIN else _run_function
            status, detail = run(code, test, tests, sandbox, timeout_s, memory_mb)
            passed += status == "accepted"
            if status != "accepted" and first is None:
                first = (status, f"test {number}: {detail}")
            if status != "accepted" and (stop_early or status not in ("wrong_answer", Status.RUNTIME_ERROR)):
                break
    except _BrokenRunError as broken:
        return TestReport(Status.INFRASTRUCTURE_ERROR, 0, len(tests.tests), str(broken))
    status, detail = first or ("accepted", "")
    return TestReport(status, passed, len(tests.tests), detail)


def _run_stdin(
    code: str, test: Any, tests: CodeTests, sandbox: Runner, timeout_s: float | None, memory_mb: int | None
) -> tuple[str, str]:
    for _ in range(MAX_RETRIES + 1):
        result = sandbox.run(code, test["stdin"], timeout_s=timeout_s, memory_mb=memory_mb)
        if result.status is not Status.INFRASTRUCTURE_ERROR:
            break
    _refuse_broken(result)
    if result.status is not Status.OK:
        return result.status, _last_line(result)
    if same_output(result.stdout, test["expected"], tests.tolerance):
        return "accepted", ""
    return "wrong_answer", f"printed {result.stdout[:100]!r}"


def _run_function(
    code: str, test: Any, tests: CodeTests, sandbox: Runner, timeout_s: float | None, memory_mb: int | None
) -> tuple[str, str]:
    result, answer = _call(code, tests.entry, test["args"], {}, sandbox, timeout_s, memory_mb)
    if result.status is not Status.OK:
        return result.status, _last_line(result)
    if answer is None or answer[0] != "value":
        return "wrong_answer", "ended without a value"
    if same_value(answer[1], test["expected"], tests.tolerance):
        return "accepted", ""
    return "wrong_answer", f"returned {_show(answer[1])}"


def _call(
    code: str,
    entry: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    sandbox: Runner,
    timeout_s: float | None,
    memory_mb: int | None,
) -> tuple[Result, tuple[str, Any] | None]:
    """One call in a process of its own, retried while the sandbox itself fails."""
    for _ in range(MAX_RETRIES + 1):
        result, answer = sandbox.call(code, entry, args, kwargs, timeout_s=timeout_s, memory_mb=memory_mb)
        if result.status is not Status.INFRASTRUCTURE_ERROR:
            break
    _refuse_broken(result)
    return result, answer


def _run_asserts(
    code: str, tests: CodeTests, sandbox: Runner, timeout_s: float | None, memory_mb: int | None
) -> TestReport:
    """The tests run in a sandbox that has no model code, with a table of results in place of the function.

    Each pass lists the calls that were not in the table; they are made in the model's sandbox, and the next pass knows
    their results. A pass without unknown calls is the verdict.
    """
    total = len(tests.tests)
    known: dict[str, tuple[str, Any]] = {}
    failure, spent_s, num_bytes = "", 0.0, 0
    for _ in range(MAX_PASSES):
        arguments = [tests.setup, list(tests.tests), tests.entry, known]
        result, answer = _call(CHECK_PROGRAM, "check", arguments, {}, sandbox, CHECK_TIMEOUT_S, CHECK_MEMORY_MB)
        if result.status is not Status.OK or answer is None or answer[0] != "value":
            broken = not known  # without any result of the program's, it is the tests that do not run
            detail = f"the tests ended with {result.status}: {_last_line(result)}"
            return TestReport("broken_tests" if broken else "wrong_answer", 0, total, detail)
        outcomes, wanted, impossible = answer[1]
        fault = next((detail for outcome, detail in outcomes if outcome == "broken"), None)
        if impossible:
            fault = f"a test calls {impossible[0]}, and only plain data can be passed"
        elif not wanted and not known:
            fault = f"no test calls {tests.entry}: {outcomes[0][1] or 'they pass without'}"
        elif len(known) + len(wanted) > MAX_CALLS:
            fault = f"the tests make more than {MAX_CALLS} calls"
        if fault is not None:
            return TestReport("broken_tests", 0, total, fault)
        if not wanted:
            passed = sum(outcome == "pass" for outcome, _ in outcomes)
            wrong = next(
                (f"test {n}: {detail}" for n, (outcome, detail) in enumerate(outcomes) if outcome != "pass"), ""
            )
            return TestReport("accepted" if passed == total else "wrong_answer", passed, total, failure or wrong)
        for args, kwargs in wanted:
            result, made = _call(code, tests.entry, args, kwargs, sandbox, timeout_s, memory_mb)
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


def _raised(made: tuple[str, Any] | None) -> tuple[str, Any]:
    """How a call without a value enters the table: as its exception, or as a death that no test can catch."""
    return made if made is not None and made[0] == "raised" else ("died", None)


def _refuse_broken(result: Result) -> None:
    if result.status is Status.INFRASTRUCTURE_ERROR:
        raise _BrokenRunError(result.error)


def _last_line(result: Result) -> str:
    """Of stderr, without what would control the terminal that it is printed on."""
    line = result.stderr.rstrip().rpartition("\n")[2][:200]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


def _show(value: Any) -> str:
    """A short form of a plain value; a long one is cut before it is written out in full where that is possible."""
    try:
        return repr(value)[:100] if not isinstance(value, int) or abs(value) < 10**100 else "a large number"
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
