"""Sums and differences for the embedded model: ``python -m r1zero.nano.arithmetic`` writes ``arithmetic.jsonl``.

Every number is one token of its vocabulary. The rows are distinct, in an order drawn once, so that the last ones can be
held out; they are a smoke test of the math tasks, not a benchmark.
"""

import json
import random
from pathlib import Path

PATH = Path(__file__).with_suffix(".jsonl")
NUM_ROWS = 768
LARGEST = 60


def rows() -> list[dict[str, str]]:
    """``{"question": "17 + 25 =", "answer": "42"}`` and so on, the same every time."""
    sums = [(f"{a} + {b} =", a + b) for a in range(1, LARGEST) for b in range(1, LARGEST)]
    differences = [(f"{a} - {b} =", a - b) for a in range(1, LARGEST) for b in range(1, a + 1)]
    chosen = random.Random("arithmetic").sample(sums + differences, NUM_ROWS)
    return [{"question": question, "answer": str(value)} for question, value in chosen]


def main() -> None:
    """Write the file."""
    PATH.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")


if __name__ == "__main__":
    main()
