"""Countdown problems from a data set with columns ``nums`` and ``target``, as in Jiayi-Pan/Countdown-Tasks-3to4."""

import json
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import load_dataset
from huggingface_hub.errors import HfHubHTTPError

from r1zero.models.hub import go_offline_if_unreachable
from r1zero.tasks.countdown_problems import Problem
from rewards import Outcome
from rewards.countdown import judge_expression

log = logging.getLogger(__name__)

LOCAL_SUFFIXES = (".parquet", ".json", ".jsonl")


def load_problems(source: str, split: str, num_train: int, num_test: int) -> tuple[list[Problem], list[Problem]]:
    """The first ``num_train`` rows as training set and the next ``num_test`` as held-out set, in file order.

    That is TinyZero's split. The data set repeats some problems, so training rows whose (sorted numbers, target) is
    held out are left out, and training gets that many fewer.

    Raises:
        ValueError: The source is missing, unreadable, too short, or has a bad row; says where and what.
    """
    rows = local_rows(Path(source)) if source.endswith(LOCAL_SUFFIXES) else hub_rows(source, split)
    try:
        loaded = [checked_problem(place, row) for place, row in islice(rows, num_train + num_test)]
    except UnicodeDecodeError as error:
        raise ValueError(f"task.source = {source}: cannot be read as UTF-8 text ({error}).") from error
    except PermissionError as error:
        raise ValueError(f"task.source = {source}: cannot be read ({error.strerror}).") from error
    if len(loaded) < num_train + num_test:
        raise ValueError(
            f"task.source = {source} has {len(loaded)} rows, and task.num_train + task.num_test = {num_train} + "
            f"{num_test} = {num_train + num_test} are wanted: lower one of them."
        )
    test = loaded[num_train:]
    held_out = {(*sorted(given.nums), given.target) for given in test}
    train = [given for given in loaded[:num_train] if (*sorted(given.nums), given.target) not in held_out]
    if not train:
        raise ValueError(f"task.source = {source}: every training row is also held out; nothing is left to train on.")
    if len(train) < num_train:
        log.warning("%s: %d training rows left out, they are held out too.", source, num_train - len(train))
    return train, test


def local_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place for error messages, row) of a parquet, json (one list) or jsonl file."""
    if not path.is_file():
        raise ValueError(f"task.source = {path}: no such file. Give a .parquet, .json or .jsonl file, or a Hub name.")
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}, line {number}", parse_json(line, f"{path}, line {number}")
        return
    if path.suffix == ".json":
        rows = parse_json(path.read_text(encoding="utf-8"), str(path))
        if not isinstance(rows, list):
            raise ValueError(f"{path}: a .json file must hold one list of rows; found {type(rows).__name__}.")
    else:
        rows = parquet_rows(path)
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", row


def parse_json(text: str, place: str) -> Any:
    """The parsed text; a ValueError that names ``place`` when it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not valid JSON ({error}).") from error


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a parquet file, read in batches."""
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: cannot be read as parquet ({error}).") from error


def hub_rows(source: str, split: str, name: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a data set on the Hub."""
    go_offline_if_unreachable()
    try:
        rows = load_dataset(source, name, split=split)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ValueError(
            f"task.source = {source}: neither a local file nor a data set that could be fetched from the Hub "
            f"({type(error).__name__}: {error}). Offline, give a local .parquet, .json or .jsonl file, or leave "
            "task.source unset to generate problems."
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{source} ({split}), row {number}", row


def checked_problem(place: str, row: Any) -> Problem:
    """The row as a problem.

    Raises:
        ValueError: Names the place, what was found and what is needed.
    """
    if not isinstance(row, dict) or not {"nums", "target"} <= row.keys():
        found = sorted(row) if isinstance(row, dict) else row
        raise ValueError(f"{place}: needs the columns 'nums' and 'target'; found {found!r}.")
    nums, target = row["nums"], row["target"]
    if not isinstance(nums, list) or len(nums) < 2 or not all(type(number) is int for number in nums):
        raise ValueError(f"{place}: 'nums' must be a list of two or more integers; found {nums!r}.")
    if type(target) is not int:
        raise ValueError(f"{place}: 'target' must be an integer; found {target!r}.")
    verdict = judge_expression("", nums, target, use_all_numbers=False)
    if verdict.outcome is Outcome.UNGRADEABLE:
        raise ValueError(f"{place}: cannot be judged: {verdict.detail}; found nums = {nums!r}, target = {target!r}.")
    return Problem(tuple(nums), target)
