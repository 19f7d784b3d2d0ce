"""What comes back from a program: how it ended, what it wrote, and how it was held."""

import enum
from dataclasses import dataclass
from typing import Any


class Status(enum.StrEnum):
    """How a run ended. Only INFRASTRUCTURE_ERROR says nothing about the program."""

    OK = "ok"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    RUNTIME_ERROR = "runtime_error"
    COMPILE_ERROR = "compile_error"
    SECURITY_VIOLATION = "security_violation"
    INFRASTRUCTURE_ERROR = "infrastructure_error"


class SandboxUnavailableError(RuntimeError):
    """This machine cannot hold model-written code at the level asked for; the message says what is missing."""


@dataclass(frozen=True)
class Confinement:
    """What holds the programs of a sandbox.

    Attributes:
        level: 3 (namespaces too), 2 (Landlock and seccomp), 1 (seccomp alone); 0 for a remote service.
        layers: The layers in force, such as "landlock abi 7".
        missing: Layers that could not be had, each with its reason.
    """

    level: int
    layers: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One run of one program.

    Attributes:
        status: How it ended. The exit code OK stands for is the program's own claim: never evidence that it is right.
        stdout, stderr: UTF-8 with replacement characters; cut at the output limit, stderr to its last 64 KiB.
        exit_code: As in `subprocess` (negative: ended by that signal); None when a limit or the sandbox ended it.
        cpu_s, wall_s: Time used.
        max_rss_mb: Peak resident memory, the interpreter's share included.
        truncated: Output was lost at the output limit.
        confinement: What held it.
        error: For INFRASTRUCTURE_ERROR: what broke.
    """

    status: Status
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    max_rss_mb: float = 0.0
    truncated: bool = False
    confinement: Confinement = Confinement(0, (), ())
    error: str = ""


@dataclass(frozen=True)
class Conversation:
    """What came of a program and of the checker that called its functions.

    Attributes:
        program, checker: How each ended.
        answer: ("value", v) of the checker, or what else `sandbox.codec.read_answer` says.
        calls: How often the program was asked.
    """

    program: Result
    checker: Result
    answer: tuple[str, Any] | None
    calls: int
