"""What programs write: it works, it is limited, and it is gone for the next program."""

import os
import textwrap
from pathlib import Path

import pytest
from sandbox_programs import run_all

from sandbox import Sandbox, Status, scratch


def test_scratch_files_work_and_are_gone_for_the_next_program(sandbox: Sandbox) -> None:
    if sandbox.level < 2:
        pytest.skip("level 1 opens no files")
    write = (
        "import tempfile, os\nopen('json.py', 'w').write('x')\nprint(len(os.listdir('.')), tempfile.mkdtemp() != '')"
    )
    nest = "import os\nfor _ in range(600): os.mkdir('d' * 100, 0o700); os.chdir('d' * 100)"
    look = "import json, os; print(os.listdir('.'), json.dumps(1))"
    for _ in range(3):  # both workers
        assert sandbox.run(write).stdout == "1 True\n"
        assert sandbox.run(nest, timeout_s=20).status == Status.DISK_LIMIT
        assert [result.stdout for result in run_all(sandbox, [look] * 4)] == ["[] 1\n"] * 4


def test_many_files_and_bytes_are_a_disk_limit(sandbox: Sandbox) -> None:
    if sandbox.level < 2:
        pytest.skip("level 1 opens no files")
    files = "for i in range(20000): open(f'f{i}', 'w').close()"
    data = "for i in range(200):\n    with open(f'f{i}', 'wb') as f: f.write(bytes(4 << 20))"
    assert sandbox.run(files, timeout_s=20).status == Status.DISK_LIMIT
    assert sandbox.run(data, timeout_s=20).status == Status.DISK_LIMIT


# Ways around a count that looks at the scratch directory only when a file is made.
HOARDS = {
    "files made empty grow later": """
        for i in range(100): open(f'f{i}', 'w').close()
        for i in range(100):
            with open(f'f{i}', 'r+b') as f: f.write(bytes(8 << 20))
    """,
    "files without a name stay mapped": """
        import ctypes, os
        map_file = ctypes.CDLL(None, use_errno=True).mmap
        map_file.restype = ctypes.c_void_p
        for i in range(100):
            with open('f', 'wb') as f: f.write(bytes(8 << 20))
            with open('f', 'rb') as f: assert map_file(None, ctypes.c_size_t(4096), 1, 2, f.fileno(), None) != 2**64 - 1
            os.unlink('f')
    """,
    "files replaced stay open": """
        import os
        for i in range(100):
            with open(f'f{i}', 'wb') as f: f.write(bytes(8 << 20))
            os.dup(os.open(f'f{i}', os.O_RDONLY)) if i < 15 else None
            os.rename(f'f{i}', 'f')
    """,
}


@pytest.mark.parametrize("program", HOARDS.values(), ids=HOARDS)
def test_bytes_on_disk_are_bounded_however_they_come_there(sandbox: Sandbox, program: str) -> None:
    if sandbox.level < 2:
        pytest.skip("level 1 opens no files")
    result = sandbox.run(textwrap.dedent(program), timeout_s=60)
    if program == HOARDS["files replaced stay open"] and sandbox.level == 3:
        assert result.status in (Status.OK, Status.DISK_LIMIT)  # a replaced file that nobody holds is gone
    else:
        assert result.status == Status.DISK_LIMIT, result


def test_directories_without_permissions_are_counted_and_removed(sandbox: Sandbox) -> None:
    if sandbox.level < 2:
        pytest.skip("level 1 opens no files")
    hide = """
        import os
        os.umask(0)
        for mode in (0o300, 0o100, 0o500, 0):
            os.mkdir(f'd{mode}', mode)
        for i in range(20):
            with open(f'd{0o300}/f{i}', 'wb') as f: f.write(bytes(7 << 20))
    """
    for _ in range(2):
        assert sandbox.run(textwrap.dedent(hide), timeout_s=60).status == Status.DISK_LIMIT
        assert [r.stdout for r in run_all(sandbox, ["import os; print(os.listdir('.'))"] * 2)] == ["[]\n"] * 2


def test_what_is_looked_into_is_never_followed_out_of_the_scratch_directory(tmp_path: Path) -> None:
    """A directory may have become a link between two looks at it."""
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir(mode=0o500)
    top.mkdir()
    (top / "d").symlink_to(outside)
    parent = os.open(top, scratch.DIRECTORY)
    with pytest.raises(OSError, match="d"):
        scratch._open_directory("d", parent)
    os.close(parent)
    assert outside.stat().st_mode & 0o777 == 0o500
    scratch.empty(str(top))
    assert outside.exists()
