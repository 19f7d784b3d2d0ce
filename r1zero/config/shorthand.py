"""The user's own model or rows in a word, as ``model=FOLDER`` and ``task=rows.jsonl``, written out as values.

All commands that compose a config read their command line through ``expand``. A name in ``conf/`` is left to Hydra.
"""

import difflib
import importlib.resources
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

CONF = Path(str(importlib.resources.files("conf")))
ROWS = (".jsonl", ".json", ".csv", ".parquet")
CONFIG_DIR = ("--config-dir", "-cd")
CHAT = re.compile(r"(?i)instruct|chat|\b-?it\b")  # how published models that talk in turns are called


def expand(arguments: Sequence[str], config_dir: Path | None = None) -> list[str]:
    """The command line with the user's own model and task written out; ``config_dir`` has more files than ``conf/``.

    >>> expand(["task=data/sums.csv", "seed=1"])
    ['task=rows', 'task.source=data/sums.csv', 'task.name=sums', 'seed=1']

    Raises:
        ValueError: A model is neither a name in ``conf/model`` nor a folder nor the name of one on the Hub.
    """
    folders = [CONF, *([config_dir] if config_dir else config_dirs(arguments))]
    given = {argument.lstrip("+~").partition("=")[0] for argument in arguments}
    expanded: list[str] = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        words = [argument]
        if key == "task" and (mixture := re.fullmatch(r"\[(\w+(?:,\s*\w+)*)\]", value)):
            words = mixture_words([name.strip() for name in mixture[1].split(",")])
        elif key == "model" and is_own(value, "model", folders):
            words = model_words(value, folders, given)
        elif key == "task" and is_own(value, "task", folders):
            words = task_words(value, given)
        expanded += words
    return expanded


def config_dirs(arguments: Sequence[str]) -> list[Path]:
    """The folders that ``--config-dir DIR`` or ``--config-dir=DIR`` names."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name in CONFIG_DIR:
            found.append(Path(value if equals else following))
    return found


def names_in(group: str, folders: Sequence[Path]) -> list[str]:
    """The names that a group of ``conf/`` has."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def is_own(value: str, group: str, folders: Sequence[Path]) -> bool:
    """Whether the value is neither a name in ``conf/`` nor a list of them, as a sweep has it."""
    if not value or value in names_in(group, folders):
        return False
    return not re.search(r"[,(]", value) or Path(value).exists()


def model_words(value: str, folders: Sequence[Path], given: set[str]) -> list[str]:
    """The values that a model of the user's own stands for: a folder, a run, or a name on the Hub.

    Without a task, trainer or experiment of the user's choice they are those for any model, not the embedded one's.
    """
    path = Path(value).expanduser()
    if not path.is_dir():
        known = names_in("model", folders)
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.7)
        if near or value.startswith((".", "/", "~")) or value.count("/") > 1:
            hint = f"Did you mean '{near[0]}'?" if near else f"Known names: {', '.join(known)}."
            raise ValueError(f"model = {value}: no such folder, and no model of conf/model. {hint}")
    name = path.resolve().name if path.is_dir() else path.name
    words = ["model=own", f"model.path={quoted(str(path) if path.is_dir() else value)}", f"model.name={quoted(name)}"]
    if is_embedded(path):
        words[0] = "model=nano"
    elif "experiment" not in given:
        chat = CHAT.search(name) is not None
        words += ["trainer=own"] if "trainer" not in given else []
        if "task" not in given:
            words += ["task=countdown", f"task.template={'tinyzero_chat' if chat else 'tinyzero_base'}"]
    return [word for word in words if word.partition("=")[0] not in given - {"model"}]


def mixture_words(names: Sequence[str]) -> list[str]:
    """The choices that a mixture stands for: each task's file becomes one of its parts."""
    return ["task=mixture", *(f"+task@task.parts.{name}={name}" for name in names)]


def task_words(value: str, given: set[str]) -> list[str]:
    """The values that rows of the user's own stand for; any other name is left to Hydra, which knows the nearest."""
    if not value.endswith(ROWS) and not re.fullmatch(r"[\w.-]+/[\w.-]+", value):
        return [f"task={value}"]
    words = ["task=rows", f"task.source={quoted(value)}", f"task.name={quoted(Path(value).name.partition('.')[0])}"]
    return [word for word in words if word.partition("=")[0] not in given - {"task"}]


def is_embedded(path: Path) -> bool:
    """Whether the folder is a run of the embedded model or a checkpoint of one: it keeps its task and its trainer."""
    for folder in (path, *path.resolve().parents[:2]):
        config = folder / "config.yaml"
        if config.is_file() and (folder / "checkpoints").is_dir():
            task = yaml.safe_load(config.read_text(encoding="utf-8")).get("task", {})
            return task.get("template") == "nano"
    return False


def quoted(value: str) -> str:
    """The value as Hydra's grammar takes any text."""
    if re.fullmatch(r"[\w./@:-]+", value, re.ASCII):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
