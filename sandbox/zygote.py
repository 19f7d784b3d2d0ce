"""The worker: a process with the modules loaded that programs import, which forks once for each program.

It is started by exec with a clean environment and one socket, so nothing of the trainer's is in its memory. It never
reads a program's text or input, which are descriptors that it passes on, and never gets an expected output. When the
socket closes, because the trainer closed it or died, it kills what runs, removes its scratch directory and ends.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import resource
import signal
import socket
import sys
import sysconfig
from typing import Any

from sandbox import child, contest, landlock, linux, namespaces, seccomp
from sandbox.preloaded import PRELOADED, PRELOADED_TOO, PRELOADED_WITHOUT_FILES
from sandbox.scratch import MAX_SCRATCH_FILES, SCRATCH_MB, Scratch
from sandbox.supervise import MAX_THREADS, Run

MAX_STACK_BYTES = 512 << 20
THREAD_STACK_BYTES = 8 << 20
HEADER_BYTES = 4096
MAX_JOB_DESCRIPTORS = 8


def main() -> None:
    """``python -c "... main()" CONTROL_FD LEVEL BASE LOADED``: serve programs until the control socket closes."""
    control_fd, level, base, loaded = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")  # when the machine runs out of memory, it is a program that ends and not the trainer
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 4 * MAX_SCRATCH_FILES  # to walk through directories that are nested as deep as there can be
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    control = socket.socket(fileno=control_fd)
    os.set_inheritable(control_fd, False)
    sys.argv[:] = ["solution.py"]
    preload(PRELOADED + PRELOADED_TOO * (loaded == "all") + PRELOADED_WITHOUT_FILES * (level == 1))
    try:
        worker = Worker(control, *confine(level, base))
    except Exception as error:  # reported to the trainer, which says it or takes a lower level
        control.sendall(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        sys.exit(1)
    set_inherited_limits()
    contest.prepare()
    # The same program prints the same every time. After the forks of `confine`, which seed anew.
    random.seed(0)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(0)
    gc.collect()
    gc.freeze()
    control.sendall(json.dumps({"layers": worker.layers, "missing": worker.missing}).encode() + b"\n")
    worker.serve()
    sys.stdout.flush()
    os._exit(0)


def preload(names: list[str]) -> None:
    """Import what is there."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Threads made in C would otherwise ask for a stack of the whole soft limit.
    set_default = getattr(linux.libc, "pthread_setattr_default_np", None)
    if set_default is not None:
        attributes = ctypes.create_string_buffer(64)
        linux.libc.pthread_attr_init(attributes)
        linux.libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(THREAD_STACK_BYTES))
        set_default(attributes)


def set_inherited_limits() -> None:
    """Limits that are the same for every program and no burden for this process."""
    for name in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_SIGPENDING):
        resource.setrlimit(name, (0, 0))  # pending signals are counted per user, who may be the one who trains
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = MAX_STACK_BYTES if hard == resource.RLIM_INFINITY else min(MAX_STACK_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
    # The interpreter ignores it; by default it ends a program that writes too much.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def read_paths() -> list[str]:
    """What a program may read: this interpreter's library, system libraries and a few harmless files."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        loaded = {line.split(None, 5)[5].strip() for line in maps if ".so" in line and "/" in line}
    libraries |= {os.path.dirname(path) for path in loaded}
    system = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", os.path.join(sys.base_prefix, "lib")}
    files = {"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"}
    return sorted(path for path in libraries | system | files if os.path.exists(path))


def confine(level: int, base: str) -> tuple[child.Jail, list[str], list[str], Scratch | None]:
    """Put this worker and, through the jail, its programs under ``level``.

    Returns:
        The jail, the layers in force, the layers that are missing with their reasons, the scratch directory.

    Raises:
        OSError: The level is not to be had here.
    """
    require_filters()
    missing: list[str] = []
    layers: list[str] = []
    watched = linux.filter_action_available(seccomp.RET_USER_NOTIF)
    paths = read_paths()
    writable = os.path.join(base, "tmp")
    if level >= 3:
        namespaces.enter(base, paths, writable, SCRATCH_MB, MAX_SCRATCH_FILES)
        layers.append("namespaces (pid, net, mount, ipc, uts)")
    elif level == 2:
        os.mkdir(writable, 0o700)
    ruleset = None
    version, reason = landlock.abi()
    if level >= 2:
        if not version:
            raise OSError(f"Landlock: {reason}")
        if not watched:
            raise OSError("seccomp user notification: needs Linux 5.5")
        ruleset = path_rules(version, paths, base if level >= 3 else writable)
        layers.append(f"landlock abi {version}")
    layers += ["seccomp", "rlimits"]
    uid, keep_effective_uid = change_uid(paths, writable if level == 2 else None, layers, missing)
    if not watched:
        missing.append("count of threads: needs seccomp user notification (Linux 5.5)")
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    private_uid = uid is not None or (level >= 3 and os.geteuid() != 0)
    if level >= 3 and private_uid:
        watched = False  # the kernel counts: threads by user id, files by the scratch file system
    main_filter = seccomp.main_filter(files=level >= 2, truncate=version >= 3)
    jail = child.Jail(
        ruleset=ruleset,
        watch_filter=buffer(seccomp.watch_filter(files=level >= 2)) if watched else None,
        main_filter=buffer(main_filter),
        pid_places=seccomp.pid_places(main_filter),
        uid=uid,
        keep_effective_uid=keep_effective_uid,
        private_uid=private_uid,
        base_bytes=address_space_bytes(),
        max_threads=MAX_THREADS,
        worker=os.getpid(),
        names=contest.customary_names(),
    )
    if level >= 2:
        os.chdir(writable)
    os.environ.update(HOME=writable, TMPDIR=writable)
    return jail, layers, missing, Scratch(writable, level >= 3) if level >= 2 else None


def require_filters() -> None:
    """Refuse a machine without seccomp filters, or of another architecture than those that ours are written for."""
    if linux.MACHINE not in seccomp.ARCHITECTURES or sys.byteorder != "little":
        raise OSError(f"no filter for {linux.MACHINE}: only {', '.join(seccomp.ARCHITECTURES)}")
    if not linux.filter_action_available(seccomp.RET_KILL_PROCESS):
        raise OSError("seccomp filters are not available (Linux 4.14 or later, CONFIG_SECCOMP_FILTER)")


def path_rules(version: int, paths: list[str], writable: str) -> int:
    """A Landlock ruleset: read ``paths`` and devices, write beneath ``writable``.

    At level 3 ``writable`` is the directory around the scratch directory, as what is mounted there changes.
    """
    rules = [(path, landlock.READ) for path in [*paths, *namespaces.DEVICES]]
    rules += [("/dev/null", landlock.FILE_RIGHTS), (writable, landlock.SCRATCH)]
    return landlock.ruleset(version, rules)


def change_uid(
    paths: list[str], scratch_dir: str | None, layers: list[str], missing: list[str]
) -> tuple[int | None, bool]:
    """`choose_uid`, and this worker under that user id; what came of it goes to ``layers`` and ``missing``."""
    uid, keep_effective_uid = choose_uid(paths, scratch_dir)
    if uid is None:
        missing.append("own uid: needs root; programs run as the user who trains")
        return uid, keep_effective_uid
    os.setgroups([])
    os.setresgid(uid, -1 if keep_effective_uid else uid, -1 if keep_effective_uid else uid)
    layers.append("own real uid" if keep_effective_uid else "own uid")
    if keep_effective_uid:
        missing.append(f"full change of uid: {sys.prefix} or {sys.base_prefix} is readable by root alone")
    return uid, keep_effective_uid


def buffer(data: bytes) -> Any:
    """A ctypes buffer of exactly ``data``."""
    return (ctypes.c_char * len(data)).from_buffer_copy(data)


def address_space_bytes() -> int:
    """Address space of this process, which every fork of it starts with. Before any /proc is gone."""
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 1 << 30  # a level 3 root without /proc: about what NumPy and its libraries map


def choose_uid(paths: list[str], scratch_dir: str | None) -> tuple[int | None, bool]:
    """A user id for programs, and whether they must keep root's effective id to read the interpreter's files."""
    if os.geteuid() != 0:
        return None, False
    # Not a user of the system, and no other worker's; the smaller ones for containers that map 65536 ids.
    randrange = random.SystemRandom().randrange
    for uid in (randrange(10**9, 2 * 10**9), 60_100 + randrange(4000)):
        if not succeeds(lambda uid=uid: os.setresuid(uid, 0, 0)):
            continue
        keep = not succeeds(lambda uid=uid: read_as(uid, paths))
        if scratch_dir is not None and not keep:
            os.chown(scratch_dir, uid, uid)
            os.chmod(os.path.dirname(scratch_dir), 0o711)
        return uid, keep
    return None, False


def read_as(uid: int, paths: list[str]) -> None:
    """Read this interpreter's files as that user."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    for path in paths:
        if os.path.isdir(path):
            os.listdir(path)
    for name in ("os", "heapq", "numpy"):
        source = getattr(sys.modules.get(name), "__file__", None)
        if source is not None:
            os.close(os.open(source, os.O_RDONLY))


def succeeds(action: Any) -> bool:
    """Whether ``action``, tried in a child of its own, raises no OSError."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError:
            os._exit(1)
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


class Worker:
    """Serves one program at a time.

    Args:
        control: Jobs come in and reports go out here.
        jail, layers, missing, directory: From `confine`.
    """

    def __init__(
        self, control: socket.socket, jail: child.Jail, layers: list[str], missing: list[str], directory: Scratch | None
    ) -> None:
        self.control, self.jail, self.layers, self.missing, self.directory = control, jail, layers, missing, directory

    def serve(self) -> None:
        """Run jobs until the control socket closes."""
        while True:
            header, descriptors, _, _ = socket.recv_fds(self.control, HEADER_BYTES, MAX_JOB_DESCRIPTORS)
            if not header:
                break
            job = child.Job.received(json.loads(header), descriptors)
            report = Run(self.jail, job, self.directory, self.control.fileno()).report()
            for descriptor in descriptors:
                os.close(descriptor)
            dirty = self.clean() if report.pop("touched") else ""
            if dirty:
                report["error"] = dirty
            try:
                self.control.sendall(json.dumps(report).encode() + b"\n")
            except OSError:
                break  # the trainer is gone
            if dirty:
                break
        if self.directory is not None and not self.directory.mounted:
            with contextlib.suppress(OSError):
                self.clean()
                os.rmdir(self.directory.path)
                os.rmdir(os.path.dirname(self.directory.path))

    def clean(self) -> str:
        """Renew the scratch directory; the reason if that failed."""
        try:
            if self.directory is not None:
                self.directory.renew()
        except OSError as error:
            return f"the scratch directory could not be emptied: {error}"
        return ""
