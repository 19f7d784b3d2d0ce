"""The report of a run: ``report.html``, its figure, and a table for the terminal.

``python -m r1zero.report RUN [RUN ...]`` rebuilds the page of each from what the run left on disk, also when it was
killed half-way; with several runs it also writes a page that compares them. It reads those directories and nothing
else: no model is loaded, no completion is judged again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from r1zero.reporting.comparison import comparison_table, write_comparison
from r1zero.reporting.curve import plot_curve
from r1zero.reporting.page import write_page
from r1zero.reporting.statements import aligned, comparisons, run_changes, statements
from r1zero.runs.reading import load_run


def before_after_table(run_dir: Path) -> str:
    """The first evaluation against the last, aligned for a terminal; below it, all that the run did not get to.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    run = load_run(run_dir)
    steps = [f"step {row['step']}" for row in run.evaluations]
    rows: list[Sequence[str]] = list(comparisons(run))
    if len(steps) > 1:
        rows.insert(0, ("held-out", steps[0], steps[-1], "change"))
    elif steps:
        rows = [("held-out", steps[0]), *(line[:2] for line in rows)]
    said = statements(run, run_changes(run))
    return "\n".join([*([aligned(rows)] if rows else []), *said, *run.notes()])


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` and ``curve.png`` into ``run_dir``, and return the page.

    Raises:
        ValueError: ``run_dir`` has no ``metrics.jsonl``.
    """
    run = load_run(run_dir)
    plot_curve(run, run_dir / "curve.png")
    return write_page(run, live=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Rebuild the reports of the runs or the sweep named on the command line; exits with 2 when one is none."""
    parser = argparse.ArgumentParser(prog="python -m r1zero.report", description="Rebuild reports, compare runs.")
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="directory that holds metrics.jsonl, or one sweep directory"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("comparison.html"),
        help="where several runs are compared (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    first = arguments.runs[0]
    if len(arguments.runs) == 1 and (first / "sweep.json").is_file():
        from r1zero.sweeping.report import write_sweep_report  # which takes its tables from here

        sys.stdout.write("{}\n{}\n".format(*write_sweep_report(first)))
        return
    try:
        runs = [load_run(path) for path in arguments.runs]
    except ValueError as error:
        parser.error(str(error))
    for path in arguments.runs:
        page = write_report(path)
        if len(runs) == 1:
            sys.stdout.write(f"{before_after_table(path)}\n{page}\n")
    if len(runs) > 1:
        sys.stdout.write(f"{comparison_table(runs)}\n{write_comparison(runs, arguments.out)}\n")


if __name__ == "__main__":
    main()
