"""LoRA by peft: the adapter's config, and its export merged into the base model. An optional extra (``.[lora]``)."""

import importlib.util
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import is_peft_model
from transformers import AutoTokenizer, PreTrainedModel
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from r1zero.config.schema import Config
from r1zero.models.load import adapter_base, find, load_model, with_adapter
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


def new_adapter(config: Config, model: PreTrainedModel) -> Any:
    """The config of the adapter that TRL makes; None without LoRA, and where ``model`` has its own already."""
    return None if is_peft_model(model) else lora_config(config)


def load_policy(config: Config) -> PreTrainedModel:
    """The model to train. With LoRA, an adapter in ``model.path`` goes on; its start is then the reference."""
    adapter = find(config.model)
    base = adapter_base(adapter)
    if base is None or config.peft.method != "lora":
        return load_model(config.model)
    log.info("%s: its adapter goes on, with its own rank and modules.", adapter)
    return with_adapter(load_model(replace(config.model, path=base)), adapter, is_trainable=True)


def export_merged(config: Config, checkpoints: Path, step: int) -> None:
    """From ``checkpoints/adapter`` to ``checkpoints/final``: the base model with the adapter in its weights."""
    unset_hf_deepspeed_config()  # ZeRO-3 would have all ranks take part in loading the base model
    base = adapter_base(find(config.model)) or config.model.path
    model = load_model(replace(config.model, path=base))
    merged = with_adapter(model, str(checkpoints / ADAPTER), is_trainable=False).merge_and_unload()
    partial = checkpoints / PARTIAL / FINAL
    merged.save_pretrained(partial)
    AutoTokenizer.from_pretrained(checkpoints / ADAPTER).save_pretrained(partial)
    seal(partial, checkpoints / FINAL, {"step": step})
    clear_partial(checkpoints)
