"""Judges functions: by values for arguments and by assert statements.

A checker without model code runs the tests (`rewards.code_checks`) and asks the program's process for each call. Where
the sandbox cannot hold two processes that talk, the checker runs again and again with the answers so far.
"""

from typing import Any

from rewards.code_program import TestedProgram, checker_source, last_line
from rewards.code_report import TestReport
from rewards.code_spec import CodeTests
from sandbox import Result, Status

CHECK_TIMEOUT_S = 30.0
CHECK_MEMORY_MB = 1024
# Where programs cannot be asked: how often the checker may run.
MAX_PASSES = 1000


def run_function_tests(program: TestedProgram, tests: CodeTests, stop_early: bool) -> TestReport:
    """How the program does; see `rewards.code_tests.run_tests`."""
    run = _converse if hasattr(program.sandbox, "converse") else _replay
    spec = {
        "kind": str(tests.kind),
        "tests": list(tests.tests),
        "entry": tests.entry,
        "setup": tests.setup,
        "tolerance": tests.tolerance,
        "list_of_one": tests.list_of_one,
        "stop_early": stop_early,
    }
    found: list[Any] = []
    while True:
        ended, more = run(program, spec)
        if isinstance(more, TestReport):
            return more
        found += more
        left = tests.tests[len(found) :]
        # A program that ended itself is started again for the tests that it has not seen.
        if not left or stop_early or ended.status not in (Status.OK, Status.RUNTIME_ERROR):
            break
        spec["tests"] = list(left)
    return _report(ended, found, len(tests.tests))


def _report(ended: Result, found: list[Any], total: int) -> TestReport:
    """The report on the outcomes of the checker and the end of the program."""
    passed = sum(outcome == "pass" for outcome, _ in found)
    broken = next((detail for outcome, detail in found if outcome == "broken"), None)
    if broken is not None:
        return TestReport("broken_tests", 0, total, broken)
    if passed == total:
        return TestReport("accepted", passed, total)
    first = next((f"test {n}: {detail}" for n, (outcome, detail) in enumerate(found) if outcome != "pass"), "")
    if ended.status not in (Status.OK, Status.RUNTIME_ERROR):
        return TestReport(ended.status, passed, total, last_line(ended) or first)
    return TestReport("wrong_answer", passed, total, first if ended.status is Status.OK else last_line(ended) or first)


def _converse(program: TestedProgram, spec: dict[str, Any]) -> tuple[Result, TestReport | list[Any]]:
    """The program's end, and the outcomes or what came instead."""
    held = program.converse([spec])
    if held.checker.status is Status.OK and held.answer is not None and held.answer[0] == "value":
        return held.program, held.answer[1][0]
    return held.program, _no_outcomes(held.checker, held.calls == 0, len(spec["tests"]), held.program)


def _no_outcomes(checker: Result, never_asked: bool, total: int, ended: Result | None = None) -> TestReport:
    """The checker ended without outcomes: before it asked for anything it is the tests that do not run."""
    detail = f"the tests ended with {checker.status}: {last_line(checker)}"
    if never_asked:
        return TestReport("broken_tests", 0, total, detail)
    if ended is not None and ended.status not in (Status.OK, Status.RUNTIME_ERROR):
        return TestReport(ended.status, 0, total, last_line(ended))
    return TestReport("wrong_answer", 0, total, detail)


def _replay(program: TestedProgram, spec: dict[str, Any]) -> tuple[Result, TestReport | list[Any]]:
    """`_converse` for a sandbox that can only run one thing at a time."""
    total = len(spec["tests"])
    checks = TestedProgram(checker_source(), program.sandbox, CHECK_TIMEOUT_S, CHECK_MEMORY_MB)
    known: list[list[Any]] = [[] for _ in spec["tests"]]
    ended = Result(Status.OK)
    for _ in range(MAX_PASSES):
        result, answer = checks.call("replay", [spec, known], {})
        if result.status is not Status.OK or answer is None or answer[0] != "value":
            return ended, _no_outcomes(result, not any(known), total)
        found, wanted = answer[1]
        if not wanted:
            return ended, found
        for number, entry, args, kwargs in wanted:
            result, made = program.call(entry, args, kwargs)
            if result.status is Status.OK:
                known[number].append(list(made) if made else None)
            elif result.status is Status.RUNTIME_ERROR:
                ended = result
                known[number].append(list(made) if made and made[0] == "raised" else None)
            else:
                return result, [("fail", last_line(result))] * total
    return ended, TestReport("broken_tests", 0, total, f"the tests make more than {MAX_PASSES} calls one after another")
