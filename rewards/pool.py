"""Worker processes that are killed when they overrun, so that a judge can neither hang nor crash its caller.

`Pool("module:function").call(value, deadline_s)` runs the function on a JSON value in another process and says how that
went. No signals and no `multiprocessing` in the caller, and no thread but one that waits for the helper to end: it
works off the main thread, in forked children (which start workers of their own), beside CUDA, and never imports the
caller's `__main__`.

A helper process imports `preload` once and forks workers from there, so a killed worker is replaced in milliseconds.
The helper owns the workers: it kills and reaps them, and all of them when the caller is gone. Workers have limits on
address space and on processor time, and their standard output goes nowhere. This is protection against expensive input,
not a sandbox: the function must be trusted, its input need not be.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewards.pool_messages import HEADER, GoneError, LateError, Status, receive, send

MAX_CALLS_PER_WORKER = 10_000  # then it is replaced: caches grow
HELPER_START_S = 30.0  # importing `preload` on a loaded machine; paid once, and not out of a call's deadline


@dataclass(frozen=True)
class Result:
    """What a call gave: ``value`` is the function's value for OK, a message for ERROR, else None."""

    status: Status
    value: Any = None


@dataclass
class _Worker:
    channel: socket.socket
    pid: int
    calls: int = 0


class Pool:
    """Up to ``size`` workers, started when they are needed; one call in flight per worker.

    Args:
        target: ``module:function``; takes and returns a JSON value.
        preload: Modules that the helper imports before it forks.
        size: Largest number of workers.
        memory_mb: Address space of a worker.
    """

    def __init__(self, target: str, preload: tuple[str, ...] = (), size: int = 2, memory_mb: int = 2048) -> None:
        if size < 1:
            raise ValueError(f"size = {size}: a pool needs at least one worker")
        self.target, self.preload, self.size, self.memory_mb = target, preload, size, memory_mb
        self._start_afresh()
        close = weakref.WeakMethod(self.close)  # so that the hook, which stays for ever, does not keep the pool alive

        def close_in_child() -> None:
            if (close_pool := close()) is not None:
                close_pool()

        os.register_at_fork(after_in_child=close_in_child)

    def close(self) -> None:
        """Let go of the helper, which then ends and kills its workers; the next call starts afresh.

        In a forked child, which calls this first of all, the parent still holds them, so they live on.
        """
        for channel in [self._helper, *(worker.channel for worker in self._idle)]:
            if channel is not None:
                channel.close()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._free = threading.Condition()
        self._idle: list[_Worker] = []
        self._started = 0
        self._helper: socket.socket | None = None
        self._helper_lock = threading.Lock()

    def call(self, value: Any, deadline_s: float) -> Result:
        """The function's result on ``value``, or how it failed, after at most about ``deadline_s`` seconds.

        The first call of a process also waits for the helper to start, which its input is not to blame for.

        Raises:
            TypeError, ValueError: ``value`` is not JSON.
        """
        request = json.dumps(value).encode()
        try:
            self._ensure_helper()
            end = time.monotonic() + deadline_s
            worker = self._checkout(end)
        except (GoneError, LateError, OSError):
            return Result(Status.BUSY)
        try:
            send(worker.channel, request, end)
            status, reply = json.loads(receive(worker.channel, end))
            worker.calls += 1
        except LateError:
            self._discard(worker)
            return Result(Status.TIMEOUT)
        except (GoneError, OSError, ValueError):
            self._discard(worker)
            return Result(Status.CRASH)
        except BaseException:
            self._discard(worker)  # such as Ctrl-C: the reply is still under way, so nobody else may read it
            raise
        if worker.calls >= MAX_CALLS_PER_WORKER or status == Status.CRASH.value:
            self._discard(worker)
        else:
            self._give_back(worker)
        return Result(Status(status), reply)

    def _checkout(self, end: float) -> _Worker:
        """An idle worker, or a new one when there are fewer than ``size``."""
        with self._free:
            while not self._idle and self._started >= self.size:
                if not self._free.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    raise LateError
            if self._idle:
                return self._idle.pop()
            self._started += 1
        try:
            return self._start(end)
        except BaseException:  # Ctrl-C too: else its place would stay taken for ever
            self._lost_one()
            raise

    def _give_back(self, worker: _Worker) -> None:
        with self._free:
            self._idle.append(worker)
            self._free.notify()

    def _discard(self, worker: _Worker) -> None:
        worker.channel.close()
        with self._helper_lock, contextlib.suppress(OSError):
            if self._helper is not None:
                self._helper.sendall(HEADER.pack(worker.pid))
        self._lost_one()

    def _lost_one(self) -> None:
        with self._free:
            self._started -= 1
            self._free.notify()

    def _start(self, end: float) -> _Worker:
        """A worker forked by the helper, ready for a request; a helper that has died is replaced once."""
        for attempt in range(2):
            helper = self._ensure_helper()
            ours, theirs = socket.socketpair()
            try:
                with self._helper_lock:
                    socket.send_fds(helper, [HEADER.pack(0)], [theirs.fileno()])
                theirs.close()
                return _Worker(ours, int(receive(ours, end)))
            except LateError:
                ours.close()
                raise
            except (GoneError, OSError):
                ours.close()
                with self._helper_lock:
                    if self._helper is helper:
                        helper.close()
                        self._helper = None
                if attempt:
                    raise
            finally:
                theirs.close()
        raise GoneError

    def _ensure_helper(self) -> socket.socket:
        """The helper, started and ready."""
        with self._helper_lock:
            if self._helper is None:
                helper = self._start_helper()
                helper.settimeout(HELPER_START_S)
                try:
                    ready = helper.recv(1)
                except TimeoutError:
                    ready = b""
                if not ready:
                    helper.close()
                    raise GoneError
                self._helper = helper
            return self._helper

    def _start_helper(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            root = str(Path(__file__).resolve().parents[1])
            code = f"import sys; sys.path.insert(0, {root!r}); from rewards.pool_worker import serve; serve()"
            spec = {"fd": theirs.fileno(), "target": self.target, "preload": self.preload, "memory_mb": self.memory_mb}
            process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(spec)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the caller
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            )
        # It ends when our end of the socket closes; a thread waits for it so that it leaves no zombie.
        threading.Thread(target=process.wait, daemon=True).start()
        return ours
