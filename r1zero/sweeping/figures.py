"""The figures of a sweep: accuracy and behaviours against what was swept, and the learning curves.

Each is None when there is nothing to draw. They are drawn on figures of their own, never through pyplot.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from r1zero.reporting.curve import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from r1zero.reporting.series import series
from r1zero.runs.layout import METRICS
from r1zero.runs.reading import load_run
from r1zero.sweeping.results import Setting, Sweep

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, "#0e7490", "#a16207", "#be185d")
MAX_PANELS = 6
MAX_LEGEND = 8


def accuracy_figure(sweep: Sweep, settings: Sequence[Setting]) -> Figure | None:
    """Accuracy against each swept key; over seeds with an interval where one key alone is swept."""
    done = sweep.finished()
    keys = sweep.keys[:MAX_PANELS]
    if done.empty or not keys:
        return None
    figure, panels = grid(len(keys))
    for axes, key in zip(panels, keys, strict=True):
        place = places(sweep.jobs[key], axes, key)
        axes.plot([place[value] for value in done[key]], done["accuracy"], "o", color=BLUE, alpha=0.45, markersize=5)
        if len(sweep.keys) == 1:
            known = [setting for setting in settings if setting.accuracy]
            x = [place[setting.values[key]] for setting in known]
            means = np.array([setting.mean for setting in known])
            ends = np.array([(setting.low, setting.high) for setting in known]).T
            reach = np.nan_to_num(np.abs(ends - means))  # no interval from a single seed
            axes.errorbar(x, means, yerr=reach, color=ORANGE, fmt="o-", linewidth=1.8, capsize=4, markersize=6)
        axes.set_ylabel("held-out accuracy", fontsize=10)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def behaviour_figure(sweep: Sweep, settings: Sequence[Setting]) -> Figure | None:
    """Length, cut-offs and the behaviours that differ most, against the first swept key."""
    done = sweep.finished()
    if done.empty or not sweep.keys:
        return None
    measures = ["mean_length", *spread_first(done, [*sweep.behaviours, "truncated"])][:MAX_PANELS]
    key = sweep.keys[0]
    figure, panels = grid(len(measures))
    for axes, measure in zip(panels, measures, strict=True):
        place = places(sweep.jobs[key], axes, key)
        axes.plot([place[value] for value in done[key]], done[measure], "o", color=BLUE, alpha=0.45, markersize=5)
        means = done.groupby(done[key].map(place))[measure].mean().sort_index()
        axes.plot(means.index, means, "o-", color=ORANGE, linewidth=1.8, markersize=5)
        axes.set_title(measure.removeprefix("behaviour/").replace("_", " "), loc="left", fontsize=11, fontweight="bold")
        axes.set_ylim(bottom=0)
    return figure


def spread_first(done: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """The measures that are not zero everywhere, those that vary most between jobs first."""
    found = {key: done[key].astype(float) for key in measures}
    varied = {key: values.std(ddof=0) / values.mean() for key, values in found.items() if values.mean() > 0}
    return sorted(varied, key=lambda key: -varied[key])


def learning_figure(sweep: Sweep, settings: Sequence[Setting]) -> Figure | None:
    """Held-out accuracy by step for each setting."""
    figure, (axes,) = grid(1)
    drawn = 0
    for index, setting in enumerate(settings):
        mine = sweep.jobs
        for key, value in setting.values.items():
            mine = mine[mine[key] == value]
        curves = []
        for folder in mine["run_dir"]:
            if (sweep.directory / folder / METRICS).is_file():
                run = load_run(sweep.directory / folder)
                curves.append(series(run.rows, f"eval/{run.task}/accuracy").dropna())
        colour = COLOURS[index % len(COLOURS)]
        for curve in curves:
            axes.plot(curve, color=colour, alpha=0.25, linewidth=1)
        if curves and any(len(curve) for curve in curves):
            mean = pd.concat(curves, axis=1).mean(axis=1).sort_index()
            label = setting.name if index < MAX_LEGEND else None
            axes.plot(mean, color=colour, linewidth=2.2, marker="o", markersize=4, label=label)
            drawn += 1
    if not drawn:
        return None
    axes.set_xlabel("step", fontsize=10)
    axes.set_ylabel("held-out accuracy", fontsize=10)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.legend(frameon=False, fontsize=9.5)
    return figure


def grid(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels, two in a row."""
    columns, rows = min(count, 2), (count + 1) // 2
    figure = Figure(figsize=(6.2, 2.7 * rows + 0.3), dpi=160, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    panels = [figure.add_subplot(rows, columns, index + 1) for index in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=10, length=3)
    return figure, panels


def places(values: pd.Series, axes: Axes, key: str) -> dict[str, float]:
    """Where each value of a key stands on the x axis: numbers to scale, others side by side."""
    distinct = [str(value) for value in dict.fromkeys(values)]
    axes.set_xlabel(key, fontsize=10)
    numbers = pd.to_numeric(pd.Series(distinct), errors="coerce").tolist()
    if not any(map(math.isnan, numbers)):
        if len(numbers) <= 8:
            axes.set_xticks(sorted(numbers))
        if min(numbers) > 0 and max(numbers) / min(numbers) > 50:
            axes.set_xscale("log")
        return dict(zip(distinct, map(float, numbers), strict=True))
    axes.set_xticks(range(len(distinct)), distinct, rotation=20 if len(distinct) > 3 else 0)
    return {value: float(index) for index, value in enumerate(distinct)}
