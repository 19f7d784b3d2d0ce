"""A sweep directory as a table, a CSV file and one HTML page: ``sweep.csv``, ``sweep.html``.

``python -m r1zero.report SWEEP_DIR`` rebuilds them from what the jobs left on disk, also while they run. No times are
in them, so that a sweep that was killed and continued has the same files as one that was not.
"""

import base64
import io
import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from r1zero.reporting.rendering import environment
from r1zero.reporting.text import aligned, percent, percent_range
from r1zero.runs.files import write_text
from r1zero.sweeping.figures import accuracy_figure, behaviour_figure, learning_figure
from r1zero.sweeping.layout import PAGE, TABLE
from r1zero.sweeping.results import SEED, Setting, Sweep, best_of, load_sweep, sentences, settings_of

TITLES = {"greedy_accuracy": "greedy", "mean_length": "tokens", "truncated": "cut off", "step0_accuracy": "step 0"}
SHARES = ("greedy_accuracy", "truncated", "step0_accuracy")


def write_sweep_report(directory: Path) -> tuple[str, Path]:
    """Write ``sweep.csv`` and ``sweep.html``; the table for the terminal, and the path of the page.

    Raises:
        ValueError: ``directory`` holds no sweep.
    """
    sweep = load_sweep(directory)
    settings = settings_of(sweep)
    write_text(sweep.jobs.to_csv(index=False), directory / TABLE)
    page = directory / PAGE
    write_text(sweep_html(sweep, settings), page)
    return terminal_table(sweep, settings), page


def terminal_table(sweep: Sweep, settings: Sequence[Setting]) -> str:
    """A line a setting, the sentences, and what has not finished."""
    head, *lines = setting_rows(sweep, settings)
    counts = ", ".join(f"{count} {status}" for status, count in sweep.counts().items())
    parts = [aligned([head, *lines]), "", *sentences(settings)]
    if command := best_command(sweep, settings):
        parts.append(f"Its command: {command}")
    parts += ["", f"Jobs: {counts or 'none yet'}."]
    parts += [f"  job {job}: {status}{f', {error}' if error else ''}" for job, status, error in unfinished(sweep)]
    if any(status in ("failed", "killed", "interrupted", "waiting") for status in sweep.counts()):
        parts.append(f"To go on with what has not finished: {sweep.command}")
    return "\n".join(parts)


def setting_rows(sweep: Sweep, settings: Sequence[Setting]) -> list[list[str]]:
    """The table of settings as text, its heading first."""
    keys = sweep.keys
    measures = (
        [key for key in settings[0].means if any(setting.means[key] > 0 for setting in settings)] if settings else []
    )
    heads = [TITLES.get(key, key.removeprefix("behaviour/").replace("_", " ")) for key in measures]
    rows = [[*(keys or ["setting"]), "seeds", "accuracy", "95% interval", *heads]]
    for setting in settings:
        front = [str(setting.values[key]) for key in keys] or ["all jobs"]
        count = f"{len(setting.accuracy)}" + (
            f" of {len(setting.accuracy) + setting.num_unfinished}" * bool(setting.num_unfinished)
        )
        shown = [known(setting.means[key], share=key in SHARES) for key in measures]
        rows.append([*front, count, known(setting.mean, share=True), percent_range(setting.low, setting.high), *shown])
    return rows


def known(value: float, share: bool) -> str:
    """A number as text, a share in percent; ``-`` for NaN."""
    if pd.isna(value):
        return "-"
    return percent(value) if share else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def unfinished(sweep: Sweep) -> list[tuple[int, str, str]]:
    """(number, status, error) of the jobs that are not finished."""
    rows = sweep.jobs[sweep.jobs["status"] != "finished"]
    return list(zip(rows["job"], rows["status"], rows["error"], strict=True))


def best_command(sweep: Sweep, settings: Sequence[Setting]) -> str | None:
    """The command that trains the best setting, on a seed that it was not picked by."""
    best = best_of(settings)
    if best is None:
        return None
    words = shlex.split(sweep.command)
    fixed = [
        word
        for word in words[3:]
        if not word.startswith(("-", "hydra")) and word.lstrip("+").partition("=")[0] not in sweep.swept
    ]
    used = [int(seed) for seed in sweep.jobs[SEED] if str(seed).isdigit()] if SEED in sweep.swept else []
    seed = [f"seed={max(used) + 1}"] if used else []
    return shlex.join(
        [
            *words[:3],
            *fixed,
            *(f"{'+' * (key == 'experiment')}{key}={value}" for key, value in best.values.items()),
            *seed,
        ]
    )


def sweep_html(sweep: Sweep, settings: Sequence[Setting]) -> str:
    """The page; it needs no other file, and every text is escaped."""
    figures = [
        (
            "Accuracy",
            "Held-out accuracy of each job (dots) and the mean over seeds with its 95% interval.",
            accuracy_figure,
        ),
        ("Behaviour", "Means over held-out completions at the last evaluation; dots are jobs.", behaviour_figure),
        ("Learning curves", "Held-out accuracy by step: the mean over seeds, and each seed, light.", learning_figure),
    ]
    drawn = [(title, text, png(draw(sweep, settings))) for title, text, draw in figures] if settings else []
    shown = ["job", "status", *sweep.swept, "step", "accuracy", "run_dir"]
    jobs = sweep.jobs[shown].astype(object).where(sweep.jobs[shown].notna(), None)
    table, best = setting_rows(sweep, settings), best_of(settings)
    return (
        environment()
        .get_template("sweep.html")
        .render(
            title=sweep.directory.resolve().name,
            sweep=sweep,
            counts=sweep.counts(),
            best=best,
            best_row=table[settings.index(best) + 1] if best else None,
            sentences=sentences(settings),
            best_command=best_command(sweep, settings),
            table=table,
            figures=[(title, text, image) for title, text, image in drawn if image],
            columns=shown,
            unfinished=unfinished(sweep),
            jobs=jobs.to_dict("records"),
        )
    )


def png(figure: object) -> str:
    """A figure as base64; empty for None."""
    if figure is None:
        return ""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # type: ignore[attr-defined]
    return base64.b64encode(buffer.getvalue()).decode("ascii")
