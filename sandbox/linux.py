"""The few calls into Linux that Python's standard library lacks, through ctypes. Errors are OSErrors."""

import ctypes
import errno
import os
import signal
import struct
from typing import Any

MACHINE = os.uname().machine
libc = ctypes.CDLL(None, use_errno=True)
_holding_the_lock = ctypes.PyDLL(None)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION_3 = 0x20080522
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
SYS_CLOSE_RANGE = 436
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SECCOMP_SET_MODE_FILTER, SECCOMP_GET_ACTION_AVAIL = 1, 2
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
# linux/seccomp.h: _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp)
NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
NOTIF_BYTES = 80
NOTIF_FLAG_CONTINUE = 1

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000


def fork() -> int:
    """``fork(2)`` without the interpreter's own hooks.

    For a process with one thread that neither needs its generators reseeded nor its locks replaced: the hooks touch
    about 200 pages, which the child would then have to copy.
    """
    pid = _holding_the_lock.fork()
    if pid < 0:
        raise BlockingIOError(errno.EAGAIN, "fork: the user, the container or the machine has too many processes")
    return pid


def raise_errno(what: str) -> None:
    """Raise the error that the last call left in errno."""
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


def syscall(number: int, *arguments: Any) -> int:
    """A raw system call."""
    value = libc.syscall(number, *arguments)
    if value < 0:
        raise_errno(f"system call {number}")
    return value


def prctl(option: int, value: int) -> None:
    """``prctl(option, value, 0, 0, 0)``."""
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise_errno(f"prctl {option}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``flags`` for new ones."""
    if libc.unshare(flags) != 0:
        raise_errno("unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """``mount(2)``."""
    done = libc.mount(
        source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    if done != 0:
        raise_errno(f"mount {target}")


def unmount(target: str) -> None:
    """Detach what is mounted at ``target``."""
    if libc.umount2(target.encode(), MNT_DETACH) != 0:
        raise_errno(f"umount {target}")


def pivot_root(new_root: str) -> None:
    """Make ``new_root`` the root directory and detach the old one."""
    os.chdir(new_root)
    syscall(SYS_PIVOT_ROOT[MACHINE], b".", b".")
    unmount(".")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability of this process."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    syscall(SYS_CAPSET[MACHINE], header, bytes(24))


def close_range(first: int, last: int) -> None:
    """Close the descriptors from ``first`` to ``last``; kernels before 5.9 do it one by one."""
    if last < first:
        return
    if libc.syscall(SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0) != 0:
        os.closerange(first, min(last + 1, os.sysconf("SC_OPEN_MAX")))


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` up."""
    close_range(first, 0xFFFFFFFF)


def die_with_parent() -> None:
    """Ask for SIGKILL when the thread that made this process ends. A change of user id takes it back."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def install_filter(instructions: Any, listener: bool = False) -> int:
    """Install a BPF filter, held in a ctypes buffer; with ``listener``, the descriptor that its notices arrive at."""
    program = _Program(ctypes.sizeof(instructions) // 8, ctypes.addressof(instructions))
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER if listener else 0
    return syscall(SYS_SECCOMP[MACHINE], SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program))


def filter_action_available(action: int) -> bool:
    """Whether this kernel's seccomp knows the action."""
    number = SYS_SECCOMP[MACHINE]
    return libc.syscall(number, SECCOMP_GET_ACTION_AVAIL, 0, struct.pack("=I", action)) == 0
