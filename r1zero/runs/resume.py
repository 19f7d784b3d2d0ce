"""Which run a command continues: ``resume=RUN_DIR`` names it, ``resume=auto`` finds it.

``auto`` takes ``hydra.run.dir`` when it holds a run, else the newest unfinished run beside it with the same config,
else begins a new run: one command for a job that may be killed and started again. What is in a checkpoint is
``r1zero.training.durable``'s business.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.runs.checkpoints import last_checkpoint, model_folder, step_of
from r1zero.runs.directory import add_facts, claim_run_dir, holds_run, is_finished, load_config
from r1zero.runs.files import read_json, write_text
from r1zero.runs.layout import CHECKPOINTS, CONFIG, ENVIRONMENT, STATUS

log = logging.getLogger(__name__)

NOT_PART_OF_A_RUN = ("resume=", "launch.", "hydra.", "hydra/")
# What a run may go on with otherwise than it began: how long, and what is kept and shown. None of it is what it learns.
MAY_CHANGE = (
    *("trainer.max_steps", "trainer.num_train_epochs", "trainer.eval_strategy", "trainer.eval_steps"),
    *("trainer.save_strategy", "trainer.save_steps", "tracker", "checkpoints", "alarms", "memory"),
)


def open_run(config: Config, run_dir: Path, overrides: list[str]) -> tuple[Config, Path]:
    """Config and directory of the run to train: a new one in ``run_dir``, or the one that ``config.resume`` asks for.

    A resumed run goes on with the config that it was started with, but for what ``MAY_CHANGE``. Other overrides are
    refused where they differ.

    Args:
        config: As composed.
        run_dir: Hydra's, which a new run claims.
        overrides: The command line's.

    Raises:
        ValueError: There is nothing to resume, or the command asks for another config.
    """
    weights = model_folder(config.model.path, adapter=config.peft.method == "lora")
    new = replace(config, resume=None, model=replace(config.model, path=weights))
    if config.resume == "auto":
        place = run_dir if holds_run(run_dir) else newest_unfinished(run_dir.parent, new)
        if place is None:
            log.info("resume=auto: %s holds no unfinished run of this config; a new one begins.", run_dir.parent)
    else:
        place = Path(config.resume) if config.resume is not None else None
    if place is None:
        claim_run_dir(run_dir, new)
        return new, run_dir
    stored = load_config(place)
    own = [override.lstrip("+~") for override in overrides if not override.lstrip("+~").startswith(NOT_PART_OF_A_RUN)]
    changes = [key for key in (override.partition("=")[0] for override in own) if may_change(key)]
    changed = with_values_of(stored, new, changes)
    if len(changes) < len(own):
        refuse_differences(asdict(changed), asdict(new), place)
    if changed != stored:
        extend(place, stored, changed)
    if run_dir.is_dir() and not any(run_dir.iterdir()):
        run_dir.rmdir()  # Hydra made it for a new run
    launched = any(override.startswith("launch.") for override in overrides)
    return replace(changed, launch=new.launch if launched else stored.launch), place


def may_change(key: str) -> bool:
    """Whether a run may go on with another value at ``key``."""
    return any(key == known or key.startswith(f"{known}.") for known in MAY_CHANGE)


def with_values_of(stored: Config, new: Config, keys: list[str]) -> Config:
    """``stored`` with what ``new`` has at ``keys``: a part, or a value of one."""
    changed = stored
    for key in keys:
        part, _, name = key.partition(".")
        value = getattr(new, part)
        if part == "trainer":
            value = {**changed.trainer, **({name: value[name]} if name in value else {})}
        elif name:
            value = replace(getattr(changed, part), **{name.partition(".")[0]: getattr(value, name.partition(".")[0])})
        changed = replace(changed, **{part: value})
    return changed


def extend(place: Path, stored: Config, changed: Config) -> None:
    """Note in the run's directory that it goes on with another config, from its last checkpoint.

    Raises:
        ValueError: It has no checkpoint, or has done as many steps already.
    """
    checkpoint = last_checkpoint(place / CHECKPOINTS)
    done = step_of(checkpoint) if checkpoint else 0
    steps = trainer_value(changed.trainer, "max_steps")
    if is_finished(place) and checkpoint is None:
        raise ValueError(
            f"resume = {place}: it has finished and kept no checkpoint to go on from. model={place} starts a new run "
            "from its weights."
        )
    if 0 < steps < done or (steps == done and is_finished(place)):
        raise ValueError(
            f"trainer.max_steps = {steps}: the run in {place} has done {done} steps already. Set more, or start a new "
            f"run from its weights with model={place}."
        )
    different = {key: [old, new] for key, old, new in differing(asdict(stored), asdict(changed))}
    change = {"after_step": done, "from_to": different}
    earlier = read_json(place / ENVIRONMENT).get("changes", []) if (place / ENVIRONMENT).is_file() else []
    if earlier[-1:] != [change]:  # killed before the config was written, and asked for again
        add_facts(place, {"changes": [*earlier, change]})
    if different.keys() & {"trainer.max_steps", "trainer.num_train_epochs"}:
        epochs = trainer_value(changed.trainer, "num_train_epochs")
        end = f"step {steps}" if steps > 0 else f"epoch {epochs}"
        log.info(
            "%s goes on from step %d to %s. From here the learning rate is that of a run so long.", place, done, end
        )
        (place / STATUS).unlink(missing_ok=True)  # before the config: a run with neither goes on to its old end
    write_text(yaml.safe_dump(asdict(replace(changed, resume=None)), sort_keys=False), place / CONFIG)


def newest_unfinished(folder: Path, config: Config) -> Path | None:
    """The run in ``folder`` that was started last, among those that ``config`` describes and that have not finished."""
    runs = [path for path in folder.iterdir() if holds_run(path) and not is_finished(path)]
    for path in sorted(runs, key=lambda run: (run / CONFIG).stat().st_mtime, reverse=True):
        try:
            if replace(load_config(path), launch=config.launch) == config:
                return path
        except ValueError as error:
            log.warning("resume=auto passes over a run: %s", error)
    return None


def differing(stored: dict[str, Any], given: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, value and other value wherever two configs differ, but for how processes are started."""
    for key in {**stored, **given}:
        path, old, new = f"{prefix}{key}", stored.get(key), given.get(key)
        if path == "launch" or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differing(old, new, f"{path}.")
        else:
            yield path, old, new


def refuse_differences(stored: dict[str, Any], given: dict[str, Any], place: Path) -> None:
    """Raise for the first key whose value the command would change."""
    for path, old, new in differing(stored, given):
        raise ValueError(
            f"resume = {place}: that run has {path} = {old} and this command {new}. A run ends as it began: leave the "
            f"other overrides out (resume={place} alone takes the run's own config), or start a new run from its "
            f"weights (model={place})."
        )
