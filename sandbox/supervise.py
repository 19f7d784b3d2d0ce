"""One run of one program: fork it, watch it until its end or a limit's, and report how it went."""

import contextlib
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import time
from typing import Any

from sandbox import child, linux, patience, seccomp
from sandbox.scratch import MAX_SCRATCH_FILES, SCRATCH_MB, Scratch

MAX_THREADS = 64
# A file without a name that is still open or mapped is in no directory to be measured: this many full ones can be.
MAX_REMOVED = 40
# Longest that a running program goes unobserved: how late a limit on the CPU time of many threads may be noticed; and,
# once it has made a file, how long it may write before the scratch directory is measured.
TICK_S = 0.1
WRITING_TICK_S = 0.02
# Events after which a program is killed, see `sandbox.worker.classify`.
ENDING = {"timeout", "overfull", "released", "starved"}
SUPPORTED = linux.MACHINE in seccomp.ARCHITECTURES
CLONE = seccomp.number("clone", linux.MACHINE) if SUPPORTED else None
REMOVING = {seccomp.number(name, linux.MACHINE) for name in seccomp.REMOVING_CALLS} if SUPPORTED else set()


class Run:
    """One program from fork to report.

    Args:
        jail: The restrictions that the program puts itself under.
        job: The program.
        directory: Where it may write, if anywhere.
        control: The worker's control socket, which becomes readable only when the trainer has closed it.
    """

    def __init__(self, jail: child.Jail, job: child.Job, directory: Scratch | None, control: int) -> None:
        self.jail, self.job, self.directory, self.control = jail, job, directory, control
        self.events: set[str] = set()
        self.num_threads = self.num_removed = 0
        self.made_files = False
        self.room = MAX_SCRATCH_FILES  # files that may be made before they are counted again
        self.stages = b""
        ours, theirs = socket.socketpair()
        self.started = time.monotonic()
        self.pid = linux.fork()
        if self.pid == 0:
            child.become(self.jail, job, theirs)
        theirs.close()
        self.stage, self.listener = ours, -1
        self.clock = patience.Clock(self.pid, job, self.started)

    def report(self) -> dict[str, Any]:
        """Supervise until the end; what the trainer needs to know."""
        try:
            if self.jail.watch_filter is not None:
                self.stages, descriptors, _, _ = socket.recv_fds(self.stage, 4096, 1)
                self.listener = descriptors[0] if descriptors else -1
            usage = self.supervise()
            self.stages += self.rest_of_stages()
        finally:
            self.stage.close()
            if self.listener >= 0:
                os.close(self.listener)
        self.clock.listen()
        status, resources = usage
        report: dict[str, Any] = {
            "wall_s": time.monotonic() - self.started,
            "cpu_s": resources.ru_utime + resources.ru_stime,
            "max_rss_mb": resources.ru_maxrss / 1024,
            "exit_code": os.waitstatus_to_exitcode(status),
            "events": sorted(self.events),
            "calls": self.clock.calls,
            "touched": self.made_files,
        }
        if self.directory is not None and self.jail.watch_filter is None and self.directory.used():
            report["touched"] = True
            report["events"] += ["disk"] * self.directory.exhausted()
        stages = self.stages.removeprefix(b"N")
        if stages.startswith(b"L"):
            report["stage"] = "compiled" if stages.startswith(b"LC") else "locked in"
        else:
            report["error"] = f"the program was not locked in: {stages.decode('utf-8', 'replace') or 'it died'}"
        return report

    def rest_of_stages(self) -> bytes:
        """What the child wrote to the stage socket."""
        self.stage.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            return self.stage.recv(4096)
        return b""

    def supervise(self) -> tuple[int, resource.struct_rusage]:
        """Wait for the end of the program or of its time; (exit status, resources used)."""
        poll = select.poll()
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            pidfd = -1  # gVisor and kernels before 5.3: ask every few milliseconds
        for descriptor in (pidfd, self.listener, self.control):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        asking = self.job.beats if self.job.kind == "serve" and self.job.beats is not None else -1
        if asking >= 0:
            poll.register(asking, 0)  # wakes when the other end is closed: nobody will ask any more
        wait_s, next_look = min(self.job.timeout_s, TICK_S), 0.0
        try:
            while True:
                ready = dict(poll.poll((0.005 if pidfd < 0 else wait_s) * 1000 + 1))
                if pidfd < 0 or pidfd in ready:
                    pid, status, resources = os.wait4(self.pid, os.WNOHANG)
                    if pid:
                        return status, resources
                if self.control in ready:  # nothing is sent while a program runs: it was closed
                    os.kill(self.pid, signal.SIGKILL)
                    return os.wait4(self.pid, 0)[1:]
                if ready.get(self.listener, 0) & select.POLLIN:
                    self.answer()
                elif self.listener in ready:
                    poll.unregister(self.listener)  # nobody is left to ask
                now = time.monotonic()
                left, late = self.clock.left(now)
                if asking in ready:
                    self.events.add("released")
                elif late:
                    self.events.add(late)
                elif self.made_files and self.directory is not None and now >= next_look:
                    next_look = now + WRITING_TICK_S
                    if self.directory.measure()[1] > SCRATCH_MB << 20:
                        self.events.add("overfull")
                if self.events & ENDING:
                    os.kill(self.pid, signal.SIGKILL)
                    return os.wait4(self.pid, 0)[1:]
                wait_s = min(left, WRITING_TICK_S if self.made_files else TICK_S)
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def answer(self) -> None:
        """Count the thread or file that the program wants to make, and let the kernel go on or refuse."""
        notice = bytearray(linux.NOTIF_BYTES)
        try:
            fcntl.ioctl(self.listener, linux.NOTIF_RECV, notice, True)
        except OSError:
            return  # a signal interrupted the call meanwhile; it will be made again
        (cookie,) = struct.unpack_from("=Q", notice)
        (call,) = struct.unpack_from("=i", notice, 16)
        count = self.new_thread if call == CLONE else self.removed_file if call in REMOVING else self.new_file
        refusal = count()
        flags = 0 if refusal else linux.NOTIF_FLAG_CONTINUE
        response = bytearray(struct.pack("=QqiI", cookie, 0, -refusal, flags))
        with contextlib.suppress(OSError):  # it may have died meanwhile
            fcntl.ioctl(self.listener, linux.NOTIF_SEND, response, True)

    def new_thread(self) -> int:
        """0, or the error for one thread too many."""
        self.num_threads += 1
        alive = self.num_threads
        with contextlib.suppress(OSError):  # without /proc, those that have ended count as well
            alive = os.stat(f"/proc/{self.pid}/task").st_nlink - 2
        if alive < MAX_THREADS:
            return 0
        self.events.add("threads")
        return errno.EAGAIN

    def new_file(self) -> int:
        """0, or the error for one file too many."""
        self.made_files = True
        if not self.room and self.directory is not None:
            self.room = MAX_SCRATCH_FILES - self.directory.measure()[0]
        if self.room:
            self.room -= 1
            return 0
        self.events.add("disk")
        return errno.ENOSPC

    def removed_file(self) -> int:
        """0, or the error for one file too many without a name."""
        self.num_removed += 1
        if self.num_removed <= MAX_REMOVED:
            return 0
        self.events.add("disk")
        return errno.ENOSPC
