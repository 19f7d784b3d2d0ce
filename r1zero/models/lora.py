"""LoRA by peft: the adapter's config, and its export merged into the base model. An optional extra (``.[lora]``)."""

import importlib.util
import logging
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from r1zero.config.schema import Config
from r1zero.models.load import load_model
from r1zero.runs.checkpoints import PARTIAL, clear_partial, seal
from r1zero.runs.layout import ADAPTER, FINAL

log = logging.getLogger(__name__)


def lora_config(config: Config) -> Any:
    """``peft.LoraConfig`` of ``config.peft``; None without LoRA.

    Raises:
        ValueError: peft is not installed.
    """
    if config.peft.method == "none":
        return None
    if importlib.util.find_spec("peft") is None:
        raise ValueError("peft = lora: the package peft is not installed. pip install peft, or set peft=none.")
    from peft import LoraConfig

    return LoraConfig(
        r=config.peft.rank,
        lora_alpha=config.peft.alpha,
        lora_dropout=config.peft.dropout,
        target_modules=config.peft.target_modules,
        task_type="CAUSAL_LM",
    )


def export_merged(config: Config, checkpoints: Path, step: int) -> None:
    """From ``checkpoints/adapter`` to ``checkpoints/final``: the base model with the adapter in its weights."""
    from peft import PeftModel

    unset_hf_deepspeed_config()  # ZeRO-3 would have all ranks take part in loading the base model
    merged = PeftModel.from_pretrained(load_model(config.model), checkpoints / ADAPTER).merge_and_unload()
    partial = checkpoints / PARTIAL / FINAL
    merged.save_pretrained(partial)
    AutoTokenizer.from_pretrained(checkpoints / ADAPTER).save_pretrained(partial)
    seal(partial, checkpoints / FINAL, {"step": step})
    clear_partial(checkpoints)
