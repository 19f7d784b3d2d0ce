"""A program under test with its sandbox and limits: each way to run it, retried while the sandbox fails."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rewards import code_checks, code_compare, code_pytest
from sandbox import Result, Status
from sandbox.result import Conversation

# Infrastructure errors are retried on another worker this often before a completion is given up as ungradeable.
MAX_RETRIES = 2

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


class BrokenRunError(Exception):
    """The sandbox failed, again and again, so nothing is known about the program."""


@dataclass(frozen=True)
class TestedProgram:
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
        raise BrokenRunError(result.error)

    def converse(self, args: Sequence[Any]) -> Conversation:
        """The program beside a checker, which is called with ``args``; where the sandbox can do that."""
        limits: dict[str, Any] = {"timeout_s": self.timeout_s, "memory_mb": self.memory_mb}
        for _ in range(MAX_RETRIES + 1):
            held = self.sandbox.converse(self.code, checker_source(), args, **limits)  # type: ignore[attr-defined]
            broken = [end for end in (held.program, held.checker) if end.status is Status.INFRASTRUCTURE_ERROR]
            if not broken:
                return held
        raise BrokenRunError(broken[0].error)

    def call(self, entry: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Result, Answer]:
        """One call of one of its functions."""
        limits: dict[str, Any] = {"timeout_s": self.timeout_s, "memory_mb": self.memory_mb}
        for _ in range(MAX_RETRIES + 1):
            result, answer = self.sandbox.call(self.code, entry, args, kwargs, **limits)
            if result.status is not Status.INFRASTRUCTURE_ERROR:
                return result, answer
        raise BrokenRunError(result.error)


CHECKER = """
import sys, types
sys.modules["rewards"] = types.ModuleType("rewards")
for name, text in {modules!r}.items():
    module = types.ModuleType("rewards." + name)
    sys.modules[module.__name__] = module
    setattr(sys.modules["rewards"], name, module)
    exec(compile(text, name + ".py", "exec"), module.__dict__)

def check(spec):
    return module.check(program, spec)

def replay(spec, known):
    from sandbox import contest
    return module.check(module.Replay(known, contest.builtins_with(contest.customary_names())), spec)
"""


@functools.cache
def checker_source() -> str:
    """The text of a script that holds `code_checks` and what it needs."""
    modules = {
        module.__name__.rpartition(".")[2]: inspect.getsource(module)
        for module in (code_compare, code_pytest, code_checks)
    }
    return CHECKER.format(modules=modules)


def last_line(result: Result) -> str:
    """The last line of stderr, with control characters replaced, as it may be printed on a terminal."""
    line = result.stderr.rstrip().rpartition("\n")[2][:200]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
