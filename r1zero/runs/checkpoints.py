"""Checkpoints on disk: whole or not there, the last ones and the best ones kept.

A checkpoint is written to a temporary name and renamed when every file is on the disk. ``complete.json`` in it lists
its files with their sizes, so that one torn later (a copy cut short, a full disk) is recognised. What is in the files
is ``r1zero.training.durable``'s business. Sizes are checked, not contents: a flipped bit is not noticed.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1zero.config.trainer_keys import trainer_value
from r1zero.runs.layout import CHECKPOINTS, CONFIG, FINAL

log = logging.getLogger(__name__)

MANIFEST = "complete.json"
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
    checkpoint = last_checkpoint(run_dir / CHECKPOINTS)
    if checkpoint is None:
        return f"There is no checkpoint yet: resume={run_dir} begins again."
    return f"The last good checkpoint is {checkpoint}: resume={run_dir} goes on from it."


def resumed_trainer(checkpoint: Path | None, num_ranks: int, trainer: dict[str, Any], zero: bool) -> dict[str, Any]:
    """``trainer`` as ``num_ranks`` go on from ``checkpoint``: with batches as large as those that it was made in.

    Without ZeRO all ranks hold the same weights and moments, rows are numbered over all ranks, and randomness is keyed
    by them: another number of ranks goes on with the same completions, up to rounding.

    Raises:
        ValueError: Another number of ranks wrote it, and its shards or batches do not fit this one.
    """
    if checkpoint is None:
        return trainer
    facts = read_facts(checkpoint)
    before, rows = facts["num_ranks"], trainer_value(trainer, "per_device_train_batch_size")
    batch = facts.get("batch") or rows * trainer_value(trainer, "gradient_accumulation_steps") * before
    if before != num_ranks:
        advice = f"Set launch.num_processes={before}, or start a new run from its weights (model={checkpoint})."
        if zero:
            raise ValueError(
                f"{checkpoint} holds the ZeRO shards of {before} rank(s), and this run has {num_ranks}. {advice}"
            )
        if batch % (rows * num_ranks) or trainer_value(trainer, "steps_per_generation") or facts.get("reused"):
            raise ValueError(
                f"{checkpoint} was written by {before} rank(s) in batches of {batch} completions, which {num_ranks} "
                f"rank(s) with trainer.per_device_train_batch_size = {rows} cannot go on with. {advice}"
            )
        log.info("%s was written by %d rank(s); %d go on with the same batches.", checkpoint, before, num_ranks)
    return trainer | {"gradient_accumulation_steps": batch // (rows * num_ranks)}


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
    return (path / "config.json").is_file() or (path / "adapter_config.json").is_file()


def newest_checkpoint(run_dir: Path) -> Path:
    """``checkpoints/final``, or else the checkpoint of the highest step.

    Raises:
        ValueError: There is none yet.
    """
    final = run_dir / CHECKPOINTS / FINAL
    if holds_model(final):
        return final
    saved = {path: path.name.rpartition("-")[2] for path in (run_dir / CHECKPOINTS).glob("checkpoint-*")}
    steps = {int(step): path for path, step in saved.items() if step.isdigit() and holds_model(path)}
    if not steps:
        raise ValueError(
            f"{run_dir / CHECKPOINTS}: holds no model yet. Wait for the end of the run, or have it save on the way: "
            "trainer.save_strategy=steps trainer.save_steps=50."
        )
    return steps[max(steps)]


def model_folder(path: str) -> str:
    """Where the model at ``model.path`` lies: of a run, its newest checkpoint; anything else is itself.

    Raises:
        ValueError: The run has saved none yet.
    """
    run = Path(path)
    is_run = (run / CONFIG).is_file() and not (run / "config.json").is_file()
    return str(newest_checkpoint(run).resolve()) if is_run else path


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
