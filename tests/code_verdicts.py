"""Verdicts on programs by assert tests."""

from typing import Any

from rewards import Verdict
from rewards.code_tests import CodeTests, run_tests, verdict
from sandbox import Sandbox


def judge(code: str, tests: list[str], sandbox: Sandbox, entry: str = "f", **more: Any) -> Verdict:
    """The verdict on a program by assert tests."""
    spec = CodeTests.parse({"type": "assert", "entry": entry, "tests": tests, **more})
    return verdict(run_tests(code, spec, sandbox, 20, 512), "all")
