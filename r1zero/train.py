"""Train a base model to reason: ``python -m r1zero.train [+experiment=NAME] [key=value ...]``.

The map of the project, from config to report: ``run`` opens a run directory and starts the ranks, ``train`` is what
each of them does, ``prepare`` builds task and model, ``fit`` trains, ``show`` reports. What takes seconds to load is
imported where it is needed, so that a wrong config is answered at once.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from r1zero.command_line import errors_in_one_line, quiet, run_with_hydra
from r1zero.config.checks import check_ranks
from r1zero.config.compose import resolve
from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.launching import placement
from r1zero.launching.launch import INTERRUPTED, ORDERLY, RANK_FLAG, die_with_launcher, launch
from r1zero.launching.stopping import StopRequestedError
from r1zero.runs.checkpoints import how_to_go_on, last_checkpoint, resume_command, resumed_trainer, step_of
from r1zero.runs.directory import add_facts, forget_after, is_finished, load_config, release_run_dir, write_status
from r1zero.runs.layout import ADAPTER, CHECKPOINTS, FINAL, METRICS
from r1zero.runs.reshard import LOAD_UNIVERSAL, needs_resharding, reshard
from r1zero.runs.resume import open_run
from r1zero.sweeping.callback import with_sweep_dir

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import GRPOConfig

    from r1zero.tasks.task import Task
    from r1zero.training.trainer import R1ZeroTrainer

log = logging.getLogger(__name__)

MAX_TOKENS = "trainer.max_completion_length"


def run(composed: DictConfig) -> float | None:
    """One run: check the config, open its directory, and train on every rank. A job of a sweep returns its accuracy."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN:
        from r1zero.sweeping.jobs import run_job

        return run_job(composed)
    with errors_in_one_line():
        config = resolve(composed)
        check_ranks(config, placement.num_ranks(config), placement.num_gpus())
        config, run_dir = open_run(config, Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task))
    if placement.placed_from_outside():
        placement.announce_run_dir(run_dir)
    starts_ranks = not placement.placed_from_outside() and (placement.num_ranks(config) > 1 or config.launch.isolate)
    with interrupts_in_one_line(run_dir):
        exit_code = launch(config, run_dir) if starts_ranks else train(config, run_dir)
    if exit_code > 128 and exit_code not in ORDERLY:  # a rank was killed; one that failed has said how to go on
        log.info("%s", how_to_go_on(run_dir))
    if exit_code:
        sys.exit(exit_code)
    return None


@contextmanager
def interrupts_in_one_line(run_dir: Path) -> Iterator[None]:
    """While it lasts, a Ctrl-C that comes before training catches it ends the process in one line."""
    try:
        yield
    except KeyboardInterrupt:
        if placement.rank() == 0:
            print(f"Interrupted before training began. {how_to_go_on(run_dir)}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def train(config: Config, run_dir: Path) -> int:
    """What each rank does, from config to report; its exit code. Goes on from the last checkpoint if there is one."""
    if is_finished(run_dir):
        log.info("%s has finished: nothing to resume. trainer.max_steps=N goes on to step N.", run_dir)
        return 0
    quiet()
    from r1zero.evaluating.accuracy import HeldOutAccuracy
    from r1zero.reporting.report import show
    from r1zero.rollout.loop import RolloutError
    from r1zero.tasks.own_judges import JudgeFailedError
    from r1zero.training.durable import CheckpointError
    from r1zero.training.guard import DivergedError
    from r1zero.training.trainer import R1ZeroTrainer
    from r1zero.watching.tracking import SilentTracker, Tracker
    from rewards.code_tests import JudgeUnavailableError

    rank, checkpoint = placement.rank(), last_checkpoint(run_dir / CHECKPOINTS)
    last_step = step_of(checkpoint) if checkpoint else -1
    try:
        num_ranks = placement.num_ranks(config)
        config = replace(config, trainer=resumed_trainer(checkpoint, num_ranks, config.trainer))
        if checkpoint and needs_resharding(checkpoint, num_ranks):
            if rank == 0:  # the others wait for it where they join
                reshard(checkpoint)
            config = replace(config, deepspeed=config.deepspeed | LOAD_UNIVERSAL)
        args, task, model, tokenizer = prepare(config, run_dir)
    except ValueError as error:
        if rank == 0:
            release_run_dir(run_dir)
        sys.exit(f"error: {error}" if rank == 0 else f"error: rank {rank}: {error}")
    tracker: Tracker = SilentTracker()
    if rank == 0:
        forget_after(run_dir, last_step)
        resumed = (run_dir / METRICS).exists()
        num_steps = args.max_steps if args.max_steps > 0 else None
        tracker = Tracker(config, run_dir, num_steps, last_step if resumed else None)
    held_out = HeldOutAccuracy(task, config.eval, config.seed)
    trainer = R1ZeroTrainer(config, args, task, held_out, model, tokenizer, run_dir, tracker)
    try:
        stopped_by = fit(trainer, checkpoint)
    except (JudgeUnavailableError, JudgeFailedError, RolloutError, CheckpointError, DivergedError) as error:
        sys.exit(f"error: stopped after step {trainer.state.global_step}: {error} {how_to_go_on(run_dir)}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        sys.exit(f"error: {error.filename or run_dir}: {error.strerror}. {how_to_go_on(run_dir)}")
    finally:
        tracker.finish()
    placement.leave_process_group()
    if rank == 0:
        write_status(run_dir, "stopped" if stopped_by else "finished", trainer.state.global_step)
        show(run_dir)
        if stopped_by:
            print(f"go on      {resume_command(run_dir)}")
    trainer.stop_signal.release()
    return 128 + stopped_by if stopped_by else 0


def prepare(config: Config, run_dir: Path) -> tuple["GRPOConfig", "Task", "PreTrainedModel", "PreTrainedTokenizerBase"]:
    """What a trainer is made of: TRL's arguments, the task, the model and its tokenizer.

    Raises:
        ValueError: The run cannot work, or a model, data set or package cannot be had; says what to set.
    """
    from r1zero.models.cpu import speed_up_cpu
    from r1zero.models.fit import check_context, check_finite, check_tokenizer_fits, longest_prompt
    from r1zero.models.load import load_tokenizer
    from r1zero.models.lora import load_policy
    from r1zero.rollout.engine import check_loop, choose_loop, stop_strings_of
    from r1zero.tasks.build import build_task
    from r1zero.tasks.prompts import check_prompts
    from r1zero.training.preflight import preflight
    from r1zero.training.settings import check_optimizer, check_packages, enough_rows, grpo_config

    check_packages(config)
    tokenizer = load_tokenizer(config.model)
    task = build_task(config, tokenizer)
    check_prompts(task, config, tokenizer)
    prompt_tokens = longest_prompt((row["prompt"] for row in (*task.train, *task.test)), tokenizer)
    # Before DeepSpeed's config is known: under ZeRO-3 every model that is built is sharded.
    preflight(config, prompt_tokens)
    if config.deepspeed:
        placement.join_process_group_of_one()
    args = grpo_config(config, run_dir)
    if config.deepspeed:
        placement.connect_deepspeed()
    task = replace(task, train=enough_rows(task.train, args))
    model = load_policy(config)
    check_optimizer(args, model)
    check_tokenizer_fits(model, tokenizer, config.model)
    check_finite(model, config.model)
    check_context(model, prompt_tokens, trainer_value(config.trainer, "max_completion_length"), MAX_TOKENS)
    check_context(model, prompt_tokens, config.eval.max_tokens or 0, "eval.max_tokens")
    check_loop(config.rollout.backend, stop_strings_of(config, choose_loop(config.rollout.backend, model)), model)
    cpu_kernels = speed_up_cpu(model, config.model)
    if placement.rank() == 0:
        add_facts(run_dir, {"cpu_kernels": cpu_kernels})
    return args, task, model, tokenizer


def fit(trainer: "R1ZeroTrainer", checkpoint: Path | None) -> int:
    """Train, evaluate at the end, save to ``checkpoints/final``; the signal that ended it early, or 0."""
    from r1zero.models.lora import export_merged
    from r1zero.training.durable import CheckpointError
    from r1zero.training.guard import DivergedError

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
        trainer.tracker.note(how_to_go_on(trainer.run_dir))
        raise
    if stopped_by:
        name = "Interrupted" if stopped_by == signal.SIGINT else "Terminated"
        trainer.tracker.note(f"{name} after step {trainer.state.global_step}: saving and reporting.")
    lora = trainer.config.peft.method == "lora"
    trainer.save_final(ADAPTER if lora else FINAL)
    if lora and trainer.accelerator.is_main_process:
        export_merged(trainer.config, trainer.run_dir / CHECKPOINTS, trainer.state.global_step)
    return stopped_by


def train_as_rank(run_dir: Path) -> int:
    """Train as one rank that ``launch`` has started; its exit code. No config is composed; rank 0 alone logs."""
    die_with_launcher()
    rank = placement.rank()
    logging.basicConfig(
        level=logging.INFO if rank == 0 else logging.ERROR,
        stream=sys.stdout,
        format=f"[%(asctime)s][%(name)s][%(levelname)s]{f'[rank {rank}]' if rank else ''} - %(message)s",
    )
    with interrupts_in_one_line(run_dir):
        return train(load_config(run_dir), run_dir)


def main() -> None:
    """The command line, and what ``launch`` calls. Errors in the config end in one message, not in a trace."""
    sys.argv = [argument for argument in sys.argv if not argument.startswith("--local_rank")]  # of `deepspeed`
    if sys.argv[1:2] == [RANK_FLAG]:
        sys.exit(train_as_rank(Path(sys.argv[2])))
    placement.forget_accelerate(os.environ)
    if placement.placed_from_outside() and placement.rank() > 0:
        run_dir = placement.announced_run_dir()
        sys.exit(train(load_config(run_dir), run_dir))
    sys.argv = with_sweep_dir(sys.argv)
    run_with_hydra(run)


if __name__ == "__main__":
    main()
