"""One command, all devices: starts the ranks of a run on this machine and watches them.

Each rank is ``python -m r1zero.train --rank RUN_DIR`` in a session of its own: it reads the config from the run
directory and knows nothing of Hydra. Unlike torch elastic it never restarts a rank (a run resumes from its checkpoint
instead), and it does not wait for ranks that hang because another has died.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from r1zero.config.schema import Config
from r1zero.launching.placement import free_port, num_ranks, rank_environment

log = logging.getLogger(__name__)

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as shells report them
ORDERLY = (0, INTERRUPTED, TERMINATED)  # codes of a rank that has saved all there was to save
# A rank whose peer has died cannot finish: it gets this long to say so itself, then it is killed.
GRACE_AFTER_DEATH_S = 10.0
POLL_S = 0.1
RANK_FLAG = "--rank"  # of r1zero.train: be one rank of the run whose directory follows


def launch(config: Config, run_dir: Path, log_file: Path | None = None, variables: dict[str, str] | None = None) -> int:
    """Run every rank of the run whose ``config.yaml`` is in ``run_dir``; its exit code.

    What the ranks print goes to the end of ``log_file``, if one is given; ``variables`` join their environment.

    0 for success, 130 or 143 after SIGINT or SIGTERM (both are passed on to the ranks, which save and stop), 128 + n
    when a rank died of signal n, else the code of the first rank that failed. No process is left behind.
    """
    count = num_ranks(config)
    with log_file.open("ab") if log_file else nullcontext() as output:
        ranks = start_ranks(run_dir, count, output, variables or {})
    try:
        with signals_passed_on(ranks):
            return wait_for(ranks)
    finally:
        for process in ranks:
            kill_group(process)


def start_ranks(
    run_dir: Path, count: int, output: IO[bytes] | None, variables: dict[str, str]
) -> list[subprocess.Popen[bytes]]:
    """The processes. Their standard input is a pipe that closes when this process dies, however it dies."""
    port = free_port()
    threads = str(max(1, (os.cpu_count() or 1) // count))
    ranks: list[subprocess.Popen[bytes]] = []
    for index in range(count):
        placed = rank_environment(index, count, port) if count > 1 else {}
        environment = {"OMP_NUM_THREADS": threads} | dict(os.environ) | placed if count > 1 else dict(os.environ)
        command = [sys.executable, "-m", "r1zero.train", RANK_FLAG, str(run_dir)]
        ranks.append(
            subprocess.Popen(
                command,
                env=environment | variables,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        )
    return ranks


@contextmanager
def signals_passed_on(ranks: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM to this process go to every rank."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in ranks:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for(ranks: Sequence[subprocess.Popen[bytes]]) -> int:
    """The exit code of the run, when all ranks have ended or those that outlive a failed one had their time."""
    failure = 0
    deadline = float("inf")
    while any(process.poll() is None for process in ranks) and time.monotonic() < deadline:
        if not failure:
            failure = first_failure(ranks)
            deadline = time.monotonic() + GRACE_AFTER_DEATH_S if failure else deadline
        time.sleep(POLL_S)
    return failure or first_failure(ranks) or max(process.returncode for process in ranks)


def first_failure(ranks: Sequence[subprocess.Popen[bytes]]) -> int:
    """The code of a rank that has failed, 0 if none has; says which and how."""
    for index, process in enumerate(ranks):
        code = process.poll()
        if code is None or code in ORDERLY:
            continue
        if code < 0:
            reason = f"was killed by {signal.Signals(-code).name}"
            hint = " The kernel does that when memory runs out (see dmesg)." if code == -signal.SIGKILL else ""
        else:
            reason, hint = f"failed with exit code {code}", ""
        if len(ranks) > 1 or code < 0:
            log.error("Rank %d %s.%s Stopping the others; the last checkpoint is kept.", index, reason, hint)
        return code if code > 0 else 128 - code
    return 0


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a rank and all that it started, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def die_with_launcher() -> None:
    """End this rank and all that it started when the launcher is gone: its end of the pipe on standard input closes."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
