"""The figures of a sweep: accuracy, length and behaviours of its settings, and the learning curves."""

from collections.abc import Sequence

import pandas as pd

from r1zero.measuring.behaviours import MEANINGS
from r1zero.reporting.charts import COLORS, Chart, Line
from r1zero.reporting.series import series
from r1zero.reporting.strips import Strip, StripChart
from r1zero.reporting.text import percent, percent_range
from r1zero.runs.layout import METRICS
from r1zero.runs.reading import load_run
from r1zero.sweeping.conclusions import ranked
from r1zero.sweeping.results import Setting, Sweep

MAX_ROWS = 24  # settings of a figure; the table has all of them
MAX_MEASURES = 6
SHOWN = 0.005  # the least mean that is not 0.00 as text

# A measure's heading, in the table and over its figure; behaviours have their own names.
TITLES = {
    "step0_accuracy": "accuracy, step 0",
    "greedy_accuracy": "accuracy, greedy",
    "mean_length": "length, tokens",
    "truncated": "truncated",
}
SHARES = ("step0_accuracy", "greedy_accuracy", "truncated")


def title(measure: str) -> str:
    """What a measure is called.

    >>> title("mean_length"), title("behaviour/repeated_tries")
    ('length, tokens', 'repeated tries')
    """
    return TITLES.get(measure, measure.removeprefix("behaviour/").replace("_", " "))


def known(value: float, share: bool) -> str:
    """A number as text, a share in percent; ``-`` for NaN."""
    if pd.isna(value):
        return "-"
    return percent(value) if share else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def accuracy_strips(sweep: Sweep, settings: Sequence[Setting]) -> StripChart:
    """Accuracy of each setting, over seeds."""
    strips = [
        Strip(
            setting.name,
            list(setting.accuracy.values()),
            setting.mean,
            setting.low,
            setting.high,
            f"{percent(setting.mean)}, 95% interval {percent_range(setting.low, setting.high)}",
        )
        for setting in shown(settings)
    ]
    note = "Dots: seeds. Filled: their mean, with its 95% t-interval."
    if len(strips) < len(ranked(settings)):
        note += f" The {len(strips)} settings of the highest mean, of {len(ranked(settings))}."
    return StripChart("Accuracy", strips, note, percent=True)


def shown(settings: Sequence[Setting]) -> list[Setting]:
    """The settings that have a row, in their own order: those of the highest mean if there are too many."""
    chosen = ranked(settings)[:MAX_ROWS]
    return [setting for setting in settings if setting in chosen]


def measure_strips(sweep: Sweep, settings: Sequence[Setting]) -> list[StripChart]:
    """Length, and what differs most between jobs of cut-offs and behaviours; never the same numbers twice."""
    done = sweep.finished()
    if done.empty:
        return []
    charts = []
    for measure in ["mean_length", *spread_first(done, [*sweep.behaviours, "truncated"])][:MAX_MEASURES]:
        share = measure in SHARES
        strips = []
        for setting in shown(settings):
            values = jobs_of(sweep, setting, done)[measure].astype(float).dropna()
            mean = setting.means.get(measure, float("nan"))
            strips.append(Strip(setting.name, list(values), mean, text=known(mean, share)))
        meaning = MEANINGS.get(measure.removeprefix("behaviour/"), "")
        charts.append(StripChart(title(measure).capitalize(), strips, percent=share, meaning=meaning))
    return charts


def spread_first(done: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """The distinct measures that are seen at all, those that vary most between jobs first."""
    found = {key: done[key].astype(float) for key in distinct(done, measures)}
    varied = {key: values.std(ddof=0) / values.mean() for key, values in found.items() if values.mean() >= SHOWN}
    return sorted(varied, key=lambda key: -varied[key])


def distinct(done: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """``measures`` without those that repeat the numbers of a later one in every job."""
    columns = {key: tuple(done[key].astype(float)) for key in measures}
    last = {values: key for key, values in columns.items()}
    return [key for key in measures if last[columns[key]] == key or not any(columns[key])]


def jobs_of(sweep: Sweep, setting: Setting, jobs: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``jobs`` that have the values of ``setting``."""
    for key, value in setting.values.items():
        jobs = jobs[jobs[key] == value]
    return jobs


def learning_chart(sweep: Sweep, settings: Sequence[Setting]) -> Chart:
    """Held-out accuracy by step: the mean over seeds, and how far seeds reach."""
    lines = []
    first = [*ranked(settings), *(setting for setting in settings if not setting.accuracy)][: len(COLORS)]
    for color, setting in zip(COLORS, [setting for setting in settings if setting in first], strict=False):
        curves = []
        for folder in jobs_of(sweep, setting, sweep.jobs)["run_dir"]:
            if (sweep.directory / folder / METRICS).is_file():
                run = load_run(sweep.directory / folder)
                curves.append(series(run.rows, f"eval/{run.task}/accuracy").dropna())
        if not any(len(curve) for curve in curves):
            continue
        table = pd.concat(curves, axis=1).sort_index()
        band = list(zip(map(float, table.index), table.min(axis=1), table.max(axis=1), strict=True))
        means = [(float(step), float(value)) for step, value in table.mean(axis=1).items()]  # type: ignore[arg-type]
        lines.append(Line(setting.name, color, means, band, dots=True))
    note = "Held-out accuracy by step: the mean over seeds, and from the lowest seed to the highest."
    if len(first) < len(settings):
        note += f" The {len(first)} settings of the highest mean at the end, of {len(settings)}."
    return Chart("Learning curves", lines, note, percent=True)
