"""How long a program may go on: by the time that it worked or waited of its own accord, not by what others took.

The limit holds for CPU time, and for wall time less the time in which the program was ready to run and no core was free
(Linux counts it for each task). So a busy machine makes no program late, and a program that sleeps is late in time.
"""

import contextlib
import os
import time

from sandbox import child, conversation


class Clock:
    """Measures one program.

    Args:
        pid: Its process.
        job: Its limits; a ``serve`` has ``timeout_s`` for each call, and a ``check`` may wait for it.
        started: When it was forked.
    """

    def __init__(self, pid: int, job: child.Job, started: float) -> None:
        self.pid, self.job, self.started = pid, job, started
        self.cpu_clock = (~pid << 3) | 2  # CPUCLOCK_SCHED of that process, see clock_getcpuclockid(3)
        self.since, self.cpu_before, self.starved_before, self.allowance = started, 0.0, 0.0, 0.0
        self.calls, self.active, self.spent_s = 0, True, 0.0
        if job.kind == "serve" and job.beats is not None:
            os.set_blocking(job.beats, False)

    def left(self, now: float) -> tuple[float, str]:
        """Seconds until it is worth looking again, and "timeout" or "starved" when there are none."""
        self.listen()
        cpu_s = time.clock_gettime(self.cpu_clock)
        limit = self.job.timeout_s
        left = min(limit - (cpu_s - self.cpu_before), self.job.cpu_s - cpu_s)
        if left <= 0:
            return 0.0, "timeout"
        wall_left = self.started + self.job.wall_s - now
        if wall_left <= 0:
            return 0.0, "starved" if self.starved_s() > self.job.wall_s / 2 else "timeout"
        left = min(left, wall_left)
        if self.job.kind != "check" and self.active:
            own_left = self.since + limit + self.allowance - now
            if own_left <= 0:
                self.allowance = self.starved_s() - self.starved_before
                own_left = self.since + limit + self.allowance - now
                if min(own_left, self.job.cpu_s - self.spent_s - (limit - own_left)) <= 0:
                    return 0.0, "timeout"
            left = min(left, max(own_left, 0.001))
        return left, ""

    def listen(self) -> None:
        """Begin anew when another question was put since the last look."""
        if self.job.kind != "serve" or self.job.beats is None:
            return
        beats = b""
        with contextlib.suppress(BlockingIOError):
            beats = os.read(self.job.beats, 1 << 16)
        if not beats:
            return
        now, starved_s = time.monotonic(), self.starved_s()
        if self.active:
            self.spent_s += now - self.since - (starved_s - self.starved_before)
        self.calls += beats.count(conversation.ASKED)
        self.active = beats.endswith(conversation.ASKED)
        self.since, self.starved_before, self.allowance = now, starved_s, 0.0
        with contextlib.suppress(OSError):  # it has ended
            self.cpu_before = time.clock_gettime(self.cpu_clock)

    def starved_s(self) -> float:
        """Time that the longest-waiting thread was ready and did not run; 0 where the kernel does not tell."""
        longest = 0
        with contextlib.suppress(OSError, ValueError, IndexError):
            for task in os.listdir(f"/proc/{self.pid}/task"):
                with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as file:
                    longest = max(longest, int(file.read().split()[1]))
        return longest / 1e9
