"""Rows of local files and Hub data sets, and which of them train and which are held out.

All kinds of task share this. What a row must hold is its kind's business.
"""

import csv
import importlib.resources
import json
import logging
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from datasets import load_dataset
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from r1zero.models.hub import go_offline_if_unreachable

log = logging.getLogger(__name__)

JSONL_HINT = "A .jsonl file has one object a line; call a file that holds one list .json."
JSON_HINT = "A .json file holds one list of rows; call a file with one object a line .jsonl."
LOCAL_SUFFIXES = (".parquet", ".json", ".jsonl", ".csv")
PACKAGED = "pkg://"  # as Hydra has it: a file inside an installed package, wherever that is
# Columns of our own, which a source's may not replace.
RESERVED = ("prompt", "prefill", "completion", "completion_ids", "gold", "task")
PLAIN = (str, int, float, bool, type(None))

Problem = TypeVar("Problem")
Columns = Callable[[dict[str, Any]], dict[str, Any]]


def load_splits(
    source: str,
    split: str,
    num_train: int,
    num_test: int,
    checked: Callable[[str, Any], Problem],
    key: Callable[[Problem], Hashable],
) -> tuple[list[Problem], list[Problem]]:
    """The first ``num_train`` rows as training set and the next ``num_test`` as held-out set, in file order.

    Data sets repeat some problems. Training rows that are held out too are left out, and training gets that many fewer.

    Args:
        source, split: A local file, or a Hub data set and its split.
        num_train, num_test: Rows of each set.
        checked: A problem of (place for messages, row); raises a ValueError for a row that cannot be used.
        key: What makes two problems the same.

    Raises:
        ValueError: The source is missing, unreadable, too short, or has a bad row; says where and what.
    """
    wanted = num_train + num_test
    loaded = [checked(place, row) for place, row in islice(read_rows(source, split), wanted)]
    if len(loaded) < wanted:
        raise ValueError(
            f"task.source = {source} has {len(loaded)} rows, and task.num_train + task.num_test = {num_train} + "
            f"{num_test} = {wanted} are wanted: {fitting(len(loaded), num_test)}."
        )
    test = loaded[num_train:]
    train = without_held_out(loaded[:num_train], test, key, source)
    if num_train and not train:
        raise ValueError(f"task.source = {source}: every training row is also held out; nothing is left to train on.")
    return train, test


def fitting(num_rows: int, num_test: int) -> str:
    """What to set for so few rows.

    >>> fitting(10, 200)
    'set task.num_train=8 task.num_test=2'
    """
    if num_rows < 2:
        return "at least one to train on and one to hold out are needed"
    num_test = min(num_test, held_out_share(num_rows))
    return f"set task.num_train={num_rows - num_test} task.num_test={num_test}"


def held_out_share(num_rows: int) -> int:
    """How many of so few rows are held out: a fifth, and at least one."""
    return max(1, num_rows // 5)


def without_held_out(
    train: list[Problem], test: list[Problem], key: Callable[[Problem], Hashable], name: str
) -> list[Problem]:
    """The training rows that are not held out too; logs under ``name`` how many are left out."""
    held_out = {key(problem) for problem in test}
    kept = [problem for problem in train if key(problem) not in held_out]
    if len(kept) < len(train):
        log.warning("%s: %d training rows left out, they are held out too.", name, len(train) - len(kept))
    return kept


def read_rows(source: str, split: str, name: str | None = None) -> Iterator[tuple[str, Any]]:
    """(place for messages, row) of a local file, or of a Hub data set's ``split`` in its configuration ``name``.

    Raises:
        ValueError: The source is missing or cannot be read.
    """
    is_local = source.lower().endswith(LOCAL_SUFFIXES)
    rows = local_rows(local_path(source)) if is_local else hub_rows(source, split, name)
    try:
        yield from rows
    except UnicodeDecodeError as error:
        raise ValueError(f"task.source = {source}: cannot be read as UTF-8 text ({error}).") from error
    except PermissionError as error:
        raise ValueError(f"task.source = {source}: cannot be read ({error.strerror}).") from error


def local_path(source: str) -> Path:
    """Where a local source is; ``pkg://PACKAGE/FILE`` is one that a package brings along.

    Raises:
        ValueError: There is no such package.
    """
    if not source.startswith(PACKAGED):
        return Path(source).expanduser()
    package, _, name = source.removeprefix(PACKAGED).partition("/")
    try:
        return Path(str(importlib.resources.files(package))) / name
    except (ImportError, ValueError) as error:
        raise ValueError(f"task.source = {source}: no package {package!r} is installed ({error}).") from error


def local_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place for error messages, row) of a parquet, json (one list), jsonl or csv file."""
    if not path.is_file():
        raise ValueError(f"task.source = {path}: no such file. Give a .parquet, .json, .jsonl or .csv file.")
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}, line {number}", parse_json(line, f"{path}, line {number}", JSONL_HINT)
        return
    if suffix == ".json":
        rows = parse_json(path.read_text(encoding="utf-8-sig"), str(path), JSON_HINT)
        if not isinstance(rows, list):
            raise ValueError(f"{path}: a .json file must hold one list of rows; found {type(rows).__name__}.")
    elif suffix == ".csv":
        rows = csv_rows(path)
    else:
        rows = parquet_rows(path)
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", row


def parse_json(text: str, place: str, hint: str) -> Any:
    """The parsed text; a ValueError that names ``place`` and what the file should be when it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not valid JSON ({error}). {hint}") from error


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a csv file whose first line names the columns, with commas, semicolons or tabs; all values are text."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
        lines.seek(0)
        table = csv.DictReader(lines, strict=True, delimiter=max(",;\t", key=first.count))
        try:
            for row in table:
                if None in row or None in row.values():
                    raise ValueError(
                        f"{path}, line {table.line_num}: the line has more or fewer values than the first line has "
                        f"columns ({', '.join(table.fieldnames or [])}). Put values with commas in double quotes."
                    )
                yield row
        except csv.Error as error:
            raise ValueError(f"{path}, line {table.line_num}: not valid CSV ({error}).") from error


def further_columns(rows: list[dict[str, Any]]) -> Columns:
    """What of a source's row goes along with a task's row, for judges that want it: the same columns for every row.

    A value that is neither a number, text nor a list of text is written as JSON, and so is a column of several types.
    """
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for key, value in row.items():
            kinds.setdefault(key, set()).add(type(value))
    names = [key for key in kinds if key not in RESERVED]
    plain = {key for key in names if len(kinds[key] - {type(None)}) == 1 and kinds[key] <= {*PLAIN}}

    def columns(row: dict[str, Any]) -> dict[str, Any]:
        return {key: row.get(key) if key in plain or row.get(key) is None else as_text(row[key]) for key in names}

    return columns


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


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
    except (OSError, ValueError, HfHubHTTPError, DatasetsError) as error:
        if Path(source).exists():
            raise ValueError(
                f"task.source = {source}: cannot be read as a data set. Give a .parquet, .json, .jsonl or .csv file."
            ) from error
        raise ValueError(
            f"task.source = {source}: neither a local file nor a data set that could be fetched from the Hub "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]:.200}). Offline, give a local .parquet, "
            ".json, .jsonl or .csv file."
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{source} ({split}), row {number}", row
