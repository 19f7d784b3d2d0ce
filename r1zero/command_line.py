"""What the commands have in common: errors of one line, Hydra's command line, and libraries that keep quiet"""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from r1zero.config.compose import explain, register_schema
from r1zero.config.shorthand import expand

# Hydra's flags, and their short forms.
FLAGS = (
    *("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "--info"),
    *("--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun"),
    *("-h", "-c", "-p", "-r", "-m", "-i", "-sc", "-cp", "-cn", "-cd"),
)


@contextmanager
def hydra_errors_in_one_line() -> Iterator[None]:
    """While it lasts, what Hydra refuses ends the command in one line, with exit code 1."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {explain(error)}")


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """While it lasts, so does every ValueError: for input that a user gave, not for work that may have bugs."""
    try:
        with hydra_errors_in_one_line():
            yield
    except ValueError as error:
        sys.exit(f"error: {error}")


def run_with_hydra(run: Callable[[DictConfig], Any]) -> None:
    """Compose ``conf/`` with the command line and call ``run`` on it; also answers ``--help`` and ``--cfg job``."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that one place words the message
    register_schema()
    try:
        with errors_in_one_line():
            check_dashes(sys.argv[1:])
            sys.argv[1:] = expand(sys.argv[1:])
        with hydra_errors_in_one_line():
            hydra.main(version_base="1.3", config_path="pkg://conf", config_name="train")(run)()
    except OSError as error:
        if any(frame.f_code is run.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            raise
        sys.exit(
            f"error: hydra.run.dir: cannot make {error.filename} ({error.strerror}). Set a writable hydra.run.dir."
        )


def check_dashes(arguments: Sequence[str]) -> None:
    """Only Hydra's own flags begin with a dash.

    Raises:
        ValueError: Another one does.
    """
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("-") and not any(flag.startswith(name) for flag in FLAGS):
            raise ValueError(
                f"{argument}: no such flag. Values are set without dashes, such as seed=1; `--cfg job` prints all keys."
            )


def quiet() -> None:
    """Keep the terminal for the progress bar: notices that a user of this command can do nothing about are left out.

    It loads torch and transformers, which takes seconds: call it when arguments and config have been checked, before
    what imports trl.
    """
    import torch
    import transformers

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # we rely on rollout_func, and pin TRL's major version
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|torch.distributed")
    transformers.utils.logging.disable_progress_bar()
    # It tells that a resumed run saves or evaluates at other steps, which the command asked for and the run notes.
    logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.WARNING)  # else a dozen lines into the bar
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found none
