"""What the commands have in common"""

import os
import warnings

import torch
import transformers


def quiet() -> None:
    """Keep the terminal for the progress bar: notices that a user of this command can do nothing about are left out."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # we rely on rollout_func, and pin TRL's major version
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|torch.distributed")
    transformers.utils.logging.disable_progress_bar()
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it found none
