"""A program to run with its limits, the files it reads and writes, and what its end is called."""

import os
import signal
from dataclasses import dataclass
from typing import Any

from sandbox.result import Confinement, Result, Status

STDERR_BYTES = 64 << 10
# A program may take this much longer in wall time than in CPU time. Then the machine is too busy to say anything.
PATIENCE, PATIENCE_S = 10.0, 30.0
# All calls of one conversation have this much time together, or ten times the limit of one.
CALLS_S = 60.0


@dataclass(frozen=True)
class Program:
    """What to run, and its limits.

    Attributes:
        code: Python source.
        stdin: Its input.
        timeout_s: CPU time over all threads, and wall time less the time in which no core was free for it.
        memory_mb: Address space on top of the bare interpreter's.
        output_mb: Most that it may write to stdout, to stderr and to any one file.
        request: For a function call: entry, args and kwargs in `codec`'s form; None runs the source as a script.
        kind: See `sandbox.child.Job`.
        waits_s: Wall time that it may wait for the other end of a conversation, on top of its own.
    """

    code: str
    stdin: str = ""
    timeout_s: float = 10.0
    memory_mb: int = 512
    output_mb: int = 8
    request: str | None = None
    kind: str = "run"
    waits_s: float = 0.0

    def cpu_s(self) -> float:
        """CPU time in all: a program that answers calls has its limit for each of them."""
        return self.timeout_s if self.kind != "serve" else max(CALLS_S, 10 * self.timeout_s)

    def wall_s(self) -> float:
        """Wall time in all, on the busiest machine."""
        return PATIENCE * self.cpu_s() + PATIENCE_S + self.waits_s


def memory_file(text: str = "") -> int:
    """A descriptor of a file in memory that holds ``text``."""
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    data = memoryview(text.encode("utf-8", "surrogatepass"))
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def read_tail(descriptor: int, max_bytes: int) -> bytes:
    """The last ``max_bytes`` of a file."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, max_bytes, max(0, size - max_bytes))


def read_result(report: dict[str, Any], program: Program, stdout: int, stderr: int, confinement: Confinement) -> Result:
    """The result of a run, from the worker's report and the two output files."""
    limit = program.output_mb << 20
    full = os.fstat(stdout).st_size >= limit or os.fstat(stderr).st_size >= limit
    errors = read_tail(stderr, STDERR_BYTES).decode("utf-8", "replace")
    status = classify(report, errors, full)
    ended_itself = status is not Status.INFRASTRUCTURE_ERROR and not {"timeout", "overfull", "released"} & set(
        report["events"]
    )
    return Result(
        status=status,
        stdout=os.pread(stdout, limit, 0).decode("utf-8", "replace"),
        stderr=errors,
        exit_code=report["exit_code"] if ended_itself else None,
        cpu_s=report["cpu_s"],
        wall_s=report["wall_s"],
        max_rss_mb=report["max_rss_mb"],
        truncated=full,
        confinement=confinement,
        error=report.get("error", ""),
    )


def classify(report: dict[str, Any], stderr: str, full: bool) -> Status:
    """The status. What the program wrote only decides which failure it is called, never whether it failed."""
    exit_code, events = report["exit_code"], report["events"]
    if "starved" in events:
        report["error"] = f"{report['cpu_s']:.1f} s of CPU time in {report['wall_s']:.0f} s: the machine is too busy"
    if "error" in report:
        return Status.INFRASTRUCTURE_ERROR
    if full:
        return Status.OUTPUT_LIMIT
    if "timeout" in events or exit_code == -signal.SIGXCPU:
        return Status.TIMEOUT
    if "released" in events:
        return Status.OK
    if exit_code == -signal.SIGSYS:
        return Status.SECURITY_VIOLATION
    if report["stage"] == "locked in":
        return Status.COMPILE_ERROR
    if exit_code == 0:
        return Status.OK
    last_line = stderr.rstrip().rpartition("\n")[2]
    if exit_code == -signal.SIGXFSZ or {"disk", "overfull"} & set(events) or "[Errno 28]" in last_line:
        return Status.DISK_LIMIT
    if "threads" in events or "[Errno 11]" in last_line or "can't start new thread" in last_line:
        return Status.PROCESS_LIMIT
    if "MemoryError" in last_line or "[Errno 12]" in last_line:
        return Status.MEMORY_LIMIT
    return Status.RUNTIME_ERROR
