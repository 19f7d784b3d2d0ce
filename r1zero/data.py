"""Look at a task before training on it: ``python -m r1zero.data task=NAME [model=NAME] [key=value ...]``.

Shows sizes, lengths and prompts as the model sees them, and counts held-out problems that the training rows give away.
With ``pass_rate=FILE`` it measures how often a model solves each training problem and writes those of middling
difficulty to FILE, which ``task.source=FILE`` trains on. It changes no data set in place.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from transformers import PreTrainedTokenizerBase

from r1zero.command_line import quiet
from r1zero.config.compose import explain
from r1zero.evaluating.pass_rates import measure
from r1zero.evaluating.plan import plan
from r1zero.models.load import load_tokenizer
from r1zero.models.tokens import encode
from r1zero.reporting.text import aligned
from r1zero.tasks.build import build_task
from r1zero.tasks.overlap import DEFAULT_NGRAM, overlapping, questions
from r1zero.tasks.task import Row, Task

log = logging.getLogger(__name__)

DEFAULTS = {"show": "2", "ngram": str(DEFAULT_NGRAM), "pass_rate": "", "low": "0.2", "high": "0.8"}
USAGE = """usage: python -m r1zero.data [task=NAME] [model=NAME|PATH|HUB_ID | run=DIR] [show=2] [ngram=8]
       [--config-dir DIR] [KEY=VALUE]
       python -m r1zero.data task=NAME model=... pass_rate=band.jsonl [low=0.2] [high=0.8] eval.num_samples=8"""


def describe(task: Task, tokenizer: PreTrainedTokenizerBase, show: int, ngram: int) -> str:
    """Sizes, prompt lengths, overlap and the first ``show`` prompts of each split, special tokens visible."""
    lines = [["", "rows", "shortest", "median", "longest prompt, tokens"]]
    for name, rows in (("train", task.train), ("test", task.test)):
        lengths = pd.Series([len(encode(row["prompt"], tokenizer)) for row in rows], dtype=float)
        shown = (
            ["-"] * 3
            if lengths.empty
            else [f"{value:.0f}" for value in (lengths.min(), lengths.median(), lengths.max())]
        )
        lines.append([name, str(len(rows)), *shown])
    parts = [f"task {task.name}: judges {', '.join(task.judges)}; accuracy is {task.accuracy_judge}'s", aligned(lines)]
    parts.append(overlap_report(task, ngram))
    for name, rows in (("train", task.train), ("test", task.test)):
        parts += [f"{name} row {index}\n{shown_row(row, tokenizer)}" for index, row in enumerate(rows[:show])]
    return "\n\n".join(parts)


def shown_row(row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
    """A row's prompt as its tokens decode, white space and special tokens made visible, and its ground truth."""
    ids = encode(row["prompt"], tokenizer)
    special = set(tokenizer.all_special_ids)
    pieces = [f"[{text}]" if token in special else text for token, text in ((i, tokenizer.decode([i])) for i in ids)]
    prompt = "".join(map(str, pieces)) if not any("\ufffd" in piece for piece in pieces) else str(tokenizer.decode(ids))
    truth = {key: value for key, value in row.items() if key not in ("prompt", "prefill")}
    return "\n".join(
        [
            f"  prompt   {prompt!r}",
            f"  tokens   {' '.join(map(str, ids[:12]))}{' ...' if len(ids) > 12 else ''} ({len(ids)})",
            f"  prefill  {row['prefill']!r}",
            f"  truth    {json.dumps(truth, default=str)[:300]}",
        ]
    )


def overlap_report(task: Task, ngram: int) -> str:
    """How many held-out problems share text with a training problem, and the first of them."""
    if not task.train:
        return "overlap: there are no training rows."
    texts = questions([row["prompt"] for row in (*task.train, *task.test)])
    train, test = texts[: len(task.train)], texts[len(task.train) :]
    found = overlapping(train, test, ngram)
    head = (
        f"overlap: {len(found)} of {len(test)} held-out problems share {ngram} words in a row with a training problem"
    )
    shown = [f"  test {index} and train {match.train}: {match.words!r}" for index, match in list(found.items())[:3]]
    return "\n".join([f"{head} (shorter ones: the whole text).", *shown])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. Bad input ends in one message."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    quiet()
    own = DEFAULTS | {key: value for key, _, value in (a.partition("=") for a in arguments) if key in DEFAULTS}
    rest = [argument for argument in arguments if argument.partition("=")[0] not in DEFAULTS]
    try:
        todo = plan(rest, train_rows=True)
        if own["pass_rate"]:
            print(measure(todo, Path(own["pass_rate"]), float(own["low"]), float(own["high"])))
            return
        for config in todo.configs:
            tokenizer = load_tokenizer(config.model)
            print(describe(build_task(config, tokenizer), tokenizer, int(own["show"]), int(own["ngram"])), end="\n\n")
    except ValueError as error:
        sys.exit(f"error: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {explain(error)}")
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
