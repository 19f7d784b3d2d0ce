"""Numbers, intervals and tables as plain text"""

import math
from collections.abc import Sequence

from r1zero.runs.metrics import Row, number


def percent(value: float | None) -> str:
    """``value`` in [0, 1] as a percentage; ``-`` for None.

    >>> percent(0.0614), percent(None)
    ('6.1%', '-')
    """
    return "-" if value is None else f"{value:.1%}"


def in_points(difference: float) -> str:
    """The difference of two shares in percentage points.

    >>> in_points(0.0614), in_points(-0.5)
    ('+6.1 points', '-50.0 points')
    """
    return f"{100 * difference:+.1f} points"


def interval(row: Row, key: str) -> str:
    """The 95% interval of the share at ``key``, e.g. ``4.3 to 8.5%``; ``-`` where the row has none."""
    return percent_range(number(row, f"{key}_low"), number(row, f"{key}_high"))


def percent_range(low: float | None, high: float | None) -> str:
    """``low`` and ``high`` in [0, 1] as percentages; ``-`` if one is None or NaN.

    >>> percent_range(0.0427, 0.085), percent_range(float("nan"), float("nan"))
    ('4.3 to 8.5%', '-')
    """
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "-"
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """``rows`` as text in columns: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def duration(seconds: float) -> str:
    """``seconds`` as a person would say them.

    >>> duration(42), duration(1265), duration(7500)
    ('42 s', '21 min', '2 h 5 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
