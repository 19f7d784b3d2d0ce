"""Sweeps: the jobs of a Hydra multirun, each a run in processes of its own that continues where it was.

What a job has done is read from its run directory and nowhere else, so a sweep that was killed goes on with the same
command: finished jobs are skipped, others resumed. It works under any of Hydra's launchers. What the jobs found is
``r1zero.sweeping.report``'s business.
"""

import hashlib
import logging
import math
import re
import shlex
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r1zero.config.compose import resolve
from r1zero.config.schema import Config
from r1zero.launching.launch import INTERRUPTED, TERMINATED, launch
from r1zero.launching.placement import num_ranks, placed_from_outside
from r1zero.runs.directory import holds_run, is_finished
from r1zero.runs.files import locked, read_json, write_json
from r1zero.runs.reading import load_run
from r1zero.runs.resume import open_run
from r1zero.sweeping.devices import devices, ranks_of_a_job
from r1zero.sweeping.layout import JOB, LOCK, LOG, SWEEP, TABLE
from r1zero.sweeping.progress import progress
from r1zero.sweeping.report import write_sweep_report
from r1zero.sweeping.results import load_sweep, objective

log = logging.getLogger(__name__)

MAX_ERROR_CHARS = 400


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
        sweep_dir = Path(config.hydra.sweep.dir)
        text, page = write_sweep_report(sweep_dir)
        print(f"{text}\n{'report':<10} {page}\n{'table':<10} {sweep_dir / TABLE}")


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


def run_job(composed: DictConfig) -> float:
    """Run one job of a sweep to its end, or note why it has none; its held-out accuracy, -inf without one.

    A job that fails does not end the sweep; Ctrl-C and SIGTERM do.
    """
    hydra_config = HydraConfig.get()
    sweep_dir, job_dir = Path(hydra_config.sweep.dir), Path(hydra_config.runtime.output_dir)
    if placed_from_outside():
        sys.exit("error: a sweep starts the processes of its jobs itself. Leave torchrun and the like out.")
    overrides = list(hydra_config.overrides.task)
    job_dir.mkdir(parents=True, exist_ok=True)
    with locked(job_dir / LOCK) as free:
        if not free:
            log.warning("Job %d is being run by another process: left to it.", hydra_config.job.num)
            return -math.inf
        job = job_record(sweep_dir, job_dir, hydra_config.job.num, overrides)
        if not is_finished(job_dir):
            train_job(composed, sweep_dir, job_dir, job, overrides)
        elif (settings := read_json(job_dir / JOB)["settings"]) != job["settings"]:
            # A search that is given again, and proposes something else than it did.
            log.error("Job %s finished with %s, not %s: its result is left out.", job["num"], settings, job["settings"])
            return -math.inf
    write_sweep_report(sweep_dir)
    sweep = load_sweep(sweep_dir)
    log.info("%s", sweep.progress_line(job["num"]))
    return objective(load_run(job_dir)) if is_finished(job_dir) else -math.inf


def train_job(composed: DictConfig, sweep_dir: Path, job_dir: Path, job: dict[str, Any], overrides: list[str]) -> None:
    """Train the job that ``composed`` describes and note in its directory how that went."""
    write_json(job | {"status": "running"}, job_dir / JOB)
    parallel = int(HydraConfig.get().launcher.get("n_jobs", 1))
    try:
        composed.launch.num_processes = ranks_of_a_job(composed.launch.num_processes, parallel)
        config, _ = open_run(in_sweep(resolve(composed), sweep_dir, job_dir, job), job_dir, overrides)
    except (ValueError, OmegaConfBaseException) as error:
        write_json(job | {"status": "failed", "error": str(error)[:MAX_ERROR_CHARS]}, job_dir / JOB)
        return
    output = job_dir / LOG
    log_start = output.stat().st_size if output.is_file() else 0
    with devices(num_ranks(config), parallel) as placed, progress(config, job_dir):
        wandb = {"WANDB_RUN_ID": job["wandb_id"], "WANDB_RESUME": "allow"}
        exit_code = launch(config, job_dir, output, placed | wandb)
    if exit_code in (INTERRUPTED, TERMINATED):
        write_json(job | {"status": "interrupted"}, job_dir / JOB)
        sys.exit(exit_code)
    ended: dict[str, Any] = {"status": "finished"}
    if exit_code or not is_finished(job_dir):
        ended = {"status": "failed", "error": reason(output, log_start, exit_code)}
    write_json(job | ended, job_dir / JOB)


def job_record(sweep_dir: Path, job_dir: Path, num: int, overrides: Sequence[str]) -> dict[str, Any]:
    """What a job is: its number, its values of the swept keys, and the W&B run that it is, also when it goes on."""
    swept = read_json(sweep_dir / SWEEP)["swept"]
    values = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    before = read_json(job_dir / JOB) if (job_dir / JOB).is_file() and holds_run(job_dir) else {}
    return {
        "num": num,
        "settings": {key: values[key] for key in swept if key in values},
        "wandb_id": before.get("wandb_id") or uuid.uuid4().hex[:8],
    }


def in_sweep(config: Config, sweep_dir: Path, job_dir: Path, job: dict[str, Any]) -> Config:
    """The job's config: named by what is swept, grouped by sweep, and continuing what is in ``job_dir``."""
    config.run_name = ",".join(f"{key}={value}" for key, value in job["settings"].items()) or config.run_name
    config.tracker.group = config.tracker.group or sweep_dir.resolve().name
    config.resume = str(job_dir) if holds_run(job_dir) else None
    return config


def reason(log_file: Path, start: int, exit_code: int) -> str:
    """Why a job failed: the last error in what it printed since byte ``start``, shortened."""
    text = log_file.read_bytes()[start:].decode(errors="replace") if log_file.is_file() else ""
    errors = re.findall(r"^(?:error: .*|\w*(?:Error|Exception|Interrupt)\b.*)$", text, re.MULTILINE)
    if exit_code == 128 + signal.SIGKILL:
        errors.append("killed by SIGKILL, as the kernel does when memory runs out")
    found = errors[-1] if errors else (text.strip().splitlines() or ["no message"])[-1]
    out_of_memory = "out of memory: " if re.search(r"OutOfMemoryError|out of memory|MemoryError", text) else ""
    return f"exit code {exit_code}: {out_of_memory}{found.removeprefix('error: ')}"[:MAX_ERROR_CHARS]
