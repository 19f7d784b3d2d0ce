"""Countdown problems from a data set with columns ``nums`` and ``target``, as in Jiayi-Pan/Countdown-Tasks-3to4."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import load_dataset
from huggingface_hub.errors import HfHubHTTPError

from r1zero.models.hub import go_offline_if_unreachable

log = logging.getLogger(__name__)

LOCAL_SUFFIXES = (".parquet", ".json", ".jsonl")


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
