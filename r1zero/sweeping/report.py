"""A sweep directory as a table, a CSV file and one HTML page: ``sweep.csv``, ``sweep.html``.

``python -m r1zero.report SWEEP_DIR`` rebuilds them from what the jobs left on disk, also while they run. No times are
in them, so that a sweep that was killed and continued has the same files as one that was not.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from r1zero.reporting.rendering import environment
from r1zero.reporting.text import aligned, percent_range
from r1zero.runs.files import write_text
from r1zero.sweeping.conclusions import headline, ranked, sentences, winner
from r1zero.sweeping.figures import (
    SHARES,
    SHOWN,
    accuracy_strips,
    distinct,
    known,
    learning_chart,
    measure_strips,
    title,
)
from r1zero.sweeping.layout import PAGE, TABLE
from r1zero.sweeping.results import SEED, Setting, Sweep, load_sweep, settings_of


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
    """Tables with a line a setting, the headline and its sentences, and what has not finished."""
    counts = ", ".join(f"{count} {status}" for status, count in sweep.counts().items())
    parts = [line for rows in tables(sweep, settings) for line in (aligned(rows), "")]
    parts += [f"{headline(settings)}.", *sentences(settings)]
    if command := best_command(sweep, settings):
        parts.append(f"To train the setting of the highest mean: {command}")
    parts += ["", f"Jobs: {counts or 'none yet'}."]
    parts += [f"  job {job}: {status}{f', {error}' if error else ''}" for job, status, error in unfinished(sweep)]
    if any(status in ("failed", "killed", "interrupted", "waiting") for status in sweep.counts()):
        parts.append(f"To go on with what has not finished: {sweep.command}")
    return "\n".join(parts)


def tables(sweep: Sweep, settings: Sequence[Setting]) -> list[list[list[str]]]:
    """The settings with accuracy and length, and the same settings with their behaviours, if any was seen."""
    found = columns_of(sweep, settings)
    behaviours = [key for key in found if key in sweep.behaviours]
    first = table_of(sweep, settings, [key for key in found if key not in behaviours])
    return [first, behaviour_rows(sweep, settings, behaviours)] if behaviours else [first]


def columns_of(sweep: Sweep, settings: Sequence[Setting]) -> list[str]:
    """The measures that the table shows: those that some setting has, none that repeats the numbers of another."""
    done = sweep.finished()
    present = [key for key in (settings[0].means if settings else ()) if any(s.means[key] >= SHOWN for s in settings)]
    return distinct(done, present) if len(done) else present


def table_of(sweep: Sweep, settings: Sequence[Setting], measures: Sequence[str]) -> list[list[str]]:
    """A table of settings as text, its heading first: what is swept, seeds and accuracy, and ``measures``."""
    rows = [[*(sweep.keys or ["setting"]), "seeds", "accuracy", "95% interval", *map(title, measures)]]
    for setting in settings:
        front = [str(setting.values[key]) for key in sweep.keys] or ["all jobs"]
        count = f"{len(setting.accuracy)}" + (
            f" of {len(setting.accuracy) + setting.num_unfinished}" * bool(setting.num_unfinished)
        )
        shown = [known(setting.means[key], share=key in SHARES) for key in measures]
        rows.append([*front, count, known(setting.mean, share=True), percent_range(setting.low, setting.high), *shown])
    return rows


def behaviour_rows(sweep: Sweep, settings: Sequence[Setting], measures: Sequence[str]) -> list[list[str]]:
    """A table of settings and what they count a completion, its heading first."""
    rows = [[*(sweep.keys or ["setting"]), *map(title, measures)]]
    for setting in settings:
        front = [str(setting.values[key]) for key in sweep.keys] or ["all jobs"]
        rows.append([*front, *(known(setting.means[key], share=False) for key in measures)])
    return rows


def unfinished(sweep: Sweep) -> list[tuple[int, str, str]]:
    """(number, status, error) of the jobs that are not finished."""
    rows = sweep.jobs[sweep.jobs["status"] != "finished"]
    return list(zip(rows["job"], rows["status"], rows["error"], strict=True))


def best_command(sweep: Sweep, settings: Sequence[Setting]) -> str | None:
    """The command that trains the setting of the highest mean, on a seed that it was not picked by."""
    if not (known_settings := ranked(settings)):
        return None
    best = known_settings[0]
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
    columns = ["job", "status", *sweep.swept, "step", "accuracy", "run_dir"]
    jobs = sweep.jobs[columns].astype(object).where(sweep.jobs[columns].notna(), None)
    ahead = winner(settings)
    return (
        environment()
        .get_template("sweep.html")
        .render(
            title=sweep.directory.resolve().name,
            sweep=sweep,
            counts=sweep.counts(),
            headline=headline(settings),
            sentences=sentences(settings),
            best_command=best_command(sweep, settings),
            tables=tables(sweep, settings),
            ahead=None if ahead is None else settings.index(ahead),
            accuracy=accuracy_strips(sweep, settings),
            measures=measure_strips(sweep, settings),
            learning=learning_chart(sweep, settings),
            columns=columns,
            unfinished=unfinished(sweep),
            jobs=jobs.to_dict("records"),
        )
    )
