"""What works with ``python solution.py`` and on the contests' machines works here; two processes that talk."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox import Sandbox, Status

PROGRAMS = [
    ("import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 34, resource.RLIM_INFINITY))\nprint(3)", "3"),
    ("import os\nprint(os.path.basename(__file__)[-3:], os.path.isabs(__file__))", ".py True"),
    ("import inspect\ndef f(): return 1\nprint(inspect.getsource(f))", "def f(): return 1"),
    ("\ufeffprint(4)", "4"),
    ("print(len(str(3 ** 20000)), int('7' * 6000) % 10)", "9543 7"),
    ("import sys\nsys.setrecursionlimit(1 << 20)\nf = lambda n: n and 1 + f(n - 1)\nprint(f(30000))", "30000"),
]


@pytest.mark.parametrize(("code", "printed"), PROGRAMS)
def test_as_on_other_machines(sandbox: Sandbox, code: str, printed: str) -> None:
    result = sandbox.run(code, timeout_s=20)
    assert (result.stdout.strip(), result.stderr) == (printed, "")


def test_the_standard_streams_have_names(sandbox: Sandbox) -> None:
    if sandbox.level == 1:
        pytest.skip("level 1 opens nothing")
    code = "print(*open('/dev/stdin').read().split(), sum(map(int, open('/dev/fd/0'))))"
    assert sandbox.run(code, "1\n2\n", timeout_s=20).stdout == "1 2 3\n"


def test_a_stack_request_raises_no_other_limit(best: Sandbox) -> None:
    code = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)"
    assert best.run(code, timeout_s=20).status == Status.RUNTIME_ERROR
    code = "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (-1, -1))\nx = bytearray(1 << 31)"
    assert best.run(code, timeout_s=20, memory_mb=256).status == Status.MEMORY_LIMIT


def test_a_busy_machine_makes_no_program_late(best: Sandbox) -> None:
    """Beside three busy processes a core, half of a limit in CPU time is about twice the limit in wall time."""
    code = "s = 0\nfor i in range(4_000_000): s += i"
    limit_s = max(2 * best.run(code, timeout_s=60).cpu_s, 0.3)
    cores = len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * cores)]
    try:
        with ThreadPoolExecutor(2) as threads:
            results = list(threads.map(lambda _: best.run(code, timeout_s=limit_s), range(6)))
        asleep = best.run("import time; time.sleep(60)", timeout_s=1.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert [result.status for result in results] == [Status.OK] * 6
    assert (asleep.status, asleep.wall_s < 10) == (Status.TIMEOUT, True)


COUNT = """
def check(calls):
    total = 0
    for n in range(calls):
        try: total += program.ask("call", "f", (n,), {})
        except ValueError: pass
    return total
"""


def test_a_conversation(sandbox: Sandbox) -> None:
    code = "def f(n):\n    if n % 2: raise ValueError\n    return n"
    held = sandbox.converse(code, COUNT, [10], timeout_s=20)
    assert (held.answer, held.calls) == (("value", 20), 10)  # 0 + 2 + 4 + 6 + 8
    assert (held.program.status, held.checker.status) == (Status.OK, Status.OK)
    assert sandbox.run("print(6)", timeout_s=20).stdout == "6\n"


def test_a_program_that_lingers_is_ended_with_its_conversation(best: Sandbox) -> None:
    """It has a thread that never ends, and a minute of time."""
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef f(n): return n"
    held = best.converse(code, COUNT, [3], timeout_s=60)
    assert held.answer == ("value", 3)
    assert held.program.wall_s < 20
    late = best.converse("def f(n):\n    while True: pass", COUNT, [3], timeout_s=0.5)
    assert (late.program.status, late.answer) == (Status.TIMEOUT, ("raised", "BaseException"))


def test_a_program_cannot_reach_the_checker(best: Sandbox) -> None:
    """Apart from its standard files it holds one descriptor: the stream of questions."""
    code = """
import os
def held():
    for descriptor in range(3, 64):
        try:
            os.fstat(descriptor)
            yield descriptor
        except OSError:
            pass
def f(n):
    return len([*held()])
"""
    assert best.converse(code, COUNT, [1], timeout_s=20).answer == ("value", 1)
    code = "import os\ndef f(n):\n    os.kill(os.getppid(), 9)"
    assert best.converse(code, COUNT, [1], timeout_s=20).answer == ("raised", "PermissionError")
