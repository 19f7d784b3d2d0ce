"""Which run a command continues: ``resume=RUN_DIR`` names it, ``resume=auto`` finds it.

``auto`` takes ``hydra.run.dir`` when it holds a run, else the newest unfinished run beside it with the same config,
else begins a new run: one command for a job that may be killed and started again. What is in a checkpoint is
``r1zero.training.durable``'s business.
"""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from r1zero.config.schema import Config
from r1zero.runs.checkpoints import model_folder
from r1zero.runs.directory import claim_run_dir, holds_run, is_finished, load_config
from r1zero.runs.layout import CONFIG

log = logging.getLogger(__name__)

NOT_PART_OF_A_RUN = ("resume=", "launch.", "hydra.", "hydra/")


def open_run(config: Config, run_dir: Path, overrides: list[str]) -> tuple[Config, Path]:
    """Config and directory of the run to train: a new one in ``run_dir``, or the one that ``config.resume`` asks for.

    A resumed run goes on with the config that it was started with. Overrides that would change it are refused.

    Args:
        config: As composed.
        run_dir: Hydra's, which a new run claims.
        overrides: The command line's.

    Raises:
        ValueError: There is nothing to resume, or the command asks for another config.
    """
    new = replace(config, resume=None, model=replace(config.model, path=model_folder(config.model.path)))
    if config.resume == "auto":
        place = run_dir if holds_run(run_dir) else newest_unfinished(run_dir.parent, new)
    else:
        place = Path(config.resume) if config.resume is not None else None
    if place is None:
        claim_run_dir(run_dir, new)
        return new, run_dir
    stored = load_config(place)
    own = [override for override in overrides if not override.lstrip("+~").startswith(NOT_PART_OF_A_RUN)]
    if own:
        refuse_differences(asdict(stored), asdict(new), place)
    if run_dir.is_dir() and not any(run_dir.iterdir()):
        run_dir.rmdir()  # Hydra made it for a new run
    launched = any(override.startswith("launch.") for override in overrides)
    return replace(stored, launch=new.launch if launched else stored.launch), place


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


def refuse_differences(stored: dict[str, Any], given: dict[str, Any], place: Path, prefix: str = "") -> None:
    """Raise for the first key whose value the command would change."""
    for key in stored:
        path = f"{prefix}{key}"
        if path == "launch" or stored[key] == given.get(key):
            continue
        if isinstance(stored[key], dict) and isinstance(given.get(key), dict):
            refuse_differences(
                stored[key] | dict.fromkeys(given[key].keys() - stored[key]), given[key], place, f"{path}."
            )
            continue
        raise ValueError(
            f"resume = {place}: that run has {path} = {stored[key]} and this command {given.get(key)}. A run ends as it"
            f" began: leave the other overrides out (resume={place} alone takes the run's own config), or start anew."
        )
