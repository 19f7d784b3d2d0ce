"""Values of a few things on one common axis, a row for each: dots, their mean, and its interval.

Names stand beside the rows as text of the page, where they may wrap, and places in a row are shares of its width: so
nothing is scaled or cut at any width of a screen. Text in, markup out, as in ``charts``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from r1zero.reporting.charts import label, nice_ticks

ROW, AXIS = 22, 20  # heights in pixels


@dataclass(frozen=True)
class Strip:
    """A row.

    Attributes:
        name: Beside it.
        dots: Single values.
        mean: Of the dots; NaN where there is none.
        low, high: An interval of the mean; NaN where there is none.
        text: The mean and what else is to be read, behind the row.
    """

    name: str
    dots: Sequence[float]
    mean: float
    low: float = math.nan
    high: float = math.nan
    text: str = ""


@dataclass(frozen=True)
class StripChart:
    """Rows on one axis that begins at 0; title, note, percent and meaning as of a ``Chart``."""

    title: str
    strips: Sequence[Strip]
    note: str = ""
    percent: bool = False
    meaning: str = ""

    @property
    def ticks(self) -> list[float]:
        """The axis: round numbers from 0 to at least the highest value."""
        values = [value for strip in self.strips for value in (*strip.dots, strip.mean, strip.low, strip.high)]
        highest = max((value for value in values if not math.isnan(value)), default=0.0)
        return nice_ticks(0.0, highest or 1.0, 4)

    def place(self, value: float) -> str:
        """Where ``value`` stands, as a share of the width."""
        return f"{100 * max(0.0, value) / self.ticks[-1]:.2f}%"

    def rows(self) -> list[tuple[str, Markup, str]]:
        """(name, picture, text) of each row."""
        return [(strip.name, self.row(strip), strip.text) for strip in self.strips]

    def row(self, strip: Strip) -> Markup:
        """One row as an SVG."""
        parts = [f'<rect class="tickline" y="{ROW / 2 - 0.5}" width="100%" height="1"/>']
        parts += [f'<rect class="tickline" x="{self.place(tick)}" width="1" height="{ROW}"/>' for tick in self.ticks]
        middle = f'cy="{ROW / 2}"'
        if not math.isnan(strip.low):
            ends = f'x1="{self.place(strip.low)}" x2="{self.place(strip.high)}" y1="{ROW / 2}" y2="{ROW / 2}"'
            parts.append(f'<line class="reach" {ends}/>')
        parts += [f'<circle class="single" cx="{self.place(value)}" {middle} r="4"/>' for value in strip.dots]
        if not math.isnan(strip.mean):
            parts.append(f'<circle class="mean" cx="{self.place(strip.mean)}" {middle} r="5"/>')
        return self.svg("row", ROW, parts)

    def axis(self) -> Markup:
        """The labels below the rows."""
        parts = []
        for number, tick in enumerate(self.ticks):
            anchor = "start" if number == 0 else "end" if number == len(self.ticks) - 1 else "middle"
            text = label(tick, self.percent)
            parts.append(f'<text class="tick" x="{self.place(tick)}" y="14" text-anchor="{anchor}">{text}</text>')
        return self.svg("axisrow", AXIS, parts)

    def svg(self, kind: str, height: int, parts: Sequence[str]) -> Markup:
        """An element as wide as there is room."""
        return Markup(f'<svg class="{kind}" width="100%" height="{height}" aria-hidden="true">{"".join(parts)}</svg>')
