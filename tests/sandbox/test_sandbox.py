"""The sandbox on this machine, at every level that it allows: statuses, escapes, deaths, leaks."""

import asyncio
import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sandbox_programs import ATTEMPTS, PRELUDE, VIOLATIONS

from sandbox import Program, Sandbox, SandboxUnavailableError, Status, linux, scratch, selftest
from sandbox.local import LEVEL_VARIABLE
from sandbox.worker import Worker

ROOT = Path(__file__).parents[2]
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="system call numbers of x86_64")


@pytest.fixture(scope="module", params=[3, 2, 1])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox at each level; skipped, with the reason, where the machine does not have it."""
    try:
        made = Sandbox(workers=2, level=request.param)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="module")
def best() -> Iterator[Sandbox]:
    try:
        made = Sandbox(workers=2, min_level=1)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    yield made
    made.close()


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

        def run(item: tuple[str, str]) -> tuple[str, object]:
            body = item[1]
            for key, value in values.items():
                body = body.replace(key, str(value))
            return item[0], sandbox.run(PRELUDE + body, timeout_s=20)

        escaped = [
            (name, r.stdout, r.stderr) for name, r in sandbox.map(run, ATTEMPTS.items()) if "ESCAPED" in r.stdout
        ]
        broken = [
            (name, r.error) for name, r in sandbox.map(run, VIOLATIONS.items()) if r.status != "security_violation"
        ]
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
    assert result.level == sandbox.level
    assert "seccomp" in result.layers


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
        assert [result.stdout for result in sandbox.run_many([Program(look)] * 4)] == ["[] 1\n"] * 4


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
        assert [r.stdout for r in sandbox.run_many([Program("import os; print(os.listdir('.'))")] * 2)] == ["[]\n"] * 2


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


def test_a_program_that_interrupts_its_own_calls_runs_on(sandbox: Sandbox) -> None:
    """A signal that arrives while the supervisor is asked makes the call anew."""
    program = """
        import signal, threading
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        for _ in range(1500): threading.Thread(target=int).start()
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(6)
    """
    result = sandbox.run(textwrap.dedent(program), timeout_s=60)
    assert (result.status, result.stdout) == (Status.OK, "6\n"), result


def test_a_run_that_is_interrupted_here_does_not_answer_for_the_next(
    best: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with Sandbox(workers=1, level=best.level) as fresh:
        with monkeypatch.context() as patch:
            patch.setattr(Worker, "receive", interrupted)
            patch.setattr(Worker, "is_alive", lambda self: True)
            with pytest.raises(KeyboardInterrupt):
                fresh.run("import time; time.sleep(2); print('the first')")
        result = fresh.run("print('the second')")
        assert (result.status, result.stdout) == (Status.OK, "the second\n")


def test_a_worker_that_cannot_be_replaced_is_an_infrastructure_error(best: Sandbox) -> None:
    with Sandbox(workers=1, level=best.level) as fresh:
        for pid in fresh.pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in fresh.pids()))
        fresh.python, python = "/nowhere/python", fresh.python
        for _ in range(2):
            result = fresh.run("print(1)")
            assert (result.status, "/nowhere/python" in result.error) == (Status.INFRASTRUCTURE_ERROR, True)
        fresh.python = python
        assert fresh.run("print(1)").stdout == "1\n"


def test_a_fork_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """-1 as the program's process id would make everything a target of the kill at the time limit."""
    monkeypatch.setattr(linux, "_holding_the_lock", SimpleNamespace(fork=lambda: -1))
    with pytest.raises(OSError, match="too many processes"):
        linux.fork()


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
    assert len({result.stdout for result in best.run_many([Program(code)] * 8)}) == 1


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


def test_async_and_threads(best: Sandbox) -> None:
    async def gather() -> list[str]:
        return [result.stdout for result in await asyncio.gather(*(best.arun(f"print({i})") for i in range(6)))]

    assert asyncio.run(gather()) == [f"{i}\n" for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        assert [r.stdout for r in pool.map(best.run, ["print(1)"] * 8)] == ["1\n"] * 8


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie that nobody has asked about yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def running_programs(sandbox: Sandbox) -> set[int]:
    """Children of the workers that are not workers themselves."""
    workers, children = sandbox.pids(), set()
    for pid in workers:
        with contextlib.suppress(OSError):
            children |= set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return children - workers


def test_a_killed_worker_is_an_infrastructure_error_and_is_replaced(best: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(best.run, "import time; time.sleep(600)", timeout_s=700)
        wait_until(lambda: bool(running_programs(best)))
        pids = best.pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        killed = running.result(timeout=60)
    assert killed.status == Status.INFRASTRUCTURE_ERROR
    assert "ended" in killed.error
    wait_until(lambda: not any(is_running(pid) for pid in pids))  # a signal is sent at once, and arrives when it does
    assert [result.stdout for result in best.run_many([Program("print(1)")] * 4)] == ["1\n"] * 4


def children_of(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_nothing_outlives_a_killed_trainer(best: Sandbox, tmp_path: Path) -> None:
    script = (
        f"from sandbox import Sandbox\ns = Sandbox(workers=1, level={best.level}, directory={str(tmp_path)!r})\n"
        "print('ready', flush=True)\ninput()\ns.run('while True: pass', timeout_s=600)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    trainer = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, **pipes)
    assert trainer.stdin is not None and trainer.stdout is not None
    assert trainer.stdout.readline() == "ready\n"
    workers = len(children_of(str(tmp_path)))
    trainer.stdin.write("\n")
    trainer.stdin.flush()
    wait_until(lambda: len(children_of(str(tmp_path))) > workers > 0)
    trainer.kill()
    trainer.wait()
    wait_until(lambda: not children_of(str(tmp_path)))  # 0.1 s on an idle machine
    wait_until(lambda: not list(tmp_path.iterdir()))


def soak(sandbox: Sandbox, programs: int) -> tuple[int, int, int]:
    """(descriptors, processes, files) that were left behind."""
    mixed = [
        Program("print(1)"),
        Program("1 / 0"),
        Program("import numpy" if programs > 1000 else "import json"),
        Program("bytearray(1 << 34)"),
        Program("open('f', 'w').write('x')"),
    ]
    wait_until(lambda: bool(sandbox.run_many([*mixed, Program("import numpy")] * 2)) and len(sandbox.alive) == 4)
    directory = Path(sandbox.directory or "/tmp")

    def count() -> tuple[int, int, int]:
        left = list(directory.glob("r1zero-s*"))
        return len(list(Path("/proc/self/fd").iterdir())), len(sandbox.pids()), len(left)

    before = count()
    for _ in range(programs // 50):  # in batches, so that the results themselves do not add up
        sandbox.run_many(mixed * 10)
    after = count()
    return tuple(a - b for a, b in zip(after, before, strict=True))  # type: ignore[return-value]


def test_nothing_is_left_behind(best: Sandbox, tmp_path: Path) -> None:
    with Sandbox(workers=2, level=best.level, directory=str(tmp_path)) as fresh:
        assert soak(fresh, 100) == (0, 0, 0)
        workers = fresh.pids()
    assert not list(tmp_path.iterdir())
    wait_until(lambda: not any(map(is_running, workers)))


@pytest.mark.slow
def test_ten_thousand_programs(best: Sandbox, tmp_path: Path) -> None:
    def resident_kb(pids: set[int]) -> int:
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in {*pids, os.getpid()}]
        return sum(int(text.split("VmRSS:")[1].split()[0]) for text in texts)

    with Sandbox(workers=2, level=best.level, directory=str(tmp_path)) as fresh:
        soak(fresh, 500)
        before = resident_kb(fresh.pids())
        assert soak(fresh, 10_000) == (0, 0, 0)
        assert resident_kb(fresh.pids()) - before < 5000


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
