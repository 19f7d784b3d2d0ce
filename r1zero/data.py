"""Look at a task before training on it: ``python -m r1zero.data task=NAME [model=NAME] [key=value ...]``.

Shows sizes, lengths and prompts as the model sees them, and counts held-out problems that the training rows give away.
With ``pass_rate=FILE`` it measures how often a model solves each training problem and writes those of middling
difficulty to FILE, which ``task.source=FILE`` trains on. With ``solutions=1`` it runs the solutions that rows of
programming problems carry and names the rows that these do not pass. It changes no data set in place.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from r1zero.command_line import errors_in_one_line, quiet
from r1zero.evaluating.plan import plan
from r1zero.tasks.overlap import DEFAULT_NGRAM

DEFAULTS = {"show": "2", "ngram": str(DEFAULT_NGRAM), "pass_rate": "", "solutions": "", "low": "0.2", "high": "0.8"}
USAGE = """usage: python -m r1zero.data [task=NAME] [model=NAME|PATH|HUB_ID | run=DIR] [show=2] [ngram=8]
       [--config-dir DIR] [KEY=VALUE]
       python -m r1zero.data task=NAME solutions=1
       python -m r1zero.data task=NAME model=... pass_rate=band.jsonl [low=0.2] [high=0.8] eval.num_samples=8"""


def look(arguments: Sequence[str]) -> None:
    """Print what the command line asks for.

    Raises:
        ValueError: An argument cannot work, or a model or data set cannot be had.
    """
    own = DEFAULTS | {key: value for key, _, value in (a.partition("=") for a in arguments) if key in DEFAULTS}
    rest = [argument for argument in arguments if argument.partition("=")[0] not in DEFAULTS]
    for key in ("show", "ngram", "low", "high"):
        if not own[key].replace(".", "", key in ("low", "high")).isdigit():
            raise ValueError(f"{key} = {own[key]}: must be a number, such as {key}={DEFAULTS[key]}.")
    todo = plan(rest, train_rows=True)
    quiet()  # loads libraries, as the next lines do: after the arguments were checked
    from r1zero.evaluating.description import describe
    from r1zero.evaluating.pass_rates import measure
    from r1zero.models.load import load_tokenizer
    from r1zero.tasks.build import build_task

    if own["pass_rate"]:
        print(measure(todo, Path(own["pass_rate"]), float(own["low"]), float(own["high"])))
        return
    if own["solutions"]:
        from r1zero.tasks.code_check import check_solutions

        for config in todo.configs:
            print(check_solutions(config.task))
        return
    for config in todo.configs:
        tokenizer = load_tokenizer(config.model)
        print(describe(build_task(config, tokenizer), tokenizer, int(own["show"]), int(own["ngram"])), end="\n\n")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. Bad input ends in one message."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    try:
        with errors_in_one_line():
            look(arguments)
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
