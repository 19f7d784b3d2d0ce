"""`Sandbox`: a pool of workers on this machine, for callers in many threads."""

import contextlib
import dataclasses
import logging
import math
import os
import queue
import re
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sandbox import codec, selftest
from sandbox.levels import DEFAULT_MIN_LEVEL, LEVEL_VARIABLE, LEVELS, requested_level
from sandbox.preloaded import PRELOADED_TOO
from sandbox.program import Program
from sandbox.result import Confinement, Conversation, Result, SandboxUnavailableError, Status
from sandbox.worker import MAX_PROGRAMS, Worker, WorkerDiedError, interpreter

log = logging.getLogger(__name__)

# Programs that name such a module run in a worker that has it loaded; the others in one that forks faster.
NEEDS_MORE = re.compile(rf"\b(?:{'|'.join({name.partition('.')[0] for name in PRELOADED_TOO})})\b")
# The workers of one place, by what they run ("program" or "checker") and whether everything is loaded in them.
Place = dict[tuple[str, bool], Worker]
Answer = TypeVar("Answer")
_BROKEN = (WorkerDiedError, SandboxUnavailableError, OSError)


class Sandbox:
    """Runs Python programs that nobody has read, ``workers`` at a time.

    Starting one takes about half a second and includes a self-test: programs that try to escape. The level is the
    highest that this machine allows; see sandbox/README.md.

    Args:
        workers: Programs at a time; None for one a CPU core.
        level: Use exactly this one; None for what R1ZERO_SANDBOX_LEVEL says, else for the highest there is.
        min_level: Refuse to start below it, whatever asks for less. 1 accepts seccomp alone, where programs cannot open
            files. None for 2, or for the level that is asked for.
        timeout_s, memory_mb, output_mb: Limits of a program for which `run` gives none, see `Program`.
        python: Interpreter of the programs; None for this one.
        directory: Where scratch directories are made; None for the system's.

    Raises:
        SandboxUnavailableError: The machine does not allow the level, or the self-test got out.
    """

    def __init__(
        self,
        workers: int | None = None,
        level: int | None = None,
        min_level: int | None = None,
        timeout_s: float = 10.0,
        memory_mb: int = 1024,
        output_mb: int = 8,
        python: str | None = None,
        directory: str | None = None,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailableError(
                f"sandbox: {sys.platform} has neither seccomp nor Landlock. Train in a Linux container or virtual "
                "machine, or point the HTTP backend (sandbox.fusion) at a server that runs programs for you."
            )
        self.limits = {"timeout_s": timeout_s, "memory_mb": memory_mb, "output_mb": output_mb}
        self.python, self.directory = python or interpreter(), directory
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self.closed = False
        first = self._start_highest(requested_level(level), min_level)
        self.level, self.confinement = first.level, self._describe(first)
        # One place for each program that may run at a time. Its workers are started when they are first needed.
        self.idle: queue.LifoQueue[Place] = queue.LifoQueue()
        self.alive: set[Worker] = {first}
        for _ in range((workers or len(os.sched_getaffinity(0))) - 1):
            self.idle.put({})
        self.idle.put({("program", True): first})
        try:
            selftest.check(self)
        except BaseException:  # Ctrl-C too: no one else knows of the workers
            self.close()
            raise

    def _start_highest(self, level: int | None, min_level: int | None) -> Worker:
        """The first worker, at the highest level that works; remembers why the levels above do not."""
        self.unavailable: list[str] = []
        if min_level is None:
            min_level = level or DEFAULT_MIN_LEVEL
        if level is not None and level < min_level:
            raise SandboxUnavailableError(
                f"sandbox: level {level} was asked for (level= or {LEVEL_VARIABLE}), and min_level = {min_level} "
                "forbids it: change one of them."
            )
        for candidate in LEVELS if level is None else (level,):
            if candidate < min_level:
                break
            try:
                return Worker(candidate, self.python, self.directory, everything=True)
            except SandboxUnavailableError as error:
                self.unavailable.append(f"level {candidate}: {error}")
        raise SandboxUnavailableError(
            "sandbox: no sufficient level here. "
            + "; ".join(self.unavailable)
            + ". `python -m sandbox.doctor` explains."
            + (" min_level=1 would accept seccomp alone." if min_level > 1 and level is None else "")
        )

    def _describe(self, worker: Worker) -> Confinement:
        """The confinement of a worker, with the reasons why there is no higher level."""
        held = worker.confinement
        return Confinement(held.level, held.layers, (*self.unavailable, *held.missing))

    def run(
        self,
        code: str,
        stdin: str = "",
        *,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
        output_mb: int | None = None,
    ) -> Result:
        """Run ``code`` as a script. Never raises for what the program does; safe to call from many threads."""
        return self._run(self._program(code, stdin, None, timeout_s, memory_mb, output_mb))[0]

    def call(
        self,
        code: str,
        entry: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
    ) -> tuple[Result, Any]:
        """Run ``code`` and then ``entry(*args, **kwargs)``; the result and what came of the call.

        That is ``("value", v)`` with a plain value, ``("raised", name)`` with a builtin exception's name, or None when
        the process gave no readable answer. Only a status of OK with a value is an answer; the process can forge the
        value, as it could have returned it.
        """
        request = codec.encode({"entry": entry, "args": list(args), "kwargs": dict(kwargs or {})})
        program = self._program(code, "", request, timeout_s, memory_mb, None)
        result, data = self._run(dataclasses.replace(program, kind="call"))
        return result, codec.read_answer(data)

    def converse(
        self,
        code: str,
        checker: str,
        args: Sequence[Any],
        *,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
        checker_s: float = 30.0,
        checker_mb: int = 1024,
    ) -> Conversation:
        """Run ``code``, and beside it the function ``check`` of ``checker``, which may call its functions.

        The two are processes of different workers; `sandbox.conversation` is how they talk. ``checker`` is trusted text
        and finds a `sandbox.conversation.Program` under the name ``program``.
        """
        request = codec.encode({"entry": "check", "args": list(args), "kwargs": {}})
        served = dataclasses.replace(self._program(code, "", None, timeout_s, memory_mb, None), kind="serve")
        asking = self._program(checker, "", request, checker_s, checker_mb, None)
        asking = dataclasses.replace(asking, kind="check", waits_s=served.wall_s())
        everything = self._needs_everything(code + request)

        def talk(workers: Place) -> Conversation:
            ours, theirs = socket.socketpair()
            told, tells = os.pipe()
            worker, other = self._healthy(workers, "program", everything), self._healthy(workers, "checker", everything)
            with contextlib.ExitStack() as stack:
                with ours, theirs:
                    try:
                        served_files = stack.enter_context(worker.started(served, [theirs.fileno(), told]))
                        asking_files = stack.enter_context(other.started(asking, [ours.fileno(), tells]))
                    finally:
                        os.close(told)
                        os.close(tells)
                checked, data, _ = other.finish(asking, asking_files)
                result, _, calls = worker.finish(served, served_files)
            return Conversation(result, checked, codec.read_answer(data), calls)

        try:
            return self._at_a_place(talk)
        except _BROKEN as error:
            broken = self._broken(error)
            return Conversation(broken, broken, None, 0)

    def _program(
        self,
        code: str,
        stdin: str,
        request: str | None,
        timeout_s: float | None,
        memory_mb: int | None,
        output_mb: int | None,
    ) -> Program:
        """The program with its limits; this sandbox's own where none is given."""
        given = {"timeout_s": timeout_s, "memory_mb": memory_mb, "output_mb": output_mb}
        limits: dict[str, Any] = {key: self.limits[key] if value is None else value for key, value in given.items()}
        for key, value in limits.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{key} = {value}: a limit must be a number above 0.")
        return Program(code, stdin, request=request, **limits)

    def _run(self, program: Program) -> tuple[Result, bytes]:
        """The result and what a call left to be read by `codec`, from the first place that is free."""
        everything = self._needs_everything(program.code)
        try:
            result, answer = self._at_a_place(
                lambda workers: self._healthy(workers, "program", everything).run(program)
            )
        except _BROKEN as error:
            return self._broken(error), b""
        if result.status is Status.INFRASTRUCTURE_ERROR:
            log.warning("sandbox: %s", result.error)
        return result, answer

    def _needs_everything(self, text: str) -> bool:
        """Whether a worker must have all modules loaded: at level 1, what is not loaded cannot be imported."""
        return self.level == 1 or NEEDS_MORE.search(text) is not None

    def _broken(self, error: Exception) -> Result:
        """The result where a worker was lost."""
        log.warning("sandbox: %s", error)
        return Result(Status.INFRASTRUCTURE_ERROR, confinement=self.confinement, error=str(error))

    def _at_a_place(self, use: Callable[[Place], Answer]) -> Answer:
        """What comes of using the first place that is free; its workers are retired when that fails."""
        if self.closed:
            raise RuntimeError("this Sandbox is closed")
        if os.getpid() != self.owner:
            raise RuntimeError("this Sandbox was made before a fork: make one in each process that runs programs")
        workers = self.idle.get()
        try:
            return use(workers)
        except BaseException:  # Ctrl-C: a worker may still run this program, and would answer the next with it
            for worker in workers.values():
                self._retire(worker)
            workers.clear()
            raise
        finally:
            self.idle.put(workers)

    def _healthy(self, workers: Place, role: str, everything: bool) -> Worker:
        """The worker of this place for a role, with everything loaded or not; a fresh one if it died or is old.

        A worker that runs checkers never runs the program of a model, so that nothing can be left there for them.
        """
        worker = workers.get((role, everything))
        if worker is not None and worker.num_programs < MAX_PROGRAMS and worker.is_alive():
            return worker
        self._retire(workers.pop((role, everything), None))
        if self.closed:
            raise WorkerDiedError("this Sandbox was closed meanwhile")
        fresh = Worker(self.level, self.python, self.directory, everything)
        fresh.confinement = self.confinement
        workers[role, everything] = fresh
        with self.lock:
            self.alive.add(fresh)
        return fresh

    def _retire(self, worker: Worker | None) -> None:
        """Kill a worker and forget it."""
        if worker is not None:
            with self.lock:
                self.alive.discard(worker)
            worker.process.kill()
            worker.close()

    def pids(self) -> set[int]:
        """Process ids of the workers."""
        with self.lock:
            return {pid for worker in self.alive for pid in worker.pids()}

    def close(self) -> None:
        """End all workers. Programs that run are killed."""
        self.closed = True
        for worker in list(self.alive):
            worker.close()
        self.alive.clear()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
