"""One metric of a run by step, in the forms that charts and statements take"""

import re
from collections.abc import Sequence

import pandas as pd

from r1zero.runs.metrics import Row, number
from r1zero.runs.reading import Run


def points(rows: Sequence[Row], key: str) -> list[tuple[float, float | None]]:
    """(step, value) of the rows that have ``key``; None where it is no finite number."""
    return [(row["step"], number(row, key)) for row in rows if key in row]


def band(rows: Sequence[Row], key: str) -> list[tuple[float, float, float]]:
    """(step, low, high) of the rows that have the interval of ``key``."""
    ends = ((row["step"], number(row, f"{key}_low"), number(row, f"{key}_high")) for row in rows)
    return [(step, low, high) for step, low, high in ends if low is not None and high is not None]


def series(rows: Sequence[Row], key: str) -> pd.Series:
    """``points`` as a series by step, with NaN for None, which a line shows as a gap."""
    return pd.Series(dict(points(rows, key)), dtype="float64")


def same(rows: Sequence[Row], first: str, second: str) -> bool:
    """Whether two metrics are one number, to a millionth, in every row that has either; False where none has."""
    pairs = [(number(row, first), number(row, second)) for row in rows if first in row or second in row]
    return bool(pairs) and all(
        one == other or (one is not None and other is not None and abs(one - other) < 1e-6) for one, other in pairs
    )


def evaluated_tasks(run: Run) -> list[str]:
    """The tasks with a held-out accuracy, that of the headline first."""
    matches = (re.fullmatch(r"eval/(.+)/accuracy", key) for row in run.evaluations for key in row)
    return list(dict.fromkeys([*([run.task] if run.task else []), *(match[1] for match in matches if match)]))
