"""The sandbox on this machine, at every level that it allows: statuses, escapes, limits, values."""

import os
import platform
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox_programs import ATTEMPTS, PRELUDE, VIOLATIONS, run_all

from sandbox import Result, Sandbox, SandboxUnavailableError, Status, selftest
from sandbox.levels import LEVEL_VARIABLE

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="system call numbers of x86_64")


@pytest.fixture(scope="module")
def victim() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process.pid
    assert process.poll() is None, "a program in the sandbox killed the victim"
    process.kill()
    process.wait()


@X86
def test_no_attempt_gets_out(sandbox: Sandbox, victim: int, tmp_path: Path) -> None:
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("the secret")
    os.environ["R1ZERO_TEST_TOKEN"] = "token-of-the-trainer"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        values = {"SECRET": secret, "OUTSIDE": outside, "PORT": listener.getsockname()[1], "VICTIM": victim}

        def run(item: tuple[str, str]) -> tuple[str, Result]:
            body = item[1]
            for key, value in values.items():
                body = body.replace(key, str(value))
            return item[0], sandbox.run(PRELUDE + body, timeout_s=20)

        with ThreadPoolExecutor(2) as threads:
            attempts, violations = threads.map(run, ATTEMPTS.items()), threads.map(run, VIOLATIONS.items())
            escaped = [(name, r.stdout, r.stderr) for name, r in attempts if "ESCAPED" in r.stdout]
            broken = [(name, r.error) for name, r in violations if r.status != "security_violation"]
    assert not escaped
    assert not broken
    assert secret.read_text() == "the secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


STATUSES = [
    ("print(input())", Status.OK, "every limit is far away"),
    ("import sys; sys.exit(0)", Status.OK, "what its exit code claims"),
    ("import time; time.sleep(60)", Status.TIMEOUT, "waits"),
    ("while True: pass", Status.TIMEOUT, "computes"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", Status.TIMEOUT, "stopped processes end too"),
    ("blocks = [bytearray(1 << 24) for _ in range(200)]", Status.MEMORY_LIMIT, "3 GB"),
    ("while True: print('x' * 1000)", Status.OUTPUT_LIMIT, "stdout"),
    ("import sys\nwhile True: sys.stderr.write('x' * 1000)", Status.OUTPUT_LIMIT, "stderr"),
    ("import os; os.ftruncate(1, 1 << 40)", Status.RUNTIME_ERROR, "a sparse output"),
    ("import os; os.fork()", Status.PROCESS_LIMIT, "no second process"),
    ("1 / 0", Status.RUNTIME_ERROR, "an exception"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Status.RUNTIME_ERROR, "it was its own doing"),
    ("import ctypes; ctypes.string_at(0)", Status.RUNTIME_ERROR, "a crash"),
    ("1 +", Status.COMPILE_ERROR, "not Python"),
    ("x = 1\0", Status.COMPILE_ERROR, "a null byte"),
    ("(" * 5000 + ")" * 5000, Status.COMPILE_ERROR, "too deep for the parser"),
]


@pytest.mark.parametrize(("code", "status", "why"), STATUSES, ids=[why for _, _, why in STATUSES])
def test_status(sandbox: Sandbox, code: str, status: Status, why: str) -> None:
    patience = 1.0 if status is Status.TIMEOUT else 60.0
    result = sandbox.run(code, "6\n", timeout_s=patience, memory_mb=256, output_mb=1)
    if why == "a sparse output":  # SIGXFSZ at the limit, with nothing written
        assert result.status in (Status.DISK_LIMIT, Status.OUTPUT_LIMIT)
    else:
        assert result.status == status, (why, result)
    assert len(result.stdout) <= 1 << 20
    assert result.confinement.level == sandbox.level
    assert "seccomp" in result.confinement.layers


def test_what_ordinary_programs_need(sandbox: Sandbox) -> None:
    program = """
        import asyncio, concurrent.futures, decimal, heapq, json, random, sys, threading
        sys.setrecursionlimit(10**6)
        def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
        async def waits(): await asyncio.sleep(0.01); return 5
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            print(sum(pool.map(lambda x: x * x, range(10))))
        print(depth(20000), asyncio.run(waits()), __name__, open(0).read().split(), "é→😀")
    """
    result = sandbox.run(textwrap.dedent(program), "1 ü\n2", timeout_s=20)
    assert (result.status, result.stderr) == (Status.OK, "")
    assert result.stdout == "285\n20000 5 __main__ ['1', 'ü', '2'] é→😀\n"


def test_a_program_with_the_number_of_the_trainer_is_no_breach() -> None:
    """Both are small in a container, and a program at level 3 may signal its own."""
    try:
        made = Sandbox(workers=1, level=3)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    with made:
        last = int(made.run("import ctypes, os; print(os.getpid())").stdout)
        probes = selftest.PROBES.format(secret="/s", outside="/o", port=1, unix="/u", trainer=last + 1)
        assert made.run(probes, timeout_s=30).stdout == "end\n"


def test_a_minimum_holds_against_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "1")
    with pytest.raises(SandboxUnavailableError, match=r"level 1 was asked for .* min_level = 2 forbids it"):
        Sandbox(workers=1, min_level=2)


def test_the_same_program_prints_the_same(best: Sandbox) -> None:
    code = "import random, os; print(random.random(), {'a', 'b', 'c'}, hash('x'))"
    assert len({result.stdout for result in run_all(best, [code] * 8)}) == 1


def test_limits_are_met_in_time(best: Sandbox) -> None:
    for code in ("while True: pass", "import time; time.sleep(60)"):
        result = best.run(code, timeout_s=0.5)
        assert result.status == Status.TIMEOUT
        assert result.exit_code is None


def test_a_call_returns_plain_data(best: Sandbox) -> None:
    code = "class E(int):\n    __eq__ = lambda s, o: True\ndef f(x, y=2): return [E(x), (y, 2.5), {'k': {1}}, f]"
    result, answer = best.call(code, "f", [10**30], {"y": None})
    assert result.status == Status.OK
    assert answer is not None
    value = answer[1]
    assert value[:3] == [10**30, (None, 2.5), {"k": {1}}]
    assert type(value[0]) is int
    assert value[3] != value[3]
    assert best.call("def f(): raise KeyError(1)", "f", [])[1] == ("raised", "KeyError")
    assert best.call("import os\ndef f(): os._exit(0)", "f", [])[1] is None


def test_bad_limits_are_refused(best: Sandbox) -> None:
    for value in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"timeout_s = {value}: a limit must be a number above 0"):
            best.run("", timeout_s=value)
    with pytest.raises(ValueError, match="level = 4"):
        Sandbox(level=4)


def test_threads(best: Sandbox) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(best.run, [f"print({i})" for i in range(12)])
    assert [result.stdout for result in results] == [f"{i}\n" for i in range(12)]


def test_a_closed_sandbox_says_so() -> None:
    try:
        made = Sandbox(workers=1, min_level=1)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made.run("")


def test_other_systems_get_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="darwin has neither seccomp nor Landlock"):
        Sandbox()
