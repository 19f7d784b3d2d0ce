"""One metric of a run by step, in the forms that charts and statements take"""

from collections.abc import Sequence

import pandas as pd

from r1zero.runs.metrics import Row, number


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
