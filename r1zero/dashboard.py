"""A Weights & Biases workspace for this project's runs: ``python -m r1zero.dashboard --entity E --project P``.

It makes or updates the saved view "Reasoning emergence": accuracy, behaviours, outcomes, health and cost, in sections.
``--dry-run`` prints what it would save and needs neither a network nor an account. It reads no run; panels are drawn by
W&B from the metrics that runs log.
"""

import argparse
import sys
from collections.abc import Sequence

from r1zero.watching.workspace import NAME, build_workspace, describe, save


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; exits with 2 when the package is missing."""
    parser = argparse.ArgumentParser(prog="python -m r1zero.dashboard", description=f"The W&B view '{NAME}'.")
    parser.add_argument("--entity", required=True, help="W&B user or team")
    parser.add_argument("--project", default="r1zero", help="as in tracker.project (default: %(default)s)")
    parser.add_argument("--update", metavar="URL", help="a view made before, to be replaced")
    parser.add_argument("--dry-run", action="store_true", help="print what would be saved")
    arguments = parser.parse_args(argv)
    try:
        workspace = build_workspace(arguments.entity, arguments.project)
    except RuntimeError as error:
        parser.error(str(error))
    sys.stdout.write((describe(workspace) if arguments.dry_run else save(workspace, arguments.update)) + "\n")


if __name__ == "__main__":
    main()
