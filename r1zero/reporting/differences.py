"""In what several runs differ: the settings, and what they ran on, as a table with a column for each run."""

from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.runs.reading import Run

# What names a run, or says where it is logged and how it was started, is no setting of what was trained.
NO_SETTINGS = ("run_name", "resume", "tracker", "launch")
NO_ENVIRONMENT = ("command", "wandb_id")
ABSENT = "-"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values by their full key, as text.

    >>> flat({"trainer": {"beta": 0.0, "optim": None}, "seed": 1})
    {'trainer.beta': '0.0', 'trainer.optim': 'null', 'seed': '1'}
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = "null" if value is None else str(value)
    return found


def different(columns: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """[key, value in each column] of the keys whose values differ; a key that a column lacks is ``-`` there."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = [[key, *(column.get(key, ABSENT) for column in columns)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def settings_that_differ(runs: Sequence[Run]) -> list[list[str]]:
    """Settings that the runs do not share: [key, value in each run]."""
    configs = [{key: value for key, value in run.config.items() if key not in NO_SETTINGS} for run in runs]
    return different([flat(config) for config in configs])


def environment_that_differs(runs: Sequence[Run]) -> list[list[str]]:
    """Commit, versions and devices that the runs do not share: [name, value in each run]."""
    facts = [{key: value for key, value in run.environment.items() if key not in NO_ENVIRONMENT} for run in runs]
    return different([flat(fact) for fact in facts])
