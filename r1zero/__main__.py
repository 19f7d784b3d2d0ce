"""All commands under one name: ``r1zero NAME ...`` is ``python -m r1zero.NAME ...``, and nothing else.

The command takes this process's place, so that signals, ranks, jobs of a sweep and modules of the current folder are
what they are there.
"""

import ast
import difflib
import os
import sys
from pathlib import Path

COMMANDS = ("train", "evaluate", "report", "sample", "export", "data", "memory", "dashboard", "minimal")


def usage() -> str:
    """The commands, each with the sentence that its file begins with."""
    lines = ["usage: r1zero NAME [ARGUMENT ...]", ""]
    for name in COMMANDS:
        source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        said = str(ast.get_docstring(ast.parse(source))).partition("\n\n")[0].partition("``python")[0]
        lines.append(f"  {name:10} {' '.join(said.split()).rstrip(':. ')}")
    return "\n".join([*lines, "", "`r1zero NAME --help` says more; `python -m r1zero.NAME` is the same command."])


def main() -> None:
    """The command line; exits with 2 when there is no such command."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(usage())
        return
    name, arguments = sys.argv[1], sys.argv[2:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(COMMANDS)}."
        print(f"error: r1zero {name}: no such command. {hint}", file=sys.stderr)
        sys.exit(2)
    os.execv(sys.executable, [sys.executable, "-m", f"r1zero.{name}", *arguments])


if __name__ == "__main__":
    main()
