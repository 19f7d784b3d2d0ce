"""Our math judge beside math-verify, on the same cases in one run: accuracy, wrong acceptances, hangs, time.

``python -m benchmarks.math_judge [--cases FILE] [--peer-python PYTHON] [--rounds 3]``

math-verify runs in an environment of its own, because it needs an antlr that hydra-core forbids:

    python3.11 -m venv /some/where && /some/where/bin/pip install math-verify==0.9.0 antlr4-python3-runtime==4.13.2

Cases are JSON lines with ``gold``, ``response`` and ``correct``; fields named ``pred`` and ``expected`` do too, and a
null label counts for time only. Both judges answer in a child process, one case at a time, in interleaved rounds; a
case that takes longer than ``--limit`` seconds is a hang, and the child is killed. Without ``--peer-python`` only ours
is measured.
"""

import argparse
import json
import select
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "data" / "math_answers.jsonl"

OURS = """
import json, sys
from rewards.math_answer import grade, warm_up
warm_up()
for line in sys.stdin:
    gold, response = json.loads(line)
    print(json.dumps(grade(gold, response).outcome.name == "CORRECT"), flush=True)
"""
# As its README shows it, without its timeouts, which do not work off the main thread; the parent holds the limit.
PEER = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from math_verify import parse, verify
for line in sys.stdin:
    gold, response = json.loads(line)
    try:
        gold = gold if "$" in gold or "boxed" in gold else "$" + gold + "$"
        right = parse(gold, parsing_timeout=None)
        paid = bool(verify(right, parse(response, parsing_timeout=None), timeout_seconds=None))
    except Exception:  # as its users do: what it cannot read earns nothing
        paid = False
    print(json.dumps(paid), flush=True)
"""


class Judge:
    """A judge in a child process that is killed when it overruns."""

    def __init__(self, name: str, python: str, program: str, limit_s: float) -> None:
        self.name, self.command, self.limit_s = name, [python, "-c", program], limit_s
        self.child: subprocess.Popen[bytes] | None = None

    def ask(self, gold: str, response: str) -> tuple[bool | None, float]:
        """(paid, seconds); None for a hang or a crash."""
        if self.child is None:
            self.child = subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self.exchange("1", "$1$", 120.0)  # warm-up, not timed
        begin = time.perf_counter()
        answer = self.exchange(gold, response, self.limit_s)
        seconds = time.perf_counter() - begin
        if answer is None:
            self.close()
        return answer, seconds

    def exchange(self, gold: str, response: str, limit_s: float) -> bool | None:
        """One question and its answer; None when there is none in time."""
        assert self.child is not None and self.child.stdin is not None and self.child.stdout is not None
        try:
            self.child.stdin.write(json.dumps([gold, response]).encode() + b"\n")
            self.child.stdin.flush()
            readable, _, _ = select.select([self.child.stdout], [], [], limit_s)
            line = self.child.stdout.readline() if readable else b""
        except OSError:
            line = b""
        return json.loads(line) if line else None

    def close(self) -> None:
        """Kill the child."""
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.child = None


def load(path: Path) -> list[tuple[str, str, bool | None]]:
    """(gold, response, label) of every case."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        (row["gold"], row["response"] if "response" in row else row["pred"], row.get("correct", row.get("expected")))
        for row in rows
    ]


def measure(judge: Judge, cases: list[tuple[str, str, bool | None]]) -> dict[str, Any]:
    """One pass over the cases."""
    outcomes, times, decided = Counter[str](), [], []
    for gold, response, label in cases:
        paid, seconds = judge.ask(gold, response)
        times.append(seconds)
        decided.append(paid)
        if paid is None:
            outcomes["hang or crash"] += 1
        if label is not None:
            outcomes["right" if paid == label else "wrongly paid" if paid else "wrongly refused"] += 1
    times.sort()
    labelled = sum(label is not None for _, _, label in cases)
    return {
        "accuracy": outcomes["right"] / labelled,
        "wrongly_paid": outcomes["wrongly paid"],
        "wrongly_refused": outcomes["wrongly refused"],
        "hangs_or_crashes": outcomes["hang or crash"],
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(0.99 * (len(times) - 1))],
        "max_ms": 1e3 * times[-1],
        "checks_per_s": len(times) / sum(times),
        "verdicts": decided,
    }


def longest_scan_ms() -> float:
    """The longest time of ours on up to a megabyte of one thing, in this process, without a pipe."""
    from rewards.math_answer import grade

    grade("7", "7")
    worst = 0.0
    for unit in (
        "a",
        " ",
        "\\",
        "{",
        "}",
        "$",
        "(",
        "1",
        ",",
        "-",
        "\n",
        "\\boxed{",
        "\\boxed{1},",
        "x = ",
        "answer is ",
        "\\(",
        "\\(",
    ):
        for frame in ("{}", "\\boxed{{{}}}", "The answer is {}"):
            for size in (1_900, 15_900, 1_000_000):  # parsed; looked at as a whole; searched only
                response = frame.format(unit * (size // len(unit)))
                begin = time.perf_counter()
                grade("7", response)
                worst = max(worst, 1e3 * (time.perf_counter() - begin))
    return worst


def main() -> None:
    """Measure in interleaved rounds and print a table, the disagreements on request, and the headline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--peer-python", help="python of an environment with math-verify")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds a case may take")
    parser.add_argument("--disagreements", action="store_true", help="print every case on which the two differ")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    cases = load(options.cases)
    judges = [Judge("r1zero", sys.executable, OURS, options.limit)]
    if options.peer_python:
        judges.append(Judge("math-verify", options.peer_python, PEER, options.limit))
    rounds: dict[str, list[dict[str, Any]]] = {judge.name: [] for judge in judges}
    for _ in range(options.rounds):
        for judge in judges:
            rounds[judge.name].append(measure(judge, cases))
            judge.close()  # a fresh process a round: no verdict comes from a cache of the last one
    figures = (
        "accuracy",
        "wrongly_paid",
        "wrongly_refused",
        "hangs_or_crashes",
        "p50_ms",
        "p99_ms",
        "max_ms",
        "checks_per_s",
    )
    print(f"{len(cases)} cases of {options.cases.name}, median of {options.rounds} rounds, a pipe to a child included")
    print(f"{'judge':<12}" + "".join(f"{name:>18}" for name in figures))
    for name, found in rounds.items():
        print(f"{name:<12}" + "".join(f"{statistics.median(one[key] for one in found):>18.4g}" for key in figures))
    if options.disagreements and options.peer_python:
        pairs = zip(cases, rounds["r1zero"][0]["verdicts"], rounds["math-verify"][0]["verdicts"], strict=True)
        for (gold, response, label), ours, theirs in pairs:
            if ours != theirs:
                print(f"  ours {ours}, math-verify {theirs}, label {label}: {gold!r:.60} | {response!r:.90}")
    print(f"longest on up to a megabyte of one thing: {longest_scan_ms():.1f} ms")
    if options.peer_python:
        ratios = [
            ours["checks_per_s"] / theirs["checks_per_s"]
            for ours, theirs in zip(rounds["r1zero"], rounds["math-verify"], strict=True)
        ]
        print(f"ratio checks per second of r1zero to math-verify: {statistics.median(ratios):.1f}")
        print(f"  rounds: {min(ratios):.1f} to {max(ratios):.1f}")
    if options.json:
        kept = {name: [{key: one[key] for key in figures} for one in found] for name, found in rounds.items()}
        options.json.write_text(json.dumps({"cases": len(cases), "rounds": kept}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
