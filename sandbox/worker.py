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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sandbox import codec
from sandbox.program import Program, memory_file, read_result, read_tail
from sandbox.result import Confinement, Result, SandboxUnavailableError

START_S = 60.0  # loading NumPy from a cold network file system
ANSWER_S = 20.0  # beyond the program's own limit, on a machine under heavy load
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
        with self.started(program) as files:
            return self.finish(program, files)[:2]

    @contextlib.contextmanager
    def started(self, program: Program, talking: Sequence[int] = ()) -> Iterator[list[int]]:
        """Starts the program, with the descriptors of a conversation; gives the files of its input and output.

        Raises:
            WorkerDiedError: The worker is lost.
        """
        self.num_programs += 1
        stdin = program.stdin if program.request is None else program.request
        files = [memory_file(program.code), memory_file(stdin), memory_file(), memory_file()]
        if program.request is not None:
            files.append(memory_file())
        try:
            limits = [program.timeout_s, program.cpu_s(), program.wall_s(), program.memory_mb, program.output_mb]
            header = json.dumps([program.kind, *limits, os.fstat(files[0]).st_size]).encode()
            try:
                socket.send_fds(self.control, [header], [*files, *talking])
            except OSError as error:
                raise WorkerDiedError(self.how_it_ended()) from error
            yield files
        finally:
            for descriptor in files:
                os.close(descriptor)

    def finish(self, program: Program, files: list[int]) -> tuple[Result, bytes, int]:
        """`run`'s result and bytes of a started program, and how many calls it was asked for."""
        report = self.receive(program.wall_s() + ANSWER_S)
        result = read_result(report, program, files[2], files[3], self.confinement)
        answer = read_tail(files[4], codec.MAX_BYTES + 1) if program.request is not None else b""
        return result, answer, report["calls"]

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


def interpreter() -> str:
    """The interpreter that workers run: this one."""
    if not sys.executable:
        raise SandboxUnavailableError("this Python does not know its own interpreter: pass python=...")
    return sys.executable
