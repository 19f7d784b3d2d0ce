"""Train a base model to reason: ``python -m r1zero.train [+experiment=NAME] [key=value ...]``.

``run`` is the map of the project: from the composed config to the report in seven calls.
"""

import errno
import importlib.util
import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from r1zero.command_line import quiet
from r1zero.config.compose import explain, register_schema, resolve
from r1zero.config.schema import Config
from r1zero.evaluating.accuracy import HeldOutAccuracy
from r1zero.launching.launch import launch
from r1zero.launching.placement import (
    announce_run_dir,
    announced_run_dir,
    connect_deepspeed,
    forget_accelerate,
    join_process_group_of_one,
    leave_process_group,
    num_ranks,
    placed_from_outside,
    rank,
)
from r1zero.launching.stopping import StopRequestedError
from r1zero.models.cpu import speed_up_cpu
from r1zero.models.load import load_model, load_tokenizer
from r1zero.models.lora import export_merged, lora_config
from r1zero.reporting.report import show
from r1zero.runs.checkpoints import check_checkpoint, last_checkpoint, step_of
from r1zero.runs.directory import add_facts, forget_after, is_finished, load_config, release_run_dir, write_status
from r1zero.runs.layout import ADAPTER, CHECKPOINTS, FINAL, METRICS
from r1zero.runs.resume import open_run
from r1zero.sweeping.jobs import run_job, with_sweep_dir
from r1zero.tasks.build import build_task
from r1zero.training.durable import CheckpointError
from r1zero.training.guard import DivergedError
from r1zero.training.memory import preflight
from r1zero.training.settings import check_enough_prompts, grpo_config
from r1zero.training.trainer import R1ZeroTrainer
from r1zero.watching.tracking import SilentTracker, Tracker
from rewards.code_tests import JudgeUnavailableError

log = logging.getLogger(__name__)


def run(composed: DictConfig) -> float | None:
    """One run: compose, open its directory, and train on every rank. A job of a sweep returns its accuracy."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN:
        return run_job(composed)
    try:
        config = resolve(composed)
        config, run_dir = open_run(config, Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task))
    except ValueError as error:
        sys.exit(f"error: {error}")
    if placed_from_outside():
        announce_run_dir(run_dir)
    starts_ranks = not placed_from_outside() and (num_ranks(config) > 1 or config.launch.isolate)
    exit_code = launch(config, run_dir) if starts_ranks else train(config, run_dir)
    if exit_code:
        sys.exit(exit_code)
    return None


def train(config: Config, run_dir: Path) -> int:
    """What each rank does, from config to report; its exit code. Goes on from the last checkpoint if there is one."""
    if is_finished(run_dir):
        log.info("%s has finished: nothing to resume.", run_dir)
        return 0
    checkpoint = last_checkpoint(run_dir / CHECKPOINTS)
    last_step = step_of(checkpoint) if checkpoint else -1
    try:
        check_checkpoint(checkpoint, config)
        check_extras(config)
        preflight(config)  # before DeepSpeed's config is known: under ZeRO-3 every model that is built is sharded
        if config.deepspeed:
            join_process_group_of_one()
        args = grpo_config(config, run_dir)
        if config.deepspeed:
            connect_deepspeed()
        tokenizer = load_tokenizer(config.model)
        task = build_task(config, tokenizer)
        check_enough_prompts(len(task.train), args)
        model = load_model(config.model)
        cpu_kernels = speed_up_cpu(model, config.model)
    except ValueError as error:
        if rank() == 0:
            release_run_dir(run_dir)
        sys.exit(f"error: {error}" if rank() == 0 else f"error: rank {rank()}: {error}")
    num_steps = args.max_steps if args.max_steps > 0 else None
    tracker: Tracker = SilentTracker()
    if rank() == 0:
        forget_after(run_dir, last_step)
        add_facts(run_dir, {"cpu_kernels": cpu_kernels})
        resumed = (run_dir / METRICS).exists()
        tracker = Tracker(config, run_dir, num_steps, last_step if resumed else None)
    held_out = HeldOutAccuracy(task, config.eval, config.seed)
    trainer = R1ZeroTrainer(config, args, task, held_out, model, tokenizer, run_dir, tracker)
    try:
        stopped_by = fit(trainer, checkpoint)
    except (JudgeUnavailableError, CheckpointError, DivergedError) as error:
        sys.exit(f"error: stopped after step {trainer.state.global_step}: {error} {how_to_go_on(run_dir)}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        sys.exit(f"error: {error.filename or run_dir}: {error.strerror}. {how_to_go_on(run_dir)}")
    finally:
        tracker.finish()
    leave_process_group()
    if rank() == 0:
        write_status(run_dir, "stopped" if stopped_by else "finished", trainer.state.global_step)
        show(run_dir)
    trainer.stop_signal.release()
    return 128 + stopped_by if stopped_by else 0


def fit(trainer: R1ZeroTrainer, checkpoint: Path | None) -> int:
    """Train, evaluate at the end, save to ``checkpoints/final``; the signal that ended it early, or 0."""
    trainer.stop_signal.catch()
    stopped_by = 0
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        stopped_by = trainer.stopped_by
        if not stopped_by and trainer.last_evaluated != trainer.state.global_step:
            trainer.evaluate()
    except StopRequestedError:
        stopped_by = trainer.stop_signal.number
        trainer.save_last_step()
    except (CheckpointError, DivergedError):
        raise
    except Exception:  # whatever it was, the steps before it are kept
        trainer.save_last_step()
        raise
    if stopped_by:
        name = "Interrupted" if stopped_by == signal.SIGINT else "Terminated"
        trainer.tracker.note(f"{name} after step {trainer.state.global_step}: saving and reporting.")
    lora = trainer.config.peft.method == "lora"
    trainer.save_final(ADAPTER if lora else FINAL)
    if lora and trainer.accelerator.is_main_process:
        export_merged(trainer.config, trainer.run_dir / CHECKPOINTS, trainer.state.global_step)
    return stopped_by


def check_extras(config: Config) -> None:
    """Optional packages that the run needs are installed.

    Raises:
        ValueError: One is not.
    """
    if config.rollout.backend == "vllm" and importlib.util.find_spec("vllm") is None:
        raise ValueError("rollout = vllm: the package vllm is not installed. pip install '.[vllm]', or rollout=native.")
    lora_config(config)


def how_to_go_on(run_dir: Path) -> str:
    """A sentence that names the last good checkpoint and the command that takes it up."""
    checkpoint = last_checkpoint(run_dir / CHECKPOINTS)
    if checkpoint is None:
        return f"There is no checkpoint yet: resume={run_dir} begins again."
    return f"The last good checkpoint is {checkpoint}: resume={run_dir} goes on from it."


def main() -> None:
    """The command line. Errors in the config end in one message, not in a trace."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that one place words the message
    quiet()
    sys.argv = [argument for argument in sys.argv if not argument.startswith("--local_rank")]  # of `deepspeed`
    forget_accelerate(os.environ)
    if placed_from_outside() and rank() > 0:
        run_dir = announced_run_dir()
        sys.exit(train(load_config(run_dir), run_dir))
    sys.argv = with_sweep_dir(sys.argv)
    register_schema()
    try:
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name="train")(run)()
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {explain(error)}")
    except OSError as error:
        if any(
            frame.name == "run" and frame.filename == __file__ for frame in traceback.extract_tb(error.__traceback__)
        ):
            raise
        sys.exit(
            f"error: hydra.run.dir: cannot make {error.filename} ({error.strerror}). Set a writable hydra.run.dir."
        )


if __name__ == "__main__":
    main()
