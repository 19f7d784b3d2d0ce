"""Several tasks in one run: rows of all of them, each judged by its own task's judges."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1zero.config.kinds import MixtureConfig, imported
from r1zero.config.schema import RewardConfig
from r1zero.tasks.task import Judge, Row, Task
from rewards import Verdict

SOLVED = MixtureConfig.accuracy_judge  # stands for the accuracy judge of each part


def build_mixture(config: MixtureConfig, reward: RewardConfig, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The task for ``config``: its rows say in the column ``task`` whose they are.

    Judges are ``solved``, which is each part's accuracy judge, and those that all parts have by one name.
    """
    parts: dict[str, Task] = {}
    for name, part in config.part_configs().items():
        parts[name] = imported(part.builder, f"{type(part).__name__}.builder")(part, reward, tokenizer)
    shared = set.intersection(*(set(part.judges) for part in parts.values()))
    judges = {SOLVED: by_part({name: part.judges[part.accuracy_judge] for name, part in parts.items()})}
    for judge in sorted(shared - {SOLVED, *(part.accuracy_judge for part in parts.values())}):
        judges[judge] = by_part({name: part.judges[judge] for name, part in parts.items()})
    train = mixed({name: part.train for name, part in parts.items()}, config.weights)[: config.num_train]
    in_turn = zip_longest(*([marked(row, name) for row in part.test] for name, part in parts.items()))
    test = [row for rows in in_turn for row in rows if row is not None][: config.num_test]
    columns = list(dict.fromkeys(key for row in (*train, *test) for key in row))

    def ballot(text: str, row: Mapping[str, Any], verdict: Verdict) -> str | None:
        of_part = parts[row["task"]].ballot
        return of_part(text, row, verdict) if of_part else None

    return Task(
        name=config.name,
        train=[{key: row.get(key) for key in columns} for row in train],
        test=[{key: row.get(key) for key in columns} for row in test],
        judges=judges,
        accuracy_judge=SOLVED,
        ballot=ballot if all(part.ballot for part in parts.values()) else None,
    )


def by_part(judges: Mapping[str, Judge]) -> Judge:
    """The judge that asks the one of the row's own task."""
    return lambda text, row: judges[row["task"]](text, row)


def marked(row: Row, name: str) -> Row:
    """The row with the name of its task."""
    return {**row, "task": name}


def mixed(rows: Mapping[str, list[Row]], weights: Mapping[str, float]) -> list[Row]:
    """Rows of all tasks in the ratio of their weights, evenly interleaved, until the first task has no more.

    >>> [row["task"] for row in mixed({"a": [{}] * 4, "b": [{}] * 9}, {"a": 1.0, "b": 2.0})]
    ['b', 'a', 'b', 'b', 'a', 'b', 'b', 'a', 'b', 'b', 'a', 'b', 'b']
    """
    taken = dict.fromkeys(rows, 0)
    found: list[Row] = []
    while True:
        # The task that is furthest behind its share; it would be due at (taken + 1/2) / weight.
        name = min(rows, key=lambda name: (taken[name] + 0.5) / weights.get(name, 1.0))
        if taken[name] == len(rows[name]):
            return found
        found.append(marked(rows[name][taken[name]], name))
        taken[name] += 1
