"""The process that runs one program: it restricts itself first, and only then reads, compiles and runs the text.

The order matters. User id and capabilities go before Landlock and the filters, and the parent is told of each stage
("L" locked in, "C" compiled) over a socket that is closed before the first line of the program runs.
"""

import atexit
import builtins
import os
import resource
import socket
import struct
import sys
import threading
import traceback
import types
from dataclasses import dataclass
from typing import Any

from sandbox import codec, contest, conversation, landlock, linux, serving

MAX_DESCRIPTORS = 40
SETUP_FAILED = 70  # EX_SOFTWARE


@dataclass
class Jail:
    """What a worker has prepared for its programs.

    Attributes:
        ruleset: Landlock ruleset; None at level 1.
        watch_filter, main_filter: BPF in ctypes buffers; `watch_filter` is None where the kernel has no notifications.
        pid_places: Offsets in `main_filter` that take the program's pid.
        uid: A user id that nothing else has; None when the worker may not change it.
        keep_effective_uid: Change only the real user id, because nobody else can read the interpreter's files.
        private_uid: Whether RLIMIT_NPROC counts this program's threads alone.
        base_bytes: Address space that a program starts with.
        max_threads: Threads a program may have.
        worker: The worker's process id, as its programs see it.
        names: What function-style programs use without importing it.
    """

    ruleset: int | None
    watch_filter: Any
    main_filter: Any
    pid_places: list[int]
    uid: int | None
    keep_effective_uid: bool
    private_uid: bool
    base_bytes: int
    max_threads: int
    worker: int
    names: dict[str, Any]


# The descriptors that come with each kind of job, after those of every job.
STANDARD = ("code", "stdin", "stdout", "stderr")
FURTHER = {"run": (), "call": ("result",), "serve": ("channel", "beats"), "check": ("result", "channel", "beats")}


@dataclass(frozen=True)
class Job:
    """One program, its limits, and the descriptors that it came with.

    Attributes:
        kind: ``run`` a script, ``call`` one of its functions, ``serve`` them to another process (`conversation`), or
            ``check``, which is called too and is that other process.
        timeout_s: Time that it may work, or wait for nobody's work but its own; for ``serve`` in one call.
        cpu_s: CPU time in all.
        wall_s: Wall time in all, however busy the machine is.
        memory_mb, output_mb, code_bytes: Address space, output, size of the text.
        result: Where `call` writes.
        channel, beats: See `sandbox.conversation`.
    """

    kind: str
    timeout_s: float
    cpu_s: float
    wall_s: float
    memory_mb: int
    output_mb: int
    code_bytes: int
    code: int
    stdin: int
    stdout: int
    stderr: int
    result: int | None = None
    channel: int | None = None
    beats: int | None = None

    @classmethod
    def received(cls, header: list[Any], descriptors: list[int]) -> "Job":
        """The job of a header and the descriptors that came with it."""
        named: dict[str, Any] = dict(zip(STANDARD + FURTHER[header[0]], descriptors, strict=True))
        return cls(*header, **named)

    def kept(self) -> set[int]:
        """The descriptors that the program itself holds."""
        held = (self.result, self.channel, self.beats if self.kind == "check" else None)
        return {descriptor for descriptor in held if descriptor is not None}


def become(jail: Jail, job: Job, stage: socket.socket) -> None:
    """Lock this process in, run the program, end. Does not return."""
    try:
        text = lock_in(jail, job, stage)
    except BaseException as error:
        os.write(stage.fileno(), f"E{type(error).__name__}: {error}".encode()[:2000])
        os._exit(SETUP_FAILED)
    leave = os._exit
    exit_code = 1
    try:
        exit_code = main(text, stage.fileno(), job, jail.names)
    finally:
        while True:
            leave(exit_code)


def lock_in(jail: Jail, job: Job, stage: socket.socket) -> str:
    """Everything between the fork and the program; returns the program's text."""
    os.setsid()
    for place, descriptor in enumerate((job.stdin, job.stdout, job.stderr)):
        os.dup2(descriptor, place)
    text = os.pread(job.code, job.code_bytes, 0).decode("utf-8", "surrogatepass")
    set_limits(jail, job)
    drop_privileges(jail)
    linux.die_with_parent()
    if os.getppid() != jail.worker:
        raise ProcessLookupError("the worker ended meanwhile")
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if jail.ruleset is not None:
        landlock.restrict_self(jail.ruleset)
    close_others({stage.fileno()} | job.kept())
    if jail.watch_filter is not None:
        listener = linux.install_filter(jail.watch_filter, listener=True)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", listener))
        stage.sendmsg([b"N"], [rights])
        os.close(listener)
    pid = os.getpid()
    for place in jail.pid_places:
        struct.pack_into("=I", jail.main_filter, place, pid)
    linux.install_filter(jail.main_filter)
    os.write(stage.fileno(), b"L")
    return text


def set_limits(jail: Jail, job: Job) -> None:
    """Kernel limits on this process, beyond those of the worker. Wall and CPU time are the supervisor's first."""
    setrlimit = resource.setrlimit
    memory = job.memory_mb << 20
    address_space = jail.base_bytes + memory
    output = job.output_mb << 20
    cpu_s = int(job.cpu_s) + 2
    setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    setrlimit(resource.RLIMIT_FSIZE, (output, output))
    setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))
    if jail.private_uid:
        threads = jail.max_threads + 8  # in a user namespace of our own, the worker counts too
        setrlimit(resource.RLIMIT_NPROC, (threads, threads))


def drop_privileges(jail: Jail) -> None:
    """A user id of its own where possible, and no capabilities. The group is the worker's, which has changed it."""
    if jail.uid is not None:
        kept = -1 if jail.keep_effective_uid else jail.uid
        os.setresuid(jail.uid, kept, kept)
    linux.drop_capabilities()


def close_others(kept: set[int]) -> None:
    """Close every descriptor from 3 up, but those."""
    first = 3
    for descriptor in sorted(kept):
        if descriptor > first:
            linux.close_range(first, descriptor - 1)
        first = descriptor + 1
    linux.close_from(first)


def main(text: str, stage: int, job: Job, names: dict[str, Any]) -> int:
    """Compile and run; returns the exit code. From here on nothing is trusted."""
    request = codec.decode(sys.stdin.read()) if job.kind in ("call", "check") else None
    module = types.ModuleType("__main__" if job.kind == "run" else "solution")
    module.__dict__["__builtins__"] = builtins
    if job.kind in ("call", "serve"):
        module.__dict__["__builtins__"] = contest.builtins_with(names)
        sys.setrecursionlimit(contest.FUNCTION_RECURSION)
    if job.kind == "check" and job.channel is not None and job.beats is not None:
        module.__dict__["program"] = conversation.Program(job.channel, job.beats, contest.builtins_with(names))
    sys.modules[module.__name__] = module
    try:
        text = contest.place(text, module.__dict__)
        code = compile(text, contest.FILE_NAME, "exec", dont_inherit=True)
    except BaseException as error:
        traceback.print_exception(type(error), error, None)
        sys.stderr.flush()
        return 1
    del text
    os.write(stage, b"C")
    os.close(stage)
    if job.kind == "serve":
        return serve(code, module.__dict__, job.channel)
    write, truncate, encode = os.pwrite, os.ftruncate, codec.encode
    answer = None
    try:
        exec(code, module.__dict__)
        if request is not None:
            answer = ["v", call(module.__dict__, request)]
        exit_code = 0
    except SystemExit as leaving:
        exit_code = exit_code_of(leaving)
    except BaseException as error:
        answer = ["e", exception_name(error)]
        exit_code = 1
        report(error)
    exit_code = finish() or exit_code
    if job.result is not None and answer is not None:
        data = encode(answer).encode()
        truncate(job.result, 0)
        write(job.result, data, 0)
    return exit_code


def serve(code: types.CodeType, namespace: dict[str, Any], channel: Any) -> int:
    """Run the program, then answer what is asked of its functions until nobody asks."""
    server, failed = serving.Server(namespace, channel), None
    try:
        exec(code, namespace)
    except BaseException as error:
        failed = error
        report(error)
    server.serve(failed)
    return 0


def call(namespace: dict[str, Any], request: dict[str, Any]) -> Any:
    """The value of the function that the request names."""
    return serving.find(namespace, request["entry"])(*request["args"], **request["kwargs"])


def exception_name(error: BaseException) -> str:
    """The nearest builtin class of the exception."""
    for base in type(error).__mro__:
        if base.__module__ == "builtins":
            return base.__name__
    return "BaseException"


def exit_code_of(leaving: SystemExit) -> int:
    """The exit code of `sys.exit(...)`, as the interpreter reads it."""
    if leaving.code is None or isinstance(leaving.code, int):
        return (leaving.code or 0) & 0xFF
    print(leaving.code, file=sys.stderr)
    return 1


def report(error: BaseException) -> None:
    """The traceback, without the frames of this file."""
    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        traceback.print_exception(type(error), error, frames)
    except BaseException as second:
        os.write(2, f"{type(error).__name__} (and {type(second).__name__} while reporting it)\n".encode())


def finish() -> int:
    """What the interpreter does at its end: wait for threads, run exit functions, flush. 120 when that fails."""
    exit_code = 0
    wait_for_threads = threading._shutdown  # type: ignore[attr-defined]
    for step in (wait_for_threads, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        try:
            step()
        except SystemExit as leaving:
            exit_code = exit_code_of(leaving)
        except BaseException as error:
            report(error)
            exit_code = 120
    return exit_code
