"""How well the behaviour probes agree with a person: precision and recall on hand-labelled snippets.

``python -m benchmarks.behaviours [--table FILE] [--misses]``

A snippet counts as found when the probe's count is above 0. The labels are those of one person, who also wrote the
snippets and the probes; every label was fixed before a probe was run on its snippet. Round 1 was known when the probes
were written; round 2 was then written to fool them, and the probes were improved with it; round 3 was written after
that, and nothing was changed once it had been measured: round 3 is the fair column, rounds 1 and 2 are flattered.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from r1zero.measuring.behaviours import BEHAVIOURS
from r1zero.measuring.statistics import wilson_interval

TABLE = Path(__file__).resolve().parents[1] / "tests" / "data" / "behaviours.jsonl"
# Probe -> the label it is held against; both keyword lists stand for the same idea.
LABEL_OF = {
    name: name for name in BEHAVIOURS if name not in ("oat_keywords", "orz_keywords", "tries", "repeated_tries")
}
LABEL_OF |= {"oat_keywords": "reflection", "orz_keywords": "reflection"}


def read_table(path: Path = TABLE) -> list[dict[str, Any]]:
    """The snippets: ``text``, ``labels``, and where it matters ``target``, ``tries`` and ``why``."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def agreement(probe: str, rows: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Snippets that both found, that only the probe found, and that only the person found."""
    found = [BEHAVIOURS[probe](row["text"], row) > 0 for row in rows]
    labelled = [LABEL_OF[probe] in row["labels"] for row in rows]
    both = sum(a and b for a, b in zip(found, labelled, strict=True))
    return both, sum(found) - both, sum(labelled) - both


# What a broken policy writes until it is cut off; an expression that backtracks would take minutes for one of them.
DEGENERATE = (
    "!",
    "1",
    "1+",
    "1 ",
    " ",
    "\\n",
    ". ",
    "=",
    "1+1=",
    "let me ",
    "but hmm ",
    ". so, ",
    "this is ",
    "(",
    "a",
    "等",
)


def slowest(num_chars: int = 16_000) -> tuple[float, str, str]:
    """Milliseconds of the slowest probe on the degenerate text that it is slowest on, and which these are."""
    found = []
    for unit in DEGENERATE:
        text = (unit * num_chars)[:num_chars]
        for name, count in BEHAVIOURS.items():
            started = time.process_time()
            count(text, {"target": 1})
            found.append((1000 * (time.process_time() - started), name, unit))
    return max(found)


def share(part: int, whole: int) -> str:
    """``part / whole`` with its 95% interval, or a dash."""
    if whole == 0:
        return "-"
    low, high = wilson_interval(part, whole)
    return f"{part / whole:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Print one line a probe, for all rows and for those of round 3."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.behaviours", description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--misses", action="store_true", help="also print every snippet on which they differ")
    arguments = parser.parse_args()
    rows = read_table(arguments.table)
    print(f"{len(rows)} snippets")
    print("| probe | labelled | precision | recall | precision, round 3 | recall, round 3 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for probe in LABEL_OF:
        cells = []
        for part in (rows, [row for row in rows if row["round"] == 3]):
            both, only_probe, only_person = agreement(probe, part)
            cells += [share(both, both + only_probe), share(both, both + only_person)]
        print(f"| `{probe}` | {sum(LABEL_OF[probe] in row['labels'] for row in rows)} | {' | '.join(cells)} |")
    counted = [row for row in rows if "tries" in row]
    exact = sum(BEHAVIOURS["tries"](row["text"], row) == row["tries"] for row in counted)
    print(f"`tries`: the same number as the person's in {exact} of {len(counted)} snippets")
    milliseconds, name, unit = slowest()
    print(f"slowest probe on 16,000 degenerate characters: {name}, {milliseconds:.0f} ms on {unit!r}")
    if arguments.misses:
        for row in rows:
            for probe in LABEL_OF:
                if agreement(probe, [row])[0] == 0 and sum(agreement(probe, [row])) > 0:
                    sys.stdout.write(f"{probe}: {agreement(probe, [row])} {row['text']!r}\n")
            if "tries" in row and BEHAVIOURS["tries"](row["text"], row) != row["tries"]:
                sys.stdout.write(f"tries: {BEHAVIOURS['tries'](row['text'], row)} not {row['tries']} {row['text']!r}\n")


if __name__ == "__main__":
    main()
