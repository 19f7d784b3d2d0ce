"""Will it fit? The estimate as a table, the verdict, and settings that would make a run fit that does not."""

import copy
import logging
from collections.abc import Callable
from dataclasses import replace

from r1zero.config.schema import Config
from r1zero.config.trainer_keys import trainer_value
from r1zero.launching.placement import num_ranks
from r1zero.training.memory import GB, capacity, estimate, peak, rollout
from r1zero.training.model_shape import Shape, UnknownShapeError, model_shape

log = logging.getLogger(__name__)

# A setting, and what it does to a config: False where it can do no more.
Change = tuple[str, Callable[[Config], bool]]


def half_batch(config: Config) -> bool:
    """Half the micro-batch, twice the accumulation; False where it cannot be halved."""
    size = trainer_value(config.trainer, "per_device_train_batch_size")
    if size % 2:
        return False
    config.trainer["per_device_train_batch_size"] = size // 2
    config.trainer["gradient_accumulation_steps"] = 2 * trainer_value(config.trainer, "gradient_accumulation_steps")
    return True


def checkpointing(config: Config) -> bool:
    """Recompute activations."""
    before = trainer_value(config.trainer, "activation_checkpointing")
    config.trainer["activation_checkpointing"] = True
    return not before


def fewer_rows(config: Config) -> bool:
    """Half the rows in flight."""
    config.rollout.max_rows //= 2
    return config.rollout.max_rows >= 8


def zero(stage: int, offload: bool) -> Callable[[Config], bool]:
    """A higher stage than now."""

    def change(config: Config) -> bool:
        now = config.deepspeed.get("zero_optimization", {})
        if (now.get("stage", 0), "offload_optimizer" in now) >= (stage, offload):
            return False
        config.deepspeed = {"zero_optimization": {"stage": stage} | ({"offload_optimizer": {}} if offload else {})}
        if offload and stage == 3:
            config.deepspeed["zero_optimization"]["offload_param"] = {}
        return True

    return change


CHANGES: list[Change] = [
    ("trainer.activation_checkpointing=true", checkpointing),
    ("trainer.per_device_train_batch_size={batch} trainer.gradient_accumulation_steps={steps}", half_batch),
    ("rollout.max_rows={rows}", fewer_rows),
    ("deepspeed=zero2", zero(2, False)),
    ("deepspeed=zero3", zero(3, False)),
    ("deepspeed=zero2_offload", zero(2, True)),
    ("deepspeed=zero3_offload", zero(3, True)),
]


def remedies(config: Config, shape: Shape, ranks: int, limit: float) -> list[str]:
    """Settings that make it fit: each that does so alone, else the first of them together, else none."""

    def words(text: str, changed: Config) -> str:
        return text.format(
            batch=trainer_value(changed.trainer, "per_device_train_batch_size"),
            steps=trainer_value(changed.trainer, "gradient_accumulation_steps"),
            rows=changed.rollout.max_rows,
        )

    alone, together, used = [], copy.deepcopy(config), {}
    for text, change in CHANGES:
        one = copy.deepcopy(config)
        while change(one):
            if peak(one, shape, ranks) <= limit:
                alone.append(words(text, one))
                break
        if peak(together, shape, ranks) > limit:
            while change(together):
                used[text.split("=")[0]] = text  # of several stages only the last is set
                if peak(together, shape, ranks) <= limit:
                    break
    if alone:
        return alone
    if peak(together, shape, ranks) <= limit:
        return [" ".join(words(text, together) for text in used.values())]
    return []


def table(config: Config, shape: Shape, ranks: int) -> str:
    """The estimate as text."""
    stage = config.deepspeed.get("zero_optimization", {}).get("stage", 0)
    lines = [
        f"{config.model.name}: {shape.parameters / 1e9:.2f} B parameters, {ranks} rank(s), ZeRO stage {stage}, "
        f"GB (1e9 bytes) on each rank"
    ]
    training, sampling = estimate(config, shape, ranks), rollout(config, shape, ranks)
    lines += [f"  {part:<18}{size / GB:>9.2f}" for part, size in (training | sampling).items() if size]
    return "\n".join([*lines, f"  {'peak':<18}{peak(config, shape, ranks) / GB:>9.2f}"])


def check_memory(config: Config) -> str:
    """The table, and whether the run fits.

    Raises:
        ValueError: It cannot fit and ``memory.check`` is ``refuse``; names the settings that would make it fit.
    """
    shape, ranks = model_shape(config), num_ranks(config)
    text, limit = table(config, shape, ranks), capacity(config, ranks)
    if limit is None:
        return f"{text}\n  No GPU is visible: memory.device_gb=80 compares this with one of 80 GB."
    if peak(config, shape, ranks) <= limit:
        return f"{text}\n  {'of':<18}{limit / GB:>9.2f}  fits"
    found = remedies(config, shape, ranks, limit)
    advice = f"Would fit: {', or '.join(found)}." if found else "Nothing short of more ranks or a smaller model helps."
    message = (
        f"the run needs {peak(config, shape, ranks) / GB:.1f} GB on each rank and has {limit / GB:.1f} GB. {advice}"
    )
    if config.memory.check == "refuse":
        raise ValueError(f"{message} (memory.check=warn goes on all the same.)\n{text}")
    return f"{text}\n  warning: {message}"


def preflight(config: Config, prompt_tokens: int) -> None:
    """Log the table of a run that is about to start, as ``memory.check`` says; its longest prompt is known.

    Raises:
        ValueError: The run cannot fit.
    """
    if config.memory.check == "off":
        return
    memory = replace(config.memory, prompt_tokens=config.memory.prompt_tokens or prompt_tokens)
    config = replace(config, memory=memory)
    try:
        log.info("Memory: %s", check_memory(config))
    except UnknownShapeError as error:
        log.warning("Memory is not checked: %s", error)
