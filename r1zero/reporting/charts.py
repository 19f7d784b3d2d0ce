"""Charts as inline SVG: lines with intervals and marks, and stacked shares. Text in, markup out; no file, no script.

Colours are CSS variables of the page, so a chart follows its light or dark theme. What a reader points at is shown by
the page's script from the ``data-`` attributes written here.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float | None]]

COLORS = ("c1", "c2", "c3", "c4", "c5", "c6")  # variables of the page
MAX_POINTS = 400  # a screen has few more columns
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 16, 26


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: For the legend.
        color: A CSS variable of the page, without its dashes.
        points: (step, value), ascending; None is a gap.
        band: (step, low, high), drawn under the line.
        smooth: Draw the points faint, and their running mean over them.
        dots: Mark each point.
    """

    name: str
    color: str
    points: Points
    band: Sequence[tuple[float, float, float]] = ()
    smooth: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """A panel: lines over steps, or shares stacked to 1.

    Attributes:
        title, note: Headline and a line below it.
        lines: What is drawn; for ``stacked`` from the bottom up.
        percent: Values are shares.
        stacked: Areas on top of each other.
        base: (low, high) of the base model, drawn as a band across all steps.
        marks: (step, text) of change points.
        x_name: What the horizontal axis counts.
        meaning: What is counted, shown when a reader points at the title.
    """

    title: str
    lines: Sequence[Line]
    note: str = ""
    percent: bool = False
    stacked: bool = False
    base: tuple[float, float] | None = None
    marks: Sequence[tuple[float, str]] = ()
    x_name: str = "step"
    meaning: str = ""

    @property
    def empty(self) -> bool:
        """Nothing to draw."""
        return not any(value is not None for line in self.lines for _, value in line.points)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, about ``count`` of them.

    >>> nice_ticks(0, 0.83), nice_ticks(0, 110, 6)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0])
    """
    span = max(high - low, 1e-9)
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if span / (magnitude * factor) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def label(value: float, percent: bool = False) -> str:
    """A number as an axis shows it.

    >>> label(0.25, percent=True), label(1500), label(0.004), label(2_500_000)
    ('25%', '1,500', '0.004', '2.5M')
    """
    if percent:
        return f"{100 * value:.4g}%"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.4g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def thinned(points: Points) -> Points:
    """At most ``MAX_POINTS`` points: means of neighbours."""
    if len(points) <= MAX_POINTS:
        return points
    size = math.ceil(len(points) / MAX_POINTS)
    chunks = (points[at : at + size] for at in range(0, len(points), size))
    means = []
    for chunk in chunks:
        known = [value for _, value in chunk if value is not None]
        means.append((chunk[-1][0], sum(known) / len(known) if known else None))
    return means


def running_mean(points: Points) -> Points:
    """Centred mean over a tenth of the points, at least 3 and at most 25."""
    half = (max(3, min(25, len(points) // 10)) | 1) // 2
    smooth = []
    for at, (step, value) in enumerate(points):
        near = [other for _, other in points[max(0, at - half) : at + half + 1] if other is not None]
        smooth.append((step, None if value is None else sum(near) / len(near)))
    return smooth


class Frame:
    """Where data land in the picture."""

    def __init__(self, chart: Chart, width: int, height: int) -> None:
        self.width, self.height = width, height
        lines = chart.lines
        steps = [step for line in lines for step, _ in line.points] + [step for step, _ in chart.marks]
        self.x_low, self.x_high = min(steps, default=0), max(steps, default=1)
        if self.x_high == self.x_low:
            self.x_high = self.x_low + 1
        values = [value for line in lines for _, value in line.points if value is not None]
        values += [high for line in lines for _, _, high in line.band] + [*(chart.base or ())]
        lowest = min([0.0, *values, *(low for line in lines for _, low, _ in line.band)])
        highest = 1.0 if chart.stacked or not any(values) else max([lowest, *values])
        self.y_ticks = nice_ticks(lowest, highest, 4)
        self.y_low, self.y_high = self.y_ticks[0], 1.0 if chart.stacked else self.y_ticks[-1]

    def x(self, step: float) -> float:
        """Pixels from the left."""
        share = (step - self.x_low) / (self.x_high - self.x_low)
        return round(LEFT + share * (self.width - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        share = (min(value, self.y_high) - self.y_low) / (self.y_high - self.y_low)
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)

    def path(self, points: Points) -> str:
        """An SVG path through ``points``, interrupted at gaps."""
        commands, pen = [], "M"
        for step, value in points:
            if value is None:
                pen = "M"
                continue
            commands.append(f"{pen}{self.x(step)} {self.y(value)}")
            pen = "L"
        return "".join(commands)

    def area(self, band: Sequence[tuple[float, float, float]]) -> str:
        """An SVG path around ``band``."""
        above = [f"{self.x(step)} {self.y(high)}" for step, _, high in band]
        below = [f"{self.x(step)} {self.y(low)}" for step, low, _ in reversed(band)]
        return f"M{'L'.join([*above, *below])}Z"


def axes(frame: Frame, percent: bool, x_name: str) -> list[str]:
    """Grid, tick labels and the name of the x axis."""
    right, bottom = frame.width - RIGHT, frame.height - BOTTOM
    parts = []
    for tick in frame.y_ticks:
        if tick <= frame.y_high + 1e-9:
            y = frame.y(tick)
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5}" text-anchor="end">{label(tick, percent)}</text>'
            )
    for tick in nice_ticks(frame.x_low, frame.x_high, max(4, frame.width // 110)):
        if frame.x_low <= tick <= frame.x_high and tick == int(tick):
            x = frame.x(tick)
            parts.append(f'<path class="axis" d="M{x} {bottom}v4"/>')
            parts.append(f'<text class="tick" x="{x}" y="{bottom + 16}" text-anchor="middle">{label(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
    parts.append(f'<text class="tick" x="{LEFT - 6}" y="{bottom + 16}" text-anchor="end">{x_name}</text>')
    return parts


def draw_lines(chart: Chart, frame: Frame) -> list[str]:
    """Bands, curves and dots."""
    parts = []
    if chart.base is not None:
        low, high = (frame.y(value) for value in chart.base)
        width = frame.width - LEFT - RIGHT
        parts.append(f'<rect class="base" x="{LEFT}" y="{high}" width="{width}" height="{max(1.0, low - high):.1f}"/>')
    for line in chart.lines:
        style = f'style="--c:var(--{line.color})"'
        points = thinned(line.points)
        if line.band:
            parts.append(f'<path class="band" {style} d="{frame.area(line.band)}"/>')
        if line.smooth:
            parts.append(f'<path class="faint" {style} d="{frame.path(points)}"/>')
        parts.append(f'<path class="line" {style} d="{frame.path(running_mean(points) if line.smooth else points)}"/>')
        known = [(step, value) for step, value in points if value is not None]
        if line.dots or len(known) == 1:
            parts += [f'<circle class="dot" {style} cx="{frame.x(s)}" cy="{frame.y(v)}" r="3"/>' for s, v in known]
    return parts


def draw_stack(chart: Chart, frame: Frame) -> list[str]:
    """Areas from the bottom up, of running means, which add up to 1 as the shares do."""
    parts: list[str] = []
    floor: dict[float, float] = {}
    for line in chart.lines:
        points = [(step, value or 0.0) for step, value in running_mean(thinned(line.points))]
        band = [(step, floor.get(step, 0.0), floor.get(step, 0.0) + value) for step, value in points]
        floor |= {step: high for step, _, high in band}
        if band:
            parts.append(f'<path class="area" style="--c:var(--{line.color})" d="{frame.area(band)}"/>')
    return parts


def draw_marks(chart: Chart, frame: Frame) -> list[str]:
    """A dashed line at each change point, its text on the side that has room."""
    parts = []
    for step, text in chart.marks:
        x = frame.x(step)
        left = x > frame.width * 0.6
        parts.append(f'<path class="mark" d="M{x} {TOP - 6}V{frame.height - BOTTOM}"/>')
        anchor = "end" if left else "start"
        place = f'x="{x - 5 if left else x + 5}" y="{TOP}" text-anchor="{anchor}"'
        parts.append(f'<text class="marktext" {place}>{escape(text)}</text>')
    return parts


def hover_data(chart: Chart, frame: Frame) -> str:
    """What the page's script needs to show values at a step."""
    lines = [
        {
            "name": line.name,
            "color": line.color,
            "points": [
                [step, None if value is None else float(f"{value:.4g}")] for step, value in thinned(line.points)
            ],
        }
        for line in chart.lines
    ]
    data = {
        "x": [frame.x_low, frame.x_high],
        "box": [LEFT, RIGHT, TOP, BOTTOM],
        "percent": chart.percent,
        "name": chart.x_name,
        "lines": lines,
    }
    return json.dumps(data, separators=(",", ":"))


def svg(chart: Chart, width: int = 340, height: int = 190) -> Markup:
    """``chart`` as an SVG of that many units; all its texts are escaped."""
    frame = Frame(chart, width, height)
    drawn = draw_stack(chart, frame) if chart.stacked else draw_lines(chart, frame)
    grid = axes(frame, chart.percent, chart.x_name)
    parts = [*drawn, *grid] if chart.stacked else [*grid, *drawn]  # areas would hide the grid
    parts += draw_marks(chart, frame)
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(chart.title)}" '
        f'data-chart="{escape(hover_data(chart, frame))}">{"".join(parts)}</svg>'
    )
