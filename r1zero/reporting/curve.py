"""The learning curve of a run: one figure of three panels, drawn from its metrics.

It works on figures of its own and never through pyplot, so no setting and no open figure of the process changes. It
reads no file, and shows one run only.
"""

import os
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from r1zero.reporting.series import series
from r1zero.runs.files import replacing
from r1zero.runs.reading import Run

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#1a5fb4", "#d97706", "#15803d", "#7c3aed", "#c2410c", "#6b7280"


def style_panel(axes: Axes, title: str, last_step: int) -> None:
    """Gives a panel its title, frame, grid and the step axis that all panels share."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("step", fontsize=10)
    axes.set_xlim(-0.02 * last_step, 1.02 * last_step)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.tick_params(labelsize=10, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)


def draw_empty(axes: Axes) -> None:
    """Says that a panel has nothing to show."""
    axes.text(0.5, 0.5, "nothing logged yet", transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_yticks([])


def draw_accuracy(axes: Axes, run: Run) -> None:
    """Held-out accuracy with its 95% band; the first level goes on as a dashed line."""
    key = f"eval/{run.task}/accuracy"
    accuracy, greedy = series(run.rows, key), series(run.rows, f"eval/{run.task}/greedy_accuracy")
    low, high = (series(run.rows, f"{key}_{side}").reindex(accuracy.index) for side in ("low", "high"))
    known = accuracy.dropna()
    if known.empty:
        draw_empty(axes)
        return
    axes.fill_between(accuracy.index, low, high, color=BLUE, alpha=0.16, linewidth=0, label="95% interval")
    axes.vlines(accuracy.index, low, high, color=BLUE, alpha=0.4, linewidth=1)
    axes.plot(accuracy, color=BLUE, linewidth=2.2, marker="o", markersize=4.5, label="sampled")
    if not greedy.empty:
        axes.plot(greedy, color=ORANGE, linewidth=1.1, marker=".", markersize=4, label="greedy")
    first_label = f"step {known.index[0]}: {known.iloc[0]:.1%}"
    axes.axhline(known.iloc[0], color=GREY, linewidth=1.2, linestyle="--", label=first_label)
    if len(known) > 1:
        axes.annotate(
            f"{known.iloc[-1]:.1%}",
            (known.index[-1], known.iloc[-1]),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=11,
            fontweight="bold",
            color=BLUE,
        )
    highest = pd.concat([known, greedy, high]).max()
    axes.set_ylim(0, 1.0 if highest > 0.6 else max(1.4 * highest, 0.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False, fontsize=9.5, loc="best")


def draw_training(axes: Axes, values: pd.Series, color: str) -> None:
    """``values`` as they were logged, light, under their running mean."""
    if values.dropna().empty:
        draw_empty(axes)
        return
    window = max(3, min(25, len(values) // 10)) | 1  # odd, so that the mean is centred on its step
    mean = values.rolling(window, center=True, min_periods=1).mean().where(values.notna())
    axes.plot(values, color=color, alpha=0.3, linewidth=0.9, marker=".", markersize=2, label="each step")
    axes.plot(mean, color=color, linewidth=2, label=f"mean of {window} steps")


def plot_curve(run: Run, out: Path) -> None:
    """Writes the PNG ``out``: held-out accuracy above, training reward and completion length below."""
    figure = Figure(figsize=(7.5, 6.8), dpi=160, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    grid = figure.add_gridspec(2, 2, height_ratios=[1.3, 1])
    last_step = max(run.rows[-1]["step"], 1) if run.rows else 1
    accuracy, reward = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, 0])
    length = figure.add_subplot(grid[1, 1])
    style_panel(accuracy, "Held-out accuracy", last_step)
    draw_accuracy(accuracy, run)
    style_panel(reward, "Training reward", last_step)
    draw_training(reward, series(run.rows, "reward"), GREEN)
    if reward.lines:
        reward.legend(frameon=False, fontsize=9.5)
    style_panel(length, "Completion length, tokens", last_step)
    draw_training(length, series(run.rows, "completions/mean_length"), PURPLE)
    clipped = series(run.rows, "completions/clipped_ratio")
    if not clipped.dropna().empty:
        right = length.twinx()
        draw_training(right, clipped, RED)
        right.set_ylim(0, 1)
        right.yaxis.set_major_formatter(PercentFormatter(1))
        right.set_ylabel("truncated", color=RED, fontsize=10)
        right.tick_params(labelsize=10, length=3, labelcolor=RED)
        right.spines[["top", "left", "bottom"]].set_visible(False)
    with replacing(out, f".{os.getpid()}") as temporary:
        figure.savefig(temporary, format="png", facecolor="white")
