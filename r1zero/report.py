"""The report of a run: ``report.html``, its figure, and a table for the terminal.

``python -m r1zero.report RUN [RUN ...]`` rebuilds the page of each from what the run left on disk, also when it was
killed half-way; with several runs it also writes a page that compares them. It reads those directories and nothing
else: no model is loaded, no completion is judged again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from r1zero.runs.reading import load_run
from r1zero.sweeping.layout import SWEEP


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
    if len(arguments.runs) == 1 and (first / SWEEP).is_file():
        from r1zero.sweeping.report import write_sweep_report

        sys.stdout.write("{}\n{}\n".format(*write_sweep_report(first)))
        return
    try:
        runs = [load_run(path) for path in arguments.runs]
    except ValueError as error:
        parser.error(str(error))
    from r1zero.reporting.comparison import comparison_table, write_comparison  # they draw, and load what draws
    from r1zero.reporting.report import before_after_table, write_report

    for path in arguments.runs:
        page = write_report(path)
        if len(runs) == 1:
            sys.stdout.write(f"{before_after_table(path)}\n{page}\n")
    if len(runs) > 1:
        sys.stdout.write(f"{comparison_table(runs)}\n{write_comparison(runs, arguments.out)}\n")


if __name__ == "__main__":
    main()
