"""Random raw system calls from inside touch nothing outside. The slow test runs for a minute."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox import Sandbox, SandboxUnavailableError, Status

FUZZ = """
import ctypes, os, random, time
libc = ctypes.CDLL(None, use_errno=True)
rng = random.Random(SEED)
paths = [b"SECRET", b"OUTSIDE", b"DIRECTORY", b"/", b"/tmp", b".", b"..", b"x", b"/etc/passwd", b"/proc/1/mem", b"/dev/shm/x"]
buffers = [ctypes.create_string_buffer(path, 4096) for path in paths]
buffers += [ctypes.create_string_buffer(rng.randbytes(4096), 4096) for _ in range(8)]
addresses = [ctypes.addressof(buffer) for buffer in buffers]
small = [0, 1, 2, 3, 4, 7, 9, 16, 17, 64, 4096, 0o600, 0o100102, 0x10000000, 0x7E020080, 0xFFFFFFFF, 2**64 - 1, 2**64 - 100]
pids = [VICTIM, TRAINER, os.getppid(), os.getpid()]
skip = {0, 23, 34, 35, 60, 61, 128, 130, 202, 219, 230, 231, 232, 247, 270, 271, 281}   # wait, or end the program
end = time.monotonic() + 1.5
calls = 0
while time.monotonic() < end:
    number = rng.randrange(470)
    if number in skip:
        continue
    arguments = [rng.choice(rng.choice((addresses, small, pids, [rng.getrandbits(32)]))) for _ in range(6)]
    libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    calls += 1
    if calls % 50 == 0:
        os.write(1, b".")
"""


def fuzz(seconds: float, tmp_path: Path, level: int | None = None) -> tuple[int, int]:
    """(programs, programs that got past 50 calls) with everything outside as it was."""
    planted = tmp_path / "planted"
    planted.mkdir()
    secret = planted / "secret"
    secret.write_text("the secret")
    before = (secret.stat(), planted.stat())
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    priority = os.getpriority(os.PRIO_PROCESS, victim.pid), os.sched_getaffinity(victim.pid)
    programs = lasting = 0
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            Sandbox(workers=2, level=level, directory=str(tmp_path)) as sandbox,
        ):
            listener.setblocking(False)

            def run(seed: int) -> str:
                values = {"SEED": seed, "SECRET": secret, "OUTSIDE": planted / "new", "DIRECTORY": planted}
                values |= {"VICTIM": victim.pid, "TRAINER": os.getpid()}
                source = FUZZ
                for key, value in values.items():
                    source = source.replace(key, str(value))
                result = sandbox.run(source, timeout_s=3, output_mb=1)
                assert result.status != Status.INFRASTRUCTURE_ERROR, result.error
                return result.stdout

            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                with ThreadPoolExecutor(2) as threads:
                    outputs = list(threads.map(run, range(programs, programs + 4)))
                programs += 4
                lasting += sum("." in output for output in outputs)
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert sandbox.run("print(6)").stdout == "6\n"
        assert victim.poll() is None
        assert (os.getpriority(os.PRIO_PROCESS, victim.pid), os.sched_getaffinity(victim.pid)) == priority
    finally:
        victim.kill()
        victim.wait()
    after = (secret.stat(), planted.stat())
    for old, new in zip(before, after, strict=True):
        assert (old.st_mode, old.st_uid, old.st_size, old.st_mtime_ns) == (
            new.st_mode,
            new.st_uid,
            new.st_size,
            new.st_mtime_ns,
        )
    assert secret.read_text() == "the secret"
    assert [path.name for path in tmp_path.iterdir()] == ["planted"]
    return programs, lasting


def test_a_short_fuzz(tmp_path: Path) -> None:
    try:
        fuzz(2.0, tmp_path)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("level", [3, 2, 1])
def test_a_minute_of_fuzz(level: int, tmp_path: Path) -> None:
    try:
        programs, lasting = fuzz(60.0, tmp_path, level)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    assert programs >= 4
    assert lasting > 0
