"""Level 3: new namespaces around a worker, and a file system that holds the interpreter and nothing else.

Once per worker, not per program. Needs CAP_SYS_ADMIN or unprivileged user namespaces; Docker's default has neither.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox import linux

SCRATCH_MOUNT_FLAGS = linux.MS_NOSUID | linux.MS_NODEV
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
STANDARD_STREAMS = {
    f"/dev/{name}": f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))
}
STANDARD_STREAMS["/dev/fd"] = "/proc/self/fd"
# statvfs flags that a bind mount must keep when it is made read-only, as mount flags: noatime, nodiratime, relatime
KEPT_FLAGS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | 1024 | 2048 | (1 << 21)
ST_RELATIME = 4096


def enter(mount_point: str, read_paths: Sequence[str], scratch: str, scratch_mb: int, scratch_files: int) -> None:
    """Continue as process 1 of new namespaces, on a file system of ``read_paths`` (read-only) and ``scratch``.

    The process that calls this stays behind as a parent that waits and ends with its child.

    Raises:
        OSError: Something is not permitted here. The process is then half way in and must end.
    """
    uid, gid = os.geteuid(), os.getegid()
    spaces = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    outside = os.open(os.path.dirname(mount_point), os.O_PATH | os.O_CLOEXEC)
    try:
        linux.unshare(spaces)
    except PermissionError:
        linux.unshare(spaces | linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    inner = os.fork()
    if inner:
        wait_for(inner, outside, os.path.basename(mount_point))
    os.close(outside)
    linux.die_with_parent()
    if os.getppid() != 0:  # the parent is outside; 0 is how it looks from here
        os._exit(1)
    build_root(mount_point, read_paths, scratch, scratch_mb, scratch_files)


def wait_for(inner: int, outside: int, name: str) -> None:
    """End as the child ends, and remove the directory that its root was mounted on: ``name`` in ``outside``."""
    linux.close_range(3, outside - 1)
    linux.close_from(outside + 1)
    _, status = os.waitpid(inner, 0)
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=outside)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def build_root(mount_point: str, read_paths: Sequence[str], scratch: str, scratch_mb: int, scratch_files: int) -> None:
    """Assemble the new root at ``mount_point`` and make it the root directory."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", mount_point, "tmpfs", SCRATCH_MOUNT_FLAGS, "size=1m,mode=755")
    for path in read_paths:
        if os.path.exists(path) and not covered(path, read_paths):
            bind_read_only(path, mount_point + path)
    for path in DEVICES:
        bind(path, mount_point + path)
    for name, target in STANDARD_STREAMS.items():
        os.symlink(target, mount_point + name)
    os.makedirs(mount_point + scratch)
    os.makedirs(mount_point + "/proc")
    try:
        linux.mount("proc", mount_point + "/proc", "proc", SCRATCH_MOUNT_FLAGS | linux.MS_NOEXEC, "subset=pid")
    except OSError as error:
        # In a container whose /proc is masked; threads are then counted as they start, not as they live.
        print(f"no /proc inside: {error}", file=sys.stderr)
    linux.pivot_root(mount_point)
    linux.mount("none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | SCRATCH_MOUNT_FLAGS)
    mount_scratch(scratch, scratch_mb, scratch_files)


def covered(path: str, others: Sequence[str]) -> bool:
    """Whether another of the paths contains this one."""
    return any(path != other and path.startswith(other.rstrip("/") + "/") for other in others)


def bind(source: str, target: str) -> None:
    """Show ``source`` at ``target``, which is made."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)


def bind_read_only(source: str, target: str) -> None:
    """Show ``source`` at ``target``, read-only."""
    bind(source, target)
    flags = os.statvfs(target).f_flag
    kept = flags & KEPT_FLAGS | ((1 << 21) if flags & ST_RELATIME else 0)
    linux.mount(
        "none",
        target,
        None,
        linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | kept,
    )


def mount_scratch(scratch: str, scratch_mb: int, scratch_files: int) -> None:
    """An empty file system in memory at ``scratch``."""
    limits = f"size={scratch_mb}m,nr_inodes={scratch_files},mode=777"
    linux.mount("tmpfs", scratch, "tmpfs", SCRATCH_MOUNT_FLAGS, limits)
