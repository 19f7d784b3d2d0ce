"""Files that are whole or not there, locks that end with their process, and names in a run directory."""

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from r1zero.runs.directory import forget_after
from r1zero.runs.files import is_locked, locked, read_json, replacing, write_completions, write_json, write_text
from r1zero.runs.layout import completions_by_step, completions_file

HOLD = "import sys; from pathlib import Path; from r1zero.runs.files import locked\n"
HOLD += "with locked(Path(sys.argv[1])) as free: print(free, flush=True); sys.stdin.read()"


def break_off(path: Path) -> None:
    """Write half of a file, and fail."""
    with replacing(path) as temporary:
        temporary.write_text("ne")
        raise OSError("disk full")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text("old", path)
    with pytest.raises(OSError, match="disk full"):
        break_off(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_of_completions_left_is_overwritten(tmp_path: Path) -> None:
    """The process is killed while it writes, as by SIGKILL; another one writes the same step again."""
    path = tmp_path / "train_00007.parquet"
    kill = (
        "import os, signal, sys; from pathlib import Path; from types import SimpleNamespace as Frame\n"
        "from r1zero.runs.files import write_completions\n"
        "def torn(path, index): Path(path).write_bytes(b'torn'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_completions(Frame(to_parquet=torn), Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", kill, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1
    write_completions(pd.DataFrame({"completion": ["x"]}), path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_json({"a": [1, "é"]}, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == {"a": [1, "é"]}
    write_text("half a pair: \ud800", tmp_path / "text")
    assert (tmp_path / "text").read_text() == "half a pair: ?"
    frame = pd.DataFrame({"completion": ["x"]})
    write_completions(frame, tmp_path / "new" / "train_00001.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "new" / "train_00001.parquet"), frame)
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_a_lock_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with locked(path) as first:
        assert first and is_locked(path)
        with locked(path) as second:
            assert not second
        assert is_locked(path)  # the second attempt has not let go of the first
    assert not is_locked(path)
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        assert is_locked(path)
        holder.kill()
        holder.wait()
    assert not is_locked(path)


def test_completions_are_found_by_kind_and_step(tmp_path: Path) -> None:
    written = [
        completions_file(tmp_path, *place) for place in (("train", 1, 0), ("train", 1, 1), ("train", 12), ("eval", 12))
    ]
    assert [path.name for path in written] == [
        "train_00001-0.parquet",
        "train_00001-1.parquet",
        "train_00012.parquet",
        "eval_00012.parquet",
    ]
    for path in [*written, written[0].with_name("train_00001.parquet.7.tmp")]:  # what a killed writer left
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert completions_by_step(tmp_path, "train") == {1: written[:2], 12: [written[2]]}
    forget_after(tmp_path, 1)
    assert completions_by_step(tmp_path, "train") == {1: written[:2]}
    assert completions_by_step(tmp_path, "eval") == {}
