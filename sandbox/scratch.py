"""The scratch directory of a worker: how much is in it, and making it empty again.

A hostile program can nest directories deeper than a path may be long, or make them without permissions: everything
here goes through directory descriptors, without recursion, and gives such directories their permissions back.
"""

import os
import stat
from collections.abc import Iterator

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
            if status.st_mode & 0o700 != 0o700:
                os.chmod(name, 0o700, dir_fd=opened[-1])
            opened.append(os.open(name, DIRECTORY, dir_fd=opened[-1]))
            pending.append((os.listdir(opened[-1]), entry))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def measure(top: str) -> tuple[int, int]:
    """(number of entries, bytes on disk) beneath ``top``. What vanishes while it looks is not counted."""
    count = size = 0
    try:
        for _, _, status in _entries(top):
            count += 1
            size += status.st_blocks * 512
    except FileNotFoundError:
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
