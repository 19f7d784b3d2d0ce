"""Files written whole or not at all: under a temporary name, then renamed."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the commands read JSON before they load it
    import pandas as pd


def write_text(text: str, path: Path) -> None:
    """Write ``text``; a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # jobs of a sweep write the same page
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)


def write_json(value: Any, path: Path) -> None:
    """Write ``value`` as JSON."""
    write_text(json.dumps(value, indent=2) + "\n", path)


def read_json(path: Path) -> Any:
    """The JSON value in ``path``."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_completions(frame: "pd.DataFrame", path: Path) -> None:
    """Write the table as parquet, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    frame.to_parquet(temporary, index=False)
    temporary.replace(path)
