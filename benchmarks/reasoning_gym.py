"""The table of docs/reasoning_gym.md: every data set of reasoning-gym, what answers that ignore the problem earn, and
what a training run does about it.

``python -m benchmarks.reasoning_gym [NAME ...]`` (pip install '.[reasoning_gym]'; 10 minutes on two cores)

A data set that may be trained on is checked again on problems that the probe has not seen: each of the probe's answers
is scored under the rule that the probe chose. The last lines say how many sets train and the largest mean found; the
exit status is 1 when that exceeds ``task.max_floor``.
"""

import argparse
import contextlib
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from r1zero.config.tasks import GymConfig
from r1zero.tasks.gym import fault_of
from r1zero.tasks.gym_probe import Probe, answers_of, tally
from r1zero.tasks.gym_problems import make
from rewards.gym_answer import problems_of, unpacked

MAX_FLOOR = GymConfig.max_floor
SEED = 1 << 28  # no problem of the probe
CHECKED = ((0.01, 200), (0.1, 40), (float("inf"), 6))  # problems, for data sets faster than so many seconds a problem
COMPARED = 16  # problems made under two hash seeds


@dataclass(frozen=True)
class Measured:
    """A line of the table; ``largest`` is what the best answer earns on the fresh problems, ``answer`` which it is."""

    name: str
    probe: Probe
    fault: str | None
    depends_on_hash_seed: bool
    largest: float
    answer: str

    def line(self) -> str:
        """The line, in Markdown."""
        probe = self.probe
        action = {"partial": f"library, above {probe.rule.floor:.3f}", "full": "library, full score only"}.get(
            probe.rule.kind, "strict: equals the gold"
        )
        if probe.rule.kind == "partial" and probe.rule.floor == 0:
            action = "library"
        if self.name == "puzzle24":
            action = "strict: the given numbers, each once"
        if self.fault:
            action = f"refused: {short(probe.best_paid)} earns {probe.paid:.2f}"
        cells = [
            f"`{self.name}`",
            "yes" if probe.has_gold else "no",
            f"{probe.floor:.3f} {short(probe.best)}" if probe.floor else "0",
            f"{probe.paid:.3f}",
            "yes" if self.depends_on_hash_seed else "no",
            f"{probe.seconds:.3f}",
            action,
        ]
        return f"| {' | '.join(cells)} |"


def short(answer: str) -> str:
    """The answer's name, fit for a table."""
    text = answer.replace("\\n", " ").replace("|", "/")
    return f"`{text if len(text) <= 24 else text[:20] + '...'}`"


def measure(name: str) -> Measured:
    """Probes the data set, and checks what its rule pays on other problems."""
    probes: list[Probe] = []
    first = make(name, {}, [(SEED, COMPARED)], MAX_FLOOR, probes.append)[0]
    second = make(name, {}, [(SEED, COMPARED)], MAX_FLOOR, lambda probe: None, hash_seed=1)[0]
    depends = [problem[:2] for problem in first] != [problem[:2] for problem in second]
    probe = probes[0]
    fault = fault_of(probe, MAX_FLOOR)
    largest, answer = (0.0, "") if fault else checked(name, probe)
    return Measured(name, probe, fault, depends, largest, answer)


def checked(name: str, probe: Probe) -> tuple[float, str]:
    """The largest mean that an answer of the list earns on fresh problems, and the answer."""
    count = next(count for limit, count in CHECKED if probe.seconds < limit)
    problems = make(name, {}, [(SEED + COMPARED, count)], MAX_FLOOR, lambda probe: None)[0]
    entries = [unpacked(problem.entry) for problem in problems]
    scorer = problems_of(name, {})
    return max(
        (tally(answer, entries, scorer, name).mean(probe.rule), label) for label, answer in answers_of(entries).items()
    )


def main() -> int:
    """Measures and prints."""
    from reasoning_gym.factory import DATASETS

    out = sys.stdout  # the library prints too
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=sorted(set(DATASETS) - {"composite"}), metavar="NAME")
    names = parser.parse_args().names
    header = "data set | gold | floor, by which answer | earns | hash seed | s | what we do"
    print(f"| {header} |\n|{' --- |' * 7}", flush=True)
    with ThreadPoolExecutor(2) as threads, contextlib.redirect_stdout(io.StringIO()):
        found = []
        for measured in threads.map(measure, names):
            print(measured.line(), file=out, flush=True)
            found.append(measured)
    trained = [measured for measured in found if not measured.fault]
    kinds = {kind: sum(each.probe.rule.kind == kind for each in trained) for kind in ("partial", "full", "strict")}
    print(f"\n{len(trained)} of {len(found)} data sets train with task.max_floor = {MAX_FLOOR}; judged by {kinds}")
    print(f"refused: {', '.join(measured.name for measured in found if measured.fault)}")
    top = sorted(trained, key=lambda measured: -measured.largest)[:5]
    print("largest means on fresh problems: " + ", ".join(f"{e.name} {e.largest:.3f} {short(e.answer)}" for e in top))
    ratio = top[0].largest / MAX_FLOOR if top else 0.0
    print(f"ratio of the largest to the bar: {ratio:.2f} {'ok' if ratio <= 1 else 'FAILED'}")
    return int(ratio > 1)


if __name__ == "__main__":
    raise SystemExit(main())
