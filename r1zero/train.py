"""Train a base model to reason: ``python -m r1zero.train [+experiment=NAME] [key=value ...]``.

``run`` is the map of the project: from the composed config to the report in seven calls.
"""

import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

import hydra
import torch
import transformers
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from r1zero.config import explain, register_schema, resolve
from r1zero.launch import INTERRUPTED, launch
from r1zero.models import load_model, load_tokenizer
from r1zero.placement import (
    announce_run_dir,
    announced_run_dir,
    join_process_group_of_one,
    num_ranks,
    placed_from_outside,
    rank,
)
from r1zero.report import before_after_table, write_report
from r1zero.run_dir import claim_run_dir, load_config, release_run_dir
from r1zero.schema import Config
from r1zero.tasks.build import build_task
from r1zero.tracking import SilentTracker, Tracker
from r1zero.trainer import R1ZeroTrainer, grpo_config
from rewards.code_tests import JudgeUnavailableError


def run(composed: DictConfig) -> None:
    """One run: compose, claim a directory, and train on every rank."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    try:
        config = resolve(composed)
        claim_run_dir(run_dir, config)
    except ValueError as error:
        sys.exit(f"error: {error}")
    if placed_from_outside():
        announce_run_dir(run_dir)
    starts_ranks = not placed_from_outside() and (num_ranks(config) > 1 or config.launch.isolate)
    exit_code = launch(config, run_dir) if starts_ranks else train(config, run_dir)
    if exit_code:
        sys.exit(exit_code)


def train(config: Config, run_dir: Path) -> int:
    """What each rank does, from config to report; its exit code."""
    try:
        if config.deepspeed:
            join_process_group_of_one()
        args = grpo_config(config, run_dir)
        tokenizer = load_tokenizer(config.model)
        task = build_task(config, tokenizer)
        model = load_model(config.model)
    except ValueError as error:
        if rank() == 0:
            release_run_dir(run_dir)
        sys.exit(f"error: {error}" if rank() == 0 else f"error: rank {rank()}: {error}")
    num_steps = args.max_steps if args.max_steps > 0 else None
    tracker = Tracker(config, run_dir, num_steps) if rank() == 0 else SilentTracker()
    trainer = R1ZeroTrainer(config, args, task, model, tokenizer, run_dir, tracker)
    try:
        interrupted = fit(trainer)
    except JudgeUnavailableError as error:
        trainer.save_model(str(run_dir / "checkpoints" / "final"))
        sys.exit(f"error: stopped after step {trainer.state.global_step}: {error}")
    finally:
        tracker.finish()
    if rank() == 0:
        show(run_dir)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return INTERRUPTED if interrupted else 0


def fit(trainer: R1ZeroTrainer) -> bool:
    """Train, evaluate at the end, save to ``checkpoints/final``; True when Ctrl-C ended it early."""
    interrupted = False
    try:
        trainer.train()
        if trainer.last_evaluated != trainer.state.global_step:
            trainer.evaluate()
    except KeyboardInterrupt:
        interrupted = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # saving and reporting are short; a Ctrl-C must not tear them
    if interrupted:
        trainer.tracker.note(f"Interrupted after step {trainer.state.global_step}: saving and reporting.")
    trainer.save_model(str(trainer.run_dir / "checkpoints" / "final"))
    return interrupted


def show(run_dir: Path) -> None:
    """Write the report; print the before/after table and where everything is."""
    report = write_report(run_dir)
    print(before_after_table(run_dir))
    for label, path in (
        ("report", report),
        ("curve", run_dir / "curve.png"),
        ("checkpoint", run_dir / "checkpoints" / "final"),
        ("metrics", run_dir / "metrics.jsonl"),
    ):
        print(f"{label:<10} {path}")


def quiet() -> None:
    """Keep the terminal for the progress bar: notices that a user of this command can do nothing about are left out."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # we rely on rollout_func, and pin TRL's major version
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl")
    transformers.utils.logging.disable_progress_bar()
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found none


def main() -> None:
    """The command line. Errors in the config end in one message, not in a trace."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that one place words the message
    quiet()
    sys.argv = [argument for argument in sys.argv if not argument.startswith("--local_rank")]  # of `deepspeed`
    if placed_from_outside() and rank() > 0:
        run_dir = announced_run_dir()
        sys.exit(train(load_config(run_dir), run_dir))
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
