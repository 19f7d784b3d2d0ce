"""Sweeps: the jobs of a Hydra multirun, each a run in processes of its own that continues where it was.

What a job has done is read from its run directory and nowhere else, so a sweep that was killed goes on with the same
command: finished jobs are skipped, others resumed. It works under any of Hydra's launchers. What the jobs found is
``r1zero.sweeping.report``'s business.
"""

import logging
import math
import re
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from r1zero.config.checks import check_ranks
from r1zero.config.compose import resolve
from r1zero.config.schema import Config
from r1zero.launching.launch import INTERRUPTED, TERMINATED, launch
from r1zero.launching.placement import num_gpus, num_ranks, placed_from_outside
from r1zero.runs.directory import holds_run, is_finished
from r1zero.runs.files import locked, read_json, write_json
from r1zero.runs.reading import load_run
from r1zero.runs.resume import open_run
from r1zero.sweeping.devices import devices, ranks_of_a_job
from r1zero.sweeping.layout import JOB, LOCK, LOG, SWEEP
from r1zero.sweeping.progress import progress
from r1zero.sweeping.report import write_sweep_report
from r1zero.sweeping.results import load_sweep, objective

log = logging.getLogger(__name__)

MAX_ERROR_CHARS = 400


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
        config = resolve(composed)
        check_ranks(config, num_ranks(config), num_gpus())
        config, _ = open_run(in_sweep(config, sweep_dir, job_dir, job), job_dir, overrides)
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
