"""The processes of a pool: the helper, which forks workers and kills them, and the workers, which run the function.

`rewards.pool` starts the helper in a new interpreter that calls `serve`; nothing here runs in the caller's process.
"""

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from rewards.pool_messages import HEADER, GoneError, Status, receive, send

MAX_CPU_S = 3_600  # backstop; the caller's deadline comes long before


def serve() -> None:
    """The helper: forks a worker for each socket that arrives, kills workers by request, and ends with the caller."""
    spec = json.loads(sys.argv[1])
    sys.argv[1:] = []
    for name in spec["preload"]:
        importlib.import_module(name)
    module, _, name = spec["target"].partition(":")
    function = getattr(importlib.import_module(module), name)
    control = socket.socket(fileno=spec["fd"])
    control.send(b"!")
    workers: set[int] = set()
    try:
        while True:
            readable, _, _ = select.select([control], [], [], 1.0)
            _reap(workers)
            if not readable:
                continue
            message, fds, _, _ = socket.recv_fds(control, HEADER.size, 1)
            if len(message) < HEADER.size:
                return
            (pid,) = HEADER.unpack(message)
            if pid in workers:
                os.kill(pid, signal.SIGKILL)
            elif fds:
                child = os.fork()
                if child == 0:
                    control.close()
                    _work(socket.socket(fileno=fds[0]), function, spec["memory_mb"])
                workers.add(child)
                os.close(fds[0])
    finally:
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _reap(workers: set[int]) -> None:
    """Forget workers that have ended. Only here are they reaped, so a pid in the set is still ours to kill."""
    for pid in list(workers):
        if os.waitpid(pid, os.WNOHANG)[0]:
            workers.discard(pid)


def _work(channel: socket.socket, function: Callable[[Any], Any], memory_mb: int) -> None:
    """A worker: answers requests until the other side closes. Never returns."""
    limit = memory_mb << 20
    for kind, value in (
        (resource.RLIMIT_AS, limit),
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    code = 1
    try:
        send(channel, str(os.getpid()).encode())
        while True:
            send(channel, json.dumps(_answer(function, receive(channel))).encode())
    except GoneError:
        code = 0
    finally:
        os._exit(code)


def _answer(function: Callable[[Any], Any], request: bytes) -> tuple[str, Any]:
    try:
        return Status.OK.value, function(json.loads(request))
    except MemoryError:
        return Status.CRASH.value, None
    except Exception as error:  # reported to the caller, who decides
        return Status.ERROR.value, f"{type(error).__name__}: {error}"[:500]
