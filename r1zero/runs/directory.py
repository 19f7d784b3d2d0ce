"""A run directory: claimed once, never overwritten, and enough to tell later what was run."""

import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from r1zero.config.kinds import read_task
from r1zero.config.schema import PARTS, Config
from r1zero.runs.files import read_json, write_json, write_text
from r1zero.runs.layout import COMPLETION_KINDS, CONFIG, ENVIRONMENT, METRICS, STATUS, completions_by_step


def claim_run_dir(path: Path, config: Config) -> None:
    """Write ``config.yaml`` and ``environment.json`` into ``path``, which must not hold a run yet.

    Raises:
        ValueError: ``path`` already holds a run, or cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with (path / CONFIG).open("x", encoding="utf-8") as file:
            yaml.safe_dump(asdict(config), file, sort_keys=False)
    except FileExistsError as error:
        if not path.is_dir():
            raise ValueError(f"hydra.run.dir = {path}: a file of that name is in the way.") from error
        raise ValueError(
            f"hydra.run.dir = {path}: holds a run already, and a run is never overwritten. Go on with it "
            f"(resume={path}), set another hydra.run.dir, leave it unset for a new dated folder, or delete this one."
        ) from error
    except OSError as error:
        raise ValueError(
            f"hydra.run.dir = {path}: cannot be written ({error.strerror}). Set hydra.run.dir to a writable folder."
        ) from error
    write_json(environment(), path / ENVIRONMENT)


def add_facts(path: Path, facts: dict[str, Any]) -> None:
    """Add what is known only when training starts to the ``environment.json`` of the run in ``path``."""
    file = path / ENVIRONMENT
    write_json((read_json(file) if file.is_file() else {}) | facts, file)


def release_run_dir(path: Path) -> None:
    """Undo ``claim_run_dir`` for a run that never began, so that the same command can be given again."""
    if (path / METRICS).exists():
        return
    for name in (CONFIG, ENVIRONMENT):
        (path / name).unlink(missing_ok=True)
    if not any(path.iterdir()):
        path.rmdir()


def load_config(path: Path) -> Config:
    """The config that the run in ``path`` was claimed with.

    Raises:
        ValueError: There is no run in ``path``, or one of another version.
    """
    try:
        values = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: no run is there ({path / CONFIG}: {error.strerror}).") from error
    try:
        return Config(
            **values
            | {"task": read_task(values["task"])}
            | {name: kind(**values[name]) for name, kind in PARTS.items()}
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path / CONFIG}: written by another version of r1zero ({error}).") from error


def environment() -> dict[str, str | bool | int | None]:
    """What ran where: commit, versions, device, command."""
    import torch  # takes seconds, and a run directory that is refused does not need it

    status = git("status", "--porcelain")
    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(status) if status is not None else None,
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "transformers", "trl", "deepspeed", "hydra-core")},
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else platform.processor() or platform.machine(),
        "cpu_cores": os.cpu_count(),
        "command": shlex.join(sys.argv),
    }


def git(*arguments: str) -> str | None:
    """Output of a git command on this source tree; None outside a repository or without git."""
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def holds_run(path: Path) -> bool:
    """Whether a run has claimed ``path``."""
    return (path / CONFIG).is_file()


def is_finished(run_dir: Path) -> bool:
    """Whether the run has done all its steps."""
    try:
        return json.loads((run_dir / STATUS).read_text())["status"] == "finished"
    except FileNotFoundError:
        return False


def write_status(run_dir: Path, status: str, step: int) -> None:
    """Note how the run ended: ``finished``, or ``stopped`` by a signal after ``step``."""
    write_text(json.dumps({"status": status, "step": step}) + "\n", run_dir / STATUS)


def forget_after(run_dir: Path, step: int) -> None:
    """Delete the completions of steps after ``step``: the resumed run writes them again."""
    for kind in COMPLETION_KINDS:
        for written, paths in completions_by_step(run_dir, kind).items():
            for path in paths if written > step else ():
                path.unlink()
