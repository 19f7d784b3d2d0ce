"""The system call filter: its numbers against libseccomp, its decisions by interpreting it."""

import ctypes
import ctypes.util
import errno
import struct

import pytest

from sandbox import seccomp
from sandbox.syscalls import NUMBERS

MACHINES = list(seccomp.ARCHITECTURES)
# Newer than the libseccomp of current distributions; from include/uapi/asm-generic/unistd.h.
TOO_NEW = {"fchmodat2": 452}


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_libseccomps(machine: str) -> None:
    name = ctypes.util.find_library("seccomp") or "libseccomp.so.2"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        pytest.skip("libseccomp is not installed")
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    for call in NUMBERS:
        theirs = resolve(seccomp.ARCHITECTURES[machine], call.encode())
        expected = TOO_NEW.get(call, theirs if theirs >= 0 else None)
        assert seccomp.number(call, machine) == expected, call


def decide(program: bytes, machine: str, call: str | int, *arguments: int, architecture: int | None = None) -> int:
    """The action that the filter returns, as the kernel would run it."""
    number = seccomp.number(call, machine) if isinstance(call, str) else call
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture or seccomp.ARCHITECTURES[machine], 0, *values)
    accumulator = at = 0
    while True:
        operation, true, false, constant = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if operation == seccomp.LD:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif operation == seccomp.AND:
            accumulator &= constant
        elif operation == seccomp.RET:
            return constant
        else:
            holds = {
                seccomp.JEQ: accumulator == constant,
                seccomp.JGE: accumulator >= constant,
                seccomp.JSET: bool(accumulator & constant),
            }[operation]
            at += true if holds else false


def error(number: int) -> int:
    return seccomp.RET_ERRNO | number


PID = seccomp.PID_PLACEHOLDER
THREAD = 0x3D0F00  # what glibc's pthread_create passes
DECISIONS = [
    ("read", (), seccomp.RET_ALLOW, "plain"),
    ("openat", (0, 0, 0), seccomp.RET_ALLOW, "Landlock looks at the path"),
    ("openat", (0, 0, 0o20200000), error(errno.EOPNOTSUPP), "O_TMPFILE has no name to count"),
    ("kill", (PID, 9), seccomp.RET_ALLOW, "itself"),
    ("kill", (PID + 1, 9), error(errno.EPERM), "another"),
    ("kill", (0xFFFFFFFF, 9), error(errno.EPERM), "-1: everything"),
    ("tgkill", (PID, 5, 9), seccomp.RET_ALLOW, "its own threads"),
    ("prlimit64", (0, 7), seccomp.RET_ALLOW, "0: itself"),
    ("prlimit64", (1, 7), error(errno.EPERM), "another"),
    ("clone", (THREAD,), seccomp.RET_ALLOW, "a thread"),
    ("clone", (17,), error(errno.EAGAIN), "a process"),
    ("clone", (THREAD | 0x10000000,), error(errno.EAGAIN), "a thread in a new user namespace"),
    ("clone3", (), error(errno.ENOSYS), "flags in memory"),
    ("execve", (), error(errno.EPERM), "exec"),
    ("socketpair", (1, 1), seccomp.RET_ALLOW, "asyncio"),
    ("socketpair", (1, 0o2004001), seccomp.RET_ALLOW, "asyncio, with flags"),
    ("socketpair", (1, 2), error(errno.EPERM), "datagrams carry addresses"),
    ("socketpair", (2, 1), error(errno.EPERM), "not Unix"),
    ("fcntl", (3, 4, 0o4000), seccomp.RET_ALLOW, "O_NONBLOCK"),
    ("fcntl", (3, 4, 0o20000), error(errno.EPERM), "O_ASYNC signals the owner"),
    ("fcntl", (3, 8, 1), error(errno.EPERM), "F_SETOWN"),
    ("ioctl", (0, 0x5401), seccomp.RET_ALLOW, "TCGETS: isatty"),
    ("ioctl", (0, 0x5412), error(errno.ENOTTY), "TIOCSTI types for the user"),
    ("prctl", (15,), seccomp.RET_ALLOW, "a name"),
    ("prctl", (1,), error(errno.EPERM), "the death signal"),
    ("fchmodat", (), error(0), "pretended"),
    ("ptrace", (), seccomp.RET_KILL_PROCESS, "attack"),
    ("io_uring_setup", (), seccomp.RET_KILL_PROCESS, "attack"),
    (600, (), error(errno.ENOSYS), "a call of the future"),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("call", "arguments", "action", "why"), DECISIONS, ids=lambda value: str(value)[:30])
def test_decisions(machine: str, call: str | int, arguments: tuple[int, ...], action: int, why: str) -> None:
    program = seccomp.main_filter(files=True, truncate=True, machine=machine)
    assert decide(program, machine, call, *arguments) == action, why


@pytest.mark.parametrize("machine", MACHINES)
def test_every_named_call_gets_its_rule(machine: str) -> None:
    """The search tree against the tables, for all numbers at once."""
    program = seccomp.main_filter(files=True, truncate=True, machine=machine)
    rules = seccomp.main_rules(files=True, truncate=True)
    by_number = {seccomp.number(name, machine): rule for name, rule in rules.items()}
    for number in range(max(n for n in by_number if n is not None) + 1):
        rule = by_number.get(number, seccomp.fail(errno.EPERM))
        if isinstance(rule, str):
            assert decide(program, machine, number) == int(rule), number


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_are_killed(machine: str) -> None:
    program = seccomp.main_filter(files=True, truncate=True, machine=machine)
    assert decide(program, machine, 3, architecture=0x40000003) == seccomp.RET_KILL_PROCESS  # i386
    if machine == "x86_64":
        assert decide(program, machine, seccomp.X32_BIT + 2) == seccomp.RET_KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
def test_level_1_opens_nothing(machine: str) -> None:
    program = seccomp.main_filter(files=False, truncate=False, machine=machine)
    for call in ("openat", "open", "creat", "mkdirat", "unlinkat", "renameat2", "symlinkat", "truncate", "readlinkat"):
        if seccomp.number(call, machine) is not None:
            assert decide(program, machine, call) & 0xFFFF0000 == seccomp.RET_ERRNO, call


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_and_new_files_are_reported(machine: str) -> None:
    program = seccomp.watch_filter(files=True, machine=machine)
    assert decide(program, machine, "clone", THREAD) == seccomp.RET_USER_NOTIF
    assert decide(program, machine, "openat", 0, 0, 0o101) == seccomp.RET_USER_NOTIF
    assert decide(program, machine, "openat", 0, 0, 1) == seccomp.RET_ALLOW
    assert decide(program, machine, "mkdirat") == seccomp.RET_USER_NOTIF
    assert decide(program, machine, "unlinkat", 0, 0, 0) == seccomp.RET_USER_NOTIF
    assert decide(program, machine, "unlinkat", 0, 0, 0x200) == seccomp.RET_ALLOW  # a directory
    assert decide(program, machine, "renameat2") == seccomp.RET_USER_NOTIF
    assert decide(program, machine, "read") == seccomp.RET_ALLOW


def test_the_pid_has_its_places() -> None:
    program = seccomp.main_filter(files=True, truncate=True, machine="x86_64")
    assert len(seccomp.pid_places(program)) == 2  # kill and tgkill share theirs; prlimit64 has one
