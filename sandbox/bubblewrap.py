"""Programs under bubblewrap: an interpreter for each, in namespaces of its own.

Slower than `sandbox.Sandbox` and not available where namespaces are not (Docker's default), but the program may start
processes. Hardened: bubblewrap itself starts with an empty environment (its process 1 keeps it), no /proc, another user
id, no capabilities, a seccomp filter, and limits that the first lines of the script set before any model code.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox import codec, seccomp
from sandbox.program import Program, classify, memory_file, read_tail
from sandbox.result import Confinement, Result, SandboxUnavailableError, Status
from sandbox.script import call_script
from sandbox.worker import interpreter
from sandbox.zygote import read_paths

OUTPUT_MB = 8
NOBODY = "65534"
FIRST_UID = 10**9  # above those of the system's users
STATUS_BYTES = 4096
# 256 MB for the address space of the interpreter itself, NumPy and its libraries.
LIMITS = """import resource, signal
def limit(name, value): resource.setrlimit(name, (value, value))
limit(resource.RLIMIT_AS, {memory_mb} + 256 << 20)
limit(resource.RLIMIT_FSIZE, {output_mb} << 20)
limit(resource.RLIMIT_NPROC, 64)
limit(resource.RLIMIT_NOFILE, 64)
limit(resource.RLIMIT_CORE, 0)
limit(resource.RLIMIT_CPU, {cpu_s})
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
del limit, resource, signal
"""
RUN = """import sys
source = open({code}, encoding="utf-8", errors="surrogateescape").read()
exec(compile(source, "solution.py", "exec"), {{"__name__": "__main__"}})
"""


class BubblewrapSandbox:
    """Runs Python programs under ``bwrap``.

    Args:
        bwrap: The program; None searches the PATH.
        timeout_s, memory_mb: Limits of a program for which `run` gives none.

    Raises:
        SandboxUnavailableError: bubblewrap is not there or does not start.
    """

    def __init__(self, bwrap: str | None = None, timeout_s: float = 10.0, memory_mb: int = 512) -> None:
        found = bwrap or shutil.which("bwrap")
        if found is None:
            raise SandboxUnavailableError("bubblewrap: no bwrap in the PATH. Install it (apt install bubblewrap).")
        self.bwrap, self.timeout_s, self.memory_mb = found, timeout_s, memory_mb
        self.python = interpreter()
        self.arguments = self._arguments()
        layers = ("bubblewrap (user, pid, net, mount, ipc, uts)", "seccomp", "rlimits")
        per_process = "limit on memory and time of all processes together: each has its own"
        # The kernel does not limit the number of root's processes. Another user may not read the interpreter.
        for self.as_own_user in (True, False) if os.geteuid() == 0 else (False,):
            uncounted = os.geteuid() == 0 and not self.as_own_user
            root = ("limit on processes: started by root, whom the kernel does not count",) if uncounted else ()
            self.confinement = Confinement(3, layers, (*root, per_process))
            trial = self.run("print(6)", timeout_s=30.0)
            if trial.stdout == "6\n":
                return
        raise SandboxUnavailableError(f"bubblewrap does not start here: {trial.error or trial.stderr[-500:]}")

    def _arguments(self) -> list[str]:
        options = "--unshare-user --unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL".split()
        options += ["--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox"]
        options += ["--dev", "/dev", "--size", str(64 << 20), "--tmpfs", "/tmp", "--chdir", "/tmp"]
        binaries = {os.path.dirname(os.path.realpath(self.python)), os.path.dirname(self.python)}
        configuration = Path(sys.prefix) / "pyvenv.cfg"
        for path in [*read_paths(), *sorted(binaries), *([str(configuration)] if configuration.exists() else [])]:
            options += ["--ro-bind", path, path]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "OPENBLAS_NUM_THREADS": "1"}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        for key, value in environment.items():
            options += ["--setenv", key, value]
        # Both are file systems in memory that have no limit of their own; /tmp has one.
        return [*options, "--remount-ro", "/dev", "--remount-ro", "/"]

    def run(
        self, code: str, stdin: str = "", *, timeout_s: float | None = None, memory_mb: int | None = None
    ) -> Result:
        """Run ``code`` as a script."""
        source = memory_file(code)
        try:
            return self._start(RUN.format(code=source), stdin, timeout_s, memory_mb, [source])
        finally:
            os.close(source)

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
        """Run ``code`` and then ``entry(*args, **kwargs)``, as `sandbox.Sandbox.call`."""
        request = codec.encode({"code": code, "entry": entry, "args": list(args), "kwargs": dict(kwargs or {})})
        answer = memory_file()
        try:
            result = self._start(call_script(answer), request, timeout_s, memory_mb, [answer])
            return result, codec.read_answer(read_tail(answer, codec.MAX_BYTES + 1))
        finally:
            os.close(answer)

    def _start(
        self, script: str, stdin: str, timeout_s: float | None, memory_mb: int | None, passed: list[int]
    ) -> Result:
        program = Program(script, stdin, timeout_s or self.timeout_s, memory_mb or self.memory_mb, OUTPUT_MB)
        limits = LIMITS.format(memory_mb=program.memory_mb, output_mb=OUTPUT_MB, cpu_s=int(program.timeout_s) + 2)
        files = [memory_file(limits + script), memory_file(stdin), memory_file(), memory_file()]
        ending = memory_file()  # where bubblewrap writes how the program ended; the program cannot write there
        rules = os.memfd_create("filter", os.MFD_CLOEXEC)
        os.write(rules, seccomp.tool_filter())
        os.lseek(rules, 0, os.SEEK_SET)
        command = [self.bwrap, *self.arguments, "--seccomp", str(rules), "--json-status-fd", str(ending)]
        command += [self.python, "-I", "-B", "-X", "utf8", "-c", f"exec(open({files[0]}, encoding='utf-8').read())"]
        # A user of its own, so that it shares its limit with nobody.
        uid = FIRST_UID + secrets.randbelow(FIRST_UID) if self.as_own_user else None
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdin=files[1],
                stdout=files[2],
                stderr=files[3],
                env={},
                pass_fds=[files[0], rules, ending, *passed],
                start_new_session=True,
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
            )
            try:
                exit_code, events = process.wait(program.timeout_s), []
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                exit_code, events = process.wait(), ["timeout"]
            ended = bool(events) or b'"exit-code"' in read_tail(ending, STATUS_BYTES)
            return self._result(program, exit_code, events, files, ended, time.monotonic() - started)
        except OSError as error:
            return Result(Status.INFRASTRUCTURE_ERROR, confinement=self.confinement, error=f"bubblewrap: {error}")
        finally:
            for descriptor in (*files, rules, ending):
                os.close(descriptor)

    def _result(
        self, program: Program, exit_code: int, events: list[str], files: list[int], ended: bool, wall_s: float
    ) -> Result:
        limit = program.output_mb << 20
        stderr = read_tail(files[3], 64 << 10).decode("utf-8", "replace")
        if exit_code > 128:  # bubblewrap's way to say that the program ended by a signal
            exit_code = 128 - exit_code
        full = max(os.fstat(files[2]).st_size, os.fstat(files[3]).st_size) >= limit
        report: dict[str, Any] = {"exit_code": exit_code, "events": events, "stage": "compiled"}
        if not ended:
            report["error"] = f"bubblewrap did not run it: exit code {exit_code}: {stderr.strip()[:500]}"
        return Result(
            status=classify(report, stderr, full),
            stdout=os.pread(files[2], limit, 0).decode("utf-8", "replace"),
            stderr=stderr,
            exit_code=None if events else exit_code,
            wall_s=wall_s,
            truncated=full,
            confinement=self.confinement,
            error=report.get("error", ""),
        )
