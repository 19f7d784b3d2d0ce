"""The report of a run: ``report.html``, its figure, and a table for the terminal"""

from pathlib import Path

from r1zero.reporting.curve import plot_curve
from r1zero.reporting.page import before_and_after, write_page
from r1zero.reporting.statements import run_changes, statements
from r1zero.reporting.text import aligned
from r1zero.runs.layout import CHECKPOINTS, CURVE, FINAL, METRICS
from r1zero.runs.reading import load_run


def before_after_table(run_dir: Path) -> str:
    """The first evaluation against the last, aligned for a terminal; below it, all that the run did not get to.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    run = load_run(run_dir)
    rows = before_and_after(run, with_behaviours=True)
    said = statements(run, run_changes(run))
    return "\n".join([*([aligned(rows)] if rows else []), *said, *run.notes()])


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` and ``curve.png`` into ``run_dir``, and return the page.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    run = load_run(run_dir)
    plot_curve(run, run_dir / CURVE)
    return write_page(run, live=False)


def show(run_dir: Path) -> None:
    """Write the report; print the before/after table and where everything is."""
    report = write_report(run_dir)
    print(before_after_table(run_dir))
    for label, path in (
        ("report", report),
        ("curve", run_dir / CURVE),
        ("checkpoint", run_dir / CHECKPOINTS / FINAL),
        ("metrics", run_dir / METRICS),
    ):
        print(f"{label:<10} {path}")
