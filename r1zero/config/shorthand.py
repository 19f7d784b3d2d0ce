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
GROUPS = ("task", "model", "peft", "reward", "trainer", "rollout", "deepspeed", "tracker", "experiment")
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
        key, equals, value = argument.partition("=")
        words = [argument]
        if equals and value in ("", "[]") and (group := key.lstrip("+")) in GROUPS:
            raise ValueError(f"{argument}: names nothing. Set {key}=NAME, with one of {known(group, folders)}.")
        if re.fullmatch(r"'.+'|\".+\"", value):
            value = value[1:-1]  # quoted for Hydra's grammar
        if key == "task" and (mixture := re.fullmatch(r"\[([^][()]+)\]", value)):
            words = mixture_words([name.strip() for name in mixture[1].split(",")], folders)
        elif key == "model" and is_own(value, "model", folders):
            rows = any(is_rows(other, folders) for other in arguments)
            words = model_words(value, folders, given, rows)
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


def known(group: str, folders: Sequence[Path]) -> str:
    """The names that a user may choose from a group, in one line."""
    return ", ".join(name for name in names_in(group, folders) if name not in ("own", "rows"))


def names_in(group: str, folders: Sequence[Path]) -> list[str]:
    """The names that a group of ``conf/`` has."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def is_own(value: str, group: str, folders: Sequence[Path]) -> bool:
    """Whether the value is neither a name in ``conf/`` nor a list of them, as a sweep has it."""
    if not value or value in names_in(group, folders):
        return False
    return not re.search(r"[,(]", value) or Path(value).exists()


def is_rows(argument: str, folders: Sequence[Path]) -> bool:
    """Whether the argument names rows of the user's own."""
    key, _, value = argument.partition("=")
    return key == "task" and is_own(value, "task", folders)


def model_words(value: str, folders: Sequence[Path], given: set[str], rows: bool) -> list[str]:
    """The values that a model of the user's own stands for: a folder, a run, or a name on the Hub.

    Without a task, trainer or experiment of the user's choice they are those for any model, not the embedded one's. A
    model that talks in turns, by its name, is asked so; ``rows`` says that the task is rows of the user's own.
    """
    path = Path(value).expanduser()
    if not path.is_dir():
        if path.exists():
            raise ValueError(f"model = {value}: is a file. Give the folder that holds it and config.json.")
        is_path = value.startswith((".", "/", "~")) or value.count("/") > 1
        beside = [str(folder) for folder in path.parent.glob("*") if folder.is_dir()] if is_path else []
        near = difflib.get_close_matches(value, beside or names_in("model", folders), n=1, cutoff=0.7)
        if near or is_path or " " in value:
            hint = f"Did you mean '{near[0]}'?" if near else f"Known names: {known('model', folders)}."
            raise ValueError(f"model = {value}: no such folder, and no model of conf/model. {hint}")
    name = path.resolve().name if path.is_dir() else path.name
    words = ["model=own", f"model.path={quoted(str(path) if path.is_dir() else value)}", f"model.name={quoted(name)}"]
    if is_embedded(path):
        words[0] = "model=nano"
    elif "experiment" not in given:
        chat = CHAT.search(name) is not None
        words += ["trainer=own"] if "trainer" not in given else []
        if rows and chat:
            words.append("task.template=boxed_chat")
        if "task" not in given:
            words += ["task=countdown", f"task.template={'tinyzero_chat' if chat else 'tinyzero_base'}"]
    return [word for word in words if word.partition("=")[0] not in given - {"model"}]


def mixture_words(names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The choices that a mixture stands for: each task's file becomes one of its parts, rows of one's own, too."""
    words = ["task=mixture"]
    for name in names:
        choice, *values = task_words(name, set()) if is_own(name, "task", folders) else [f"task={name}"]
        part = re.sub(r"\W", "_", Path(name).name.partition(".")[0]) if values else name
        words.append(f"+task@task.parts.{part}={choice.partition('=')[2]}")
        words += [value.replace("task.", f"task.parts.{part}.", 1) for value in values[:1]]
        words += [f"task.parts.{part}.name={part}"] if values else []
    return words


def task_words(value: str, given: set[str]) -> list[str]:
    """The values that rows of the user's own stand for; any other name is left to Hydra, which knows the nearest."""
    if not value.lower().endswith(ROWS) and not re.fullmatch(r"[\w.-]+/[\w.-]+", value):
        if "." in value or "/" in value:
            raise ValueError(
                f"task = {value}: no such name, and no file of rows. Those end in {', '.join(ROWS)}. Names: "
                f"{known('task', [CONF])}."
            )
        return [f"task={quoted(value)}"]
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
