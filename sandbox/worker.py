"""The trainer's end of one worker process: start it, give it a program, read what came back, replace it."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import codec
from sandbox.result import Confinement, Result, SandboxUnavailableError, Status

START_S = 60.0  # loading NumPy from a cold network file system
ANSWER_S = 20.0  # beyond the program's own limit, on a machine under heavy load
STDERR_BYTES = 64 << 10
REPLY_BYTES = 1 << 16
# Programs per worker, against slow leaks. Measured: none in 10,000.
MAX_PROGRAMS = 20_000

# A bare interpreter that only raises the soft stack limit and becomes the worker: the memory layout, and with it how
# far the main stack can ever grow, is fixed at exec.
STACK_BYTES = 1 << 30
RAISE_STACK = f"""
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
wanted = {STACK_BYTES} if hard == resource.RLIM_INFINITY else min({STACK_BYTES}, hard)
resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
os.execv(sys.argv[1], sys.argv[1:])
"""
# The package without its __init__, which loads what the trainer's end needs.
START = f"""
import sys, types
package = sys.modules["sandbox"] = types.ModuleType("sandbox")
package.__path__ = [{os.path.dirname(__file__)!r}]
from sandbox import zygote
zygote.main()
"""
# Threads and arenas would each take a share of the address space that a program is given.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the order of a set of strings is the same in every worker
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_MAIN_FREE": "1",
}


@dataclass(frozen=True)
class Program:
    """What to run, and its limits.

    Attributes:
        code: Python source.
        stdin: Its input.
        timeout_s: Wall time, and CPU time over all threads.
        memory_mb: Address space on top of the bare interpreter's.
        output_mb: Most that it may write to stdout, to stderr and to any one file.
        request: For a function call: entry, args and kwargs in `codec`'s form; None runs the source as a script.
    """

    code: str
    stdin: str = ""
    timeout_s: float = 10.0
    memory_mb: int = 512
    output_mb: int = 8
    request: str | None = None


class WorkerDiedError(Exception):
    """The worker process ended or stopped answering; says how."""


class Worker:
    """One worker process at ``level``, with the modules loaded that most programs import or ``everything``.

    Raises:
        SandboxUnavailableError: It did not start.
    """

    def __init__(self, level: int, python: str, directory: str | None, everything: bool) -> None:
        self.level, self.num_programs = level, 0
        self.base = tempfile.mkdtemp(prefix="r1zero-sandbox-", dir=directory)
        self.control, theirs = socket.socketpair()
        # A file and not a pipe: a worker that fails can say why, and no thread has to empty it meanwhile.
        self.errors = os.memfd_create("sandbox-errors", os.MFD_CLOEXEC)
        environment = dict(ENVIRONMENT)
        if "LD_LIBRARY_PATH" in os.environ:  # an interpreter in an unusual place may need it to start
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        command = [python, "-I", "-S", "-c", RAISE_STACK]
        command += [python, "-s", "-P", "-B", "-X", "utf8", "-c", START]
        try:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(level), self.base, "all" if everything else "most"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                env=environment,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C in the terminal is the trainer's to handle
            )
        except OSError as error:
            self.discard()
            raise SandboxUnavailableError(f"{python} does not start: {error.strerror}") from error
        finally:
            theirs.close()
        try:
            hello = self.receive(START_S)
        except WorkerDiedError as error:
            self.close()
            raise SandboxUnavailableError(f"a worker did not start: {error}") from error
        if "error" in hello:
            self.close()
            raise SandboxUnavailableError(hello["error"])
        self.confinement = Confinement(level, tuple(hello["layers"]), tuple(hello["missing"]))

    def pids(self) -> set[int]:
        """The worker's processes: itself and, at level 3, its child in the new namespaces."""
        pids = {self.process.pid}
        if self.level < 3:  # a child is then a program
            return pids
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
            pids |= {int(pid) for pid in children.split()}
        return pids

    def is_alive(self) -> bool:
        """Whether it still waits for work."""
        waiting = select.poll()  # unlike select(), for any number of descriptors
        waiting.register(self.control, select.POLLIN)
        return self.process.poll() is None and not waiting.poll(0)

    def run(self, program: Program) -> tuple[Result, bytes]:
        """The result, and what the program left in its result descriptor (empty without a request).

        Raises:
            WorkerDiedError: The worker is lost, and with it this run.
        """
        self.num_programs += 1
        stdin = program.stdin if program.request is None else program.request
        files = [memory_file(program.code), memory_file(stdin), memory_file(), memory_file()]
        if program.request is not None:
            files.append(memory_file())
        try:
            code_bytes = os.fstat(files[0]).st_size
            header = json.dumps([program.timeout_s, program.memory_mb, program.output_mb, code_bytes]).encode()
            try:
                socket.send_fds(self.control, [header], files)
            except OSError as error:
                raise WorkerDiedError(self.how_it_ended()) from error
            report = self.receive(program.timeout_s + ANSWER_S)
            result = read_result(report, program, files[2], files[3], self.confinement)
            answer = read_tail(files[4], codec.MAX_BYTES + 1) if program.request is not None else b""
            return result, answer
        finally:
            for descriptor in files:
                os.close(descriptor)

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The next report.

        Raises:
            WorkerDiedError: None came.
        """
        data, deadline = b"", time.monotonic() + timeout_s
        while not data.endswith(b"\n"):
            self.control.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part = self.control.recv(REPLY_BYTES)
            except TimeoutError as error:
                raise WorkerDiedError(f"no answer within {timeout_s:.0f} s") from error
            except OSError as error:
                raise WorkerDiedError(self.how_it_ended()) from error
            if not part:
                raise WorkerDiedError(self.how_it_ended())
            data += part
        return json.loads(data)

    def how_it_ended(self) -> str:
        """The exit code of the worker, and the end of what it wrote to stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        words = read_tail(self.errors, 2000).decode("utf-8", "replace").strip()
        return f"the worker ended with exit code {self.process.returncode}" + (f": {words}" if words else "")

    def close(self) -> None:
        """End the worker; what it runs is killed."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)  # closing alone does not wake a thread that waits for an answer
        try:
            self.process.wait(2.0)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.discard()

    def discard(self) -> None:
        """Give back what a worker leaves, however it ended."""
        self.control.close()
        if self.errors >= 0:
            os.close(self.errors)
            self.errors = -1
        if os.path.isdir(os.path.join(self.base, "tmp")):
            # Only a killed worker leaves it. In another process, as the tree may be hostile.
            for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf", "--"]):
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    subprocess.run([*command, self.base], stderr=subprocess.DEVNULL, check=False, timeout=30)
        shutil.rmtree(self.base, ignore_errors=True)


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
    ended_itself = status is not Status.INFRASTRUCTURE_ERROR and not {"timeout", "overfull"} & set(report["events"])
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
    if "error" in report:
        return Status.INFRASTRUCTURE_ERROR
    if full:
        return Status.OUTPUT_LIMIT
    if "timeout" in events or exit_code == -signal.SIGXCPU:
        return Status.TIMEOUT
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


def interpreter() -> str:
    """The interpreter that workers run: this one."""
    if not sys.executable:
        raise SandboxUnavailableError("this Python does not know its own interpreter: pass python=...")
    return sys.executable
