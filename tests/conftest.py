"""Fixtures: a tiny random model, and trainers around it whose completions a test can fix; see ``toy``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import build_tiny_model, build_trainer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from r1zero.nano.tokenizer import build_tokenizer
from r1zero.training.trainer import R1ZeroTrainer
from sandbox import Sandbox, SandboxUnavailableError

# What a user would have in a folder of their own, a stand-in for an optional package among it: it holds no tests, and
# pytest would put the folder into the path of all others.
collect_ignore = ["tasks/outside"]

torch.set_num_threads(2)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from a second thread, and wait long for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The embedded model's tokenizer."""
    return build_tokenizer()


@pytest.fixture
def tiny_model(tmp_path: Path) -> LlamaForCausalLM:
    """See ``build_tiny_model``."""
    return build_tiny_model(tmp_path / "tiny")


@pytest.fixture
def make_trainer(tmp_path: Path, tiny_model: LlamaForCausalLM) -> Iterator[Callable[..., R1ZeroTrainer]]:
    """Builds trainers that share ``tiny_model``; see ``build_trainer``."""
    made: list[R1ZeroTrainer] = []

    def make(cls: type = R1ZeroTrainer, **trainer: Any) -> R1ZeroTrainer:
        made.append(build_trainer(cls, tiny_model, tmp_path / str(len(made)), **trainer))
        return made[-1]

    yield make
    for trainer in made:
        trainer.tracker.finish()


@pytest.fixture(scope="module")
def best() -> Iterator[Sandbox]:
    """A sandbox at the highest level of this machine, for a file of tests."""
    try:
        made = Sandbox(workers=2, min_level=1)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    yield made
    made.close()
