"""Checkpoints on disk: whole or not there, the last ones and the best ones kept.

A checkpoint is written to a temporary name and renamed when every file is on the disk. ``complete.json`` in it lists
its files with their sizes, so that one torn later (a copy cut short, a full disk) is recognised. What is in the files
is ``r1zero.training.durable``'s business. Sizes are checked, not contents: a flipped bit is not noticed.
"""

import json
import logging
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1zero.config.shorthand import quoted
from r1zero.config.trainer_keys import trainer_value
from r1zero.runs.layout import ADAPTER, CHECKPOINTS, CONFIG, FINAL

log = logging.getLogger(__name__)

MANIFEST = "complete.json"
MODEL_CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"  # of transformers and peft
PARTIAL = ".partial"  # folder of checkpoints that are being written


def step_of(checkpoint: Path) -> int:
    """The optimizer step of ``checkpoint-110``: 110."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def seal(partial: Path, place: Path, facts: Mapping[str, Any]) -> None:
    """Make the written folder ``partial`` appear at ``place``, whole, with ``facts`` in its manifest.

    What is at ``place`` already is replaced.
    """
    files = [path for path in sorted(partial.rglob("*")) if path.is_file()]
    sizes = {str(path.relative_to(partial)): path.stat().st_size for path in files}
    manifest = partial / MANIFEST
    manifest.write_text(json.dumps({**facts, "files": sizes}, indent=2) + "\n")
    for path in (*files, manifest, partial):
        sync(path)
    old = place.with_name(f"{PARTIAL}-old-{place.name}")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    partial.rename(place)
    sync(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until ``path`` is on the disk, and not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_facts(checkpoint: Path) -> dict[str, Any]:
    """The facts that ``seal`` noted.

    Raises:
        ValueError: The checkpoint is torn; says how.
    """
    try:
        facts = json.loads((checkpoint / MANIFEST).read_text())
        sizes = facts.pop("files")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"its {MANIFEST} cannot be read ({error})") from error
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        if path.stat().st_size != size:
            raise ValueError(f"{name} has {path.stat().st_size} of {size} bytes")
    return facts


def whole_checkpoints(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Checkpoints in ``folder`` with their facts, oldest step first; torn ones are left out, with a warning."""
    found = []
    for path in sorted(folder.glob("checkpoint-*"), key=step_of):
        try:
            found.append((path, read_facts(path)))
        except ValueError as error:
            log.warning("Skipping %s, which is torn: %s.", path, error)
    return found


def last_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint of the latest step; None when there is none."""
    found = whole_checkpoints(folder)
    return found[-1][0] if found else None


def how_to_go_on(run_dir: Path) -> str:
    """A sentence that names the last good checkpoint and the command that takes it up."""
    checkpoint, command = last_checkpoint(run_dir / CHECKPOINTS), resume_command(run_dir)
    if checkpoint is None:
        return f"There is no checkpoint yet: {command} begins again."
    return f"The last good checkpoint is {checkpoint}: {command} goes on from it."


def resume_command(run_dir: Path) -> str:
    """The command that goes on with the run, as a shell takes it.

    >>> resume_command(Path("runs/first"))
    'python -m r1zero.train resume=runs/first'
    >>> print(resume_command(Path("my runs/1")))
    python -m r1zero.train "resume='my runs/1'"
    """
    word = f"resume={quoted(str(run_dir))}"
    return f"python -m r1zero.train {word if shlex.quote(word) == word else double_quoted(word)}"


def double_quoted(word: str) -> str:
    """The word in double quotes, within which Hydra's single ones stay as they are."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", word) + '"'


def resumed_trainer(checkpoint: Path | None, num_ranks: int, trainer: dict[str, Any]) -> dict[str, Any]:
    """``trainer`` as ``num_ranks`` go on from ``checkpoint``: with batches as large as those that it was made in.

    Rows are numbered over all ranks and randomness is keyed by them: another number of ranks goes on with the same
    completions, up to rounding.

    Raises:
        ValueError: Another number of ranks wrote it, and its batches do not fit this one.
    """
    if checkpoint is None:
        return trainer
    facts = read_facts(checkpoint)
    before, rows = facts["num_ranks"], trainer_value(trainer, "per_device_train_batch_size")
    batch = facts.get("batch") or rows * trainer_value(trainer, "gradient_accumulation_steps") * before
    if before != num_ranks and (
        batch % (rows * num_ranks) or trainer_value(trainer, "steps_per_generation") or facts.get("reused")
    ):
        raise ValueError(
            f"{checkpoint} was written by {before} rank(s) in batches of {batch} completions, which {num_ranks} "
            f"rank(s) with trainer.per_device_train_batch_size = {rows} cannot go on with. {other_ways(checkpoint)}"
        )
    return trainer | {"gradient_accumulation_steps": batch // (rows * num_ranks)}


def other_ways(checkpoint: Path) -> str:
    """What to do with a checkpoint that this number of ranks cannot take up."""
    ranks = read_facts(checkpoint)["num_ranks"]
    return f"Set launch.num_processes={ranks}, or start a new run from its weights (model={checkpoint})."


def best(found: list[tuple[Path, dict[str, Any]]], count: int) -> list[Path]:
    """The ``count`` checkpoints of the highest held-out accuracy; of equal ones the earlier."""
    evaluated = [(path, facts["accuracy"]) for path, facts in found if facts.get("accuracy") is not None]
    return [path for path, _ in sorted(evaluated, key=lambda item: -item[1])[:count]]


def rotate(folder: Path, keep_last: int, keep_best: int) -> None:
    """Delete all whole checkpoints but the last ``keep_last`` and the ``keep_best`` best ones."""
    found = whole_checkpoints(folder)
    kept = {path for path, _ in found[-keep_last:]} | set(best(found, keep_best))
    for path, _ in found:
        if path not in kept:
            doomed = path.with_name(f"{PARTIAL}-old-{path.name}")  # never half a checkpoint under its own name
            path.rename(doomed)
            shutil.rmtree(doomed)


def clear_partial(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def holds_model(path: Path) -> bool:
    """Whether there is a model in a folder, or a LoRA adapter of one."""
    return (path / MODEL_CONFIG).is_file() or (path / ADAPTER_CONFIG).is_file()


def newest_checkpoint(run_dir: Path, adapter: bool = False) -> Path:
    """The weights of the highest step: ``checkpoints/final``, or a checkpoint that a killed run wrote after it.

    Args:
        run_dir: The run directory.
        adapter: Of a LoRA run the adapter alone, rather than the model that it is merged into.

    Raises:
        ValueError: There is none yet.
    """
    folder = run_dir / CHECKPOINTS
    named, file = (ADAPTER, ADAPTER_CONFIG) if adapter else (FINAL, MODEL_CONFIG)
    found = {path: step_of(path) for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()}
    found = {path: step for path, step in found.items() if holds_model(path) and (path / file).is_file() >= adapter}
    if (folder / named / file).is_file():
        try:
            found[folder / named] = read_facts(folder / named)["step"]
        except ValueError:  # a folder from elsewhere, or one torn, has no step to compare
            found = {folder / named: 0}
    if not found and adapter:
        return newest_checkpoint(run_dir)
    if not found:
        raise ValueError(
            f"{folder}: holds no model yet. Wait for the end of the run, or have it save on the way: "
            "trainer.save_strategy=steps trainer.save_steps=50."
        )
    return max(found, key=lambda path: (found[path], path.name == named))


def model_folder(path: str, adapter: bool = False) -> str:
    """Where the model at ``model.path`` lies: of a run, its newest checkpoint; anything else is itself.

    Raises:
        ValueError: The run has saved none yet.
    """
    run = Path(path)
    is_run = (run / CONFIG).is_file() and not (run / MODEL_CONFIG).is_file()
    return str(newest_checkpoint(run, adapter).resolve()) if is_run else path


def checkpoint_path(run: Path, checkpoint: str) -> Path:
    """The folder of a checkpoint: ``final``, or a step.

    Raises:
        ValueError: There is none of that name; says which there are.
    """
    folder = run / CHECKPOINTS
    path = folder / (f"checkpoint-{checkpoint}" if checkpoint.isdigit() else checkpoint)
    if holds_model(path):
        return path
    found = sorted(entry.name.removeprefix("checkpoint-") for entry in folder.glob("*") if holds_model(entry))
    raise ValueError(
        f"checkpoint = {checkpoint}: no model in {path}. This run has {', '.join(found) or 'none yet'}; "
        "r1zero.evaluate takes checkpoint=base as well, the model it began with."
    )
