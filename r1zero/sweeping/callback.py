"""Where a sweep begins and ends: its directory, the note of what is swept, and the table after the last job.

Hydra makes the callback in every command that it starts, so its methods import what tables and figures need.
What a job does is ``r1zero.sweeping.jobs``'s business.
"""

import hashlib
import math
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from r1zero.runs.files import read_json, write_json


def with_sweep_dir(argv: list[str]) -> list[str]:
    """The command line with a sweep directory that the same command finds again, if it starts a sweep and names none.

    >>> with_sweep_dir(["train", "-m", "seed=0,1"])[-1]
    'hydra.sweep.dir=sweeps/seed-05f7f191'
    """
    if not {"-m", "--multirun"} & set(argv) or any(argument.startswith("hydra.sweep.dir=") for argument in argv):
        return argv
    # How jobs are started does not change what they are.
    own = [argument for argument in argv[1:] if not argument.startswith(("-", "hydra/launcher", "hydra.launcher"))]
    experiment = next((argument.partition("=")[2] for argument in own if argument.startswith("+experiment=")), None)
    swept = [argument.partition("=")[0].rpartition(".")[2] for argument in own if "," in argument]
    name = re.sub(r"[^\w-]+", "-", experiment or "-".join(swept) or "sweep")
    digest = hashlib.sha256("\n".join(own).encode()).hexdigest()[:8]
    return [*argv, f"hydra.sweep.dir=sweeps/{name}-{digest}"]


class SweepCallback(Callback):
    """What Hydra calls before the first job of a sweep and after the last."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write down what is swept, or check that the directory belongs to this sweep."""
        from r1zero.sweeping.results import SWEEP

        sweep_dir = Path(config.hydra.sweep.dir)
        overrides = list(config.hydra.overrides.task)
        params = OmegaConf.to_container(config.hydra.sweeper).get("params") or {}  # type: ignore[union-attr]
        swept = swept_choices([*(f"{key}={value}" for key, value in params.items()), *overrides])
        found = {
            "command": f"python -m r1zero.train {shlex.join(sys.argv[1:])}",
            "overrides": overrides,
            "params": params,
            "swept": list(swept),
            "num_jobs": math.prod(swept.values()) if all(swept.values()) else None,
        }
        if (sweep_dir / SWEEP).is_file():
            stored = read_json(sweep_dir / SWEEP)
            if (stored["overrides"], stored["params"]) != (found["overrides"], found["params"]):
                sys.exit(
                    f"error: hydra.sweep.dir = {sweep_dir}: holds another sweep ({stored['command']}). Give that "
                    "command to go on with it, or set another hydra.sweep.dir."
                )
            return
        sweep_dir.mkdir(parents=True, exist_ok=True)
        write_json(found, sweep_dir / SWEEP)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the table."""
        from r1zero.sweeping.report import write_sweep_report

        sweep_dir = Path(config.hydra.sweep.dir)
        text, page = write_sweep_report(sweep_dir)
        print(f"{text}\n{'report':<10} {page}\n{'table':<10} {sweep_dir / 'sweep.csv'}")


def swept_choices(overrides: Sequence[str]) -> dict[str, int]:
    """The keys that are swept, and how many values each takes; 0 where that is not known (a range to search in)."""
    found: dict[str, int] = {}
    for override in OverridesParser.create().parse_overrides([str(override) for override in overrides]):
        if not override.is_sweep_override():
            continue
        key = override.key_or_group
        discrete = override.is_discrete_sweep()
        found[key] = len(list(override.sweep_string_iterator())) if discrete else 0
    return found
