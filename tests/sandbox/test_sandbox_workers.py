"""Workers that are interrupted, killed or left alone: no wrong answer, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sandbox_programs import run_all

from sandbox import Sandbox, Status, linux
from sandbox.worker import Worker

ROOT = Path(__file__).parents[2]


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
    assert [result.stdout for result in run_all(best, ["print(1)"] * 4)] == ["1\n"] * 4


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
    numpy = "import numpy" if programs > 1000 else "import json"
    mixed = ["print(1)", "1 / 0", numpy, "bytearray(1 << 34)", "open('f', 'w').write('x')"]
    wait_until(lambda: bool(run_all(sandbox, [*mixed, "import numpy"] * 2)) and len(sandbox.alive) == 4)
    directory = Path(sandbox.directory or "/tmp")

    def count() -> tuple[int, int, int]:
        left = list(directory.glob("r1zero-s*"))
        return len(list(Path("/proc/self/fd").iterdir())), len(sandbox.pids()), len(left)

    before = count()
    for _ in range(programs // 50):  # in batches, so that the results themselves do not add up
        run_all(sandbox, mixed * 10)
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
