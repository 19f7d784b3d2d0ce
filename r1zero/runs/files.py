"""Files that are whole or not there, and locks that end with their process.

A file is written under a temporary name and then renamed: a reader sees the old file or the new one, never half of it.
It is not synced, so a machine that loses power may lose it; checkpoints have a seal of their own.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: Path, writer: str = "") -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` when the block ends without an error.

    Args:
        path: Where the file goes.
        writer: Tells writers of one file apart. Without it, what a killed writer left is overwritten by the next.
    """
    temporary = path.with_name(f"{path.name}{writer}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write ``text`` as UTF-8; what UTF-8 cannot hold, as half of a surrogate pair, becomes a question mark."""
    with replacing(path, f".{os.getpid()}") as temporary:  # jobs of a sweep write the same page
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(value: Any, path: Path) -> None:
    """Write ``value`` as JSON."""
    write_text(json.dumps(value, indent=2) + "\n", path)


def read_json(path: Path) -> Any:
    """The JSON value in ``path``."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_completions(frame: "pd.DataFrame", path: Path) -> None:
    """Write the table as parquet, in one process at a time; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock at ``path``; if so, until the block ends.

    It does not wait. The system takes the lock back when the process ends, however it ends, so a lock is never stale.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at ``path``."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may ask at the same time
        except BlockingIOError:
            return True
    return False
