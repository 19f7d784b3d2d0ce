"""Reads back what an offline W&B run wrote: the records of its ``.wandb`` file, a log in LevelDB's format."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7  # bytes; a chunk's header is checksum (4), length (2), kind (1)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path) -> Iterator[Record]:
    """The records of the file, in order."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, parts = 7, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:  # the end of a block is padded
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        if kind == 0:
            at += left
            continue
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        assert kind in (FULL, FIRST, MIDDLE, LAST)
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def read_run(directory: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(config, one dictionary of values a logged step) of the offline run below ``directory``."""
    (path,) = directory.glob("wandb/offline-run-*/*.wandb")
    config: dict[str, Any] = {}
    history = []
    for record in records(path):
        updates = [*record.run.config.update, *record.config.update]
        config |= {item.key: json.loads(item.value_json) for item in updates if item.key}
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if items:
            history.append(items)
    return config, history
