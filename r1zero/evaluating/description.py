"""A task as text: sizes, prompt lengths, prompts as the model sees them, and what training rows give away.

Nothing is judged or sampled here; ``r1zero.evaluating.pass_rates`` does that.
"""

import json

import pandas as pd
from transformers import PreTrainedTokenizerBase

from r1zero.models.tokens import encode
from r1zero.reporting.text import aligned
from r1zero.tasks.overlap import overlapping, questions
from r1zero.tasks.task import Row, Task


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
