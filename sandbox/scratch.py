"""The scratch directory of a worker: how much is in it, and making it empty again.

A hostile program can nest directories deeper than a path may be long, make them without permissions, and exchange them
for links while we look: everything here goes through directory descriptors, without recursion and without following a
link, and gives directories their permissions back.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox import linux, namespaces

MAX_SCRATCH_FILES = 512
SCRATCH_MB = 64
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _entries(top: str) -> Iterator[tuple[int, str, os.stat_result]]:
    """(descriptor of its directory, name, status) of everything beneath ``top``, contents before their directory."""
    opened = [os.open(top, DIRECTORY)]
    pending: list[tuple[list[str], tuple[int, str, os.stat_result] | None]] = [(os.listdir(opened[0]), None)]
    try:
        while pending:
            names, itself = pending[-1]
            if not names:
                pending.pop()
                os.close(opened.pop())
                if itself is not None:
                    yield itself
                continue
            name = names.pop()
            status = os.stat(name, dir_fd=opened[-1], follow_symlinks=False)
            entry = (opened[-1], name, status)
            if not stat.S_ISDIR(status.st_mode):
                yield entry
                continue
            opened.append(_open_directory(name, opened[-1]))
            pending.append((os.listdir(opened[-1]), entry))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open_directory(name: str, parent: int) -> int:
    """A descriptor of the directory, which is made accessible to its owner."""
    itself = os.open(name, os.O_PATH | DIRECTORY, dir_fd=parent)
    try:
        if os.fstat(itself).st_mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{itself}", 0o700)  # not by name, which may be a link by now
        return os.open(".", DIRECTORY, dir_fd=itself)
    finally:
        os.close(itself)


def measure(top: str, max_entries: int) -> tuple[int, int]:
    """(number of entries, bytes on disk) beneath ``top``, of no more than ``max_entries``.

    May be called while a program works in it; the count ends early when something vanishes meanwhile.
    """
    count = size = 0
    try:
        for _, _, status in _entries(top):
            count += 1
            size += status.st_blocks * 512
            if count == max_entries:
                break
    except OSError:
        pass
    return count, size


def empty(top: str) -> None:
    """Remove everything beneath ``top``.

    Raises:
        OSError: Something could not be removed; the directory must not be used again.
    """
    for parent, name, status in _entries(top):
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)


@dataclass
class Scratch:
    """The programs' writable directory.

    Attributes:
        path: Where.
        mounted: A file system of its own, replaced instead of emptied.
    """

    path: str
    mounted: bool

    def used(self) -> bool:
        """Whether there is anything in it."""
        return bool(os.listdir(self.path))

    def measure(self) -> tuple[int, int]:
        """(files, bytes) in it, where it is not mounted."""
        return measure(self.path, MAX_SCRATCH_FILES)

    def exhausted(self) -> bool:
        """Whether there is no room left, where it is mounted."""
        space = os.statvfs(self.path)
        return space.f_bavail == 0 or space.f_ffree == 0

    def renew(self) -> None:
        """Make it empty.

        Raises:
            OSError: It could not be emptied.
        """
        if self.mounted:
            linux.unmount(self.path)
            namespaces.mount_scratch(self.path, SCRATCH_MB, MAX_SCRATCH_FILES)
            os.chdir(self.path)
        else:
            empty(self.path)
