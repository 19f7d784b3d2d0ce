"""``metrics.jsonl``: one flat JSON object a step, written as a run goes on and read back"""

import json
import math
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def number(row: Row, key: str) -> float | None:
    """``row[key]`` if it is a finite number; None for an absent key, null, NaN or infinity."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def read_metrics(path: Path) -> tuple[list[Row], int]:
    """The rows of ``path`` in order of step, and the number of lines that could not be read.

    A resumed run repeats the steps after its checkpoint: the later value of a key wins.
    """
    rows: dict[int, Row] = {}
    num_unreadable = 0
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.setdefault(row["step"], {}).update(row)
        elif line.strip():
            num_unreadable += 1
    return [rows[step] for step in sorted(rows)], num_unreadable


class MetricsFile:
    """``metrics.jsonl``: one flat JSON object a step. Metrics that come later for the same step join its line.

    Args:
        path: The file.
        last_step: The step that a resumed run goes on from: later rows are cut off, since it writes them again. None
            for a new run, whose file must not exist.
    """

    def __init__(self, path: Path, last_step: int | None = None) -> None:
        self.row: dict[str, Any] = {}
        self.known: dict[str, Any] = {}  # the latest value of every metric
        self.row_start = end = 0
        self.file = path.open("x" if last_step is None else "r+", encoding="utf-8")
        if last_step is None:
            return
        while (line := self.file.readline()).endswith("\n") and json.loads(line)["step"] <= last_step:
            self.row, self.row_start, end = json.loads(line), end, self.file.tell()
            self.known |= self.row
        self.file.seek(end)
        self.file.truncate()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Write ``metrics`` of ``step``; a number that JSON cannot hold (NaN, infinity) becomes null."""
        if self.row.get("step") == step:
            self.file.seek(self.row_start)
        else:
            self.row, self.row_start = {"step": step}, self.file.tell()
        self.row |= {key: value if math.isfinite(value) else None for key, value in metrics.items()}
        self.known |= self.row
        self.file.write(json.dumps(self.row) + "\n")
        self.file.flush()  # before the old line is cut: a kill in between loses nothing
        self.file.truncate()
