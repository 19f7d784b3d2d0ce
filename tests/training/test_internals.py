"""Private names of other libraries: all there, and as they were when our code was written."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from r1zero.training.internals import INTERNALS, LIBRARIES, Internal, check_hooks
from r1zero.training.trainer import R1ZeroTrainer


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.name)
def test_nothing_that_we_rely_on_has_changed(internal: Internal) -> None:
    library = next(name for name in LIBRARIES if internal.name.startswith(name))
    found = internal.digest()
    assert found in (internal.sources.split() or [""]), (
        f"{internal.name} of {library} {version(library)} is not what it was. We rely on this: {internal.relied_on}. "
        f"Read its source and {internal.test} again; when all holds, add {found!r} in r1zero/training/internals.py."
    )


def test_every_private_method_we_replace_is_recorded() -> None:
    ours = [cls for cls in R1ZeroTrainer.__mro__ if cls.__module__.startswith("r1zero.")]
    replaced = {name for cls in ours for name in vars(cls) if name.startswith("_") and not name.startswith("__")}
    recorded = {internal.name.rpartition(".")[2] for internal in INTERNALS}
    assert replaced <= recorded


def test_a_hook_that_is_gone_stops_the_run_at_its_start(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    """As if TRL had renamed its own: then ours would be a method that nobody calls."""

    class Renamed(R1ZeroTrainer):
        def _score_rewards(self, *args: Any) -> Any:
            return R1ZeroTrainer._calculate_rewards(self, *args)

    Renamed.__module__ = "r1zero.training.trainer"
    check_hooks(R1ZeroTrainer)
    with pytest.raises(RuntimeError, match=r"Renamed\._score_rewards replaces a method that trl .* does not have"):
        check_hooks(Renamed)
    with pytest.raises(RuntimeError, match="Install the versions that pyproject"):
        make_trainer(Renamed)


def test_end_tokens_are_those_that_trl_collects(make_trainer: Callable[..., R1ZeroTrainer]) -> None:
    trainer = make_trainer()
    assert trainer.engine.end_ids == trainer.eos_token_ids
