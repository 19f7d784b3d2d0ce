"""The sizes of a model that its memory depends on, known without loading it"""

from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from r1zero.config.schema import Config
from r1zero.models.load import adapter_base, find
from r1zero.models.lora import lora_config


class UnknownShapeError(ValueError):
    """The model's size cannot be told without loading it."""


@dataclass(frozen=True)
class Shape:
    """What the estimate needs of a model.

    Attributes:
        parameters, trained: All of them, and those that the optimizer moves.
        largest_layer: Parameters of the largest module that ZeRO-3 gathers as one.
        layers, hidden, intermediate, kv_width, vocab: As in the model's config; ``kv_width`` is key heads x head size.
    """

    parameters: int
    trained: int
    largest_layer: int
    layers: int
    hidden: int
    intermediate: int
    kv_width: int
    vocab: int


def model_shape(config: Config) -> Shape:
    """The model's shape, from ``model.architecture`` or its ``config.json``.

    Raises:
        UnknownShapeError: Neither is there, or it is no decoder of the usual kind.
    """
    architecture = load_architecture(config)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(architecture)
    except ValueError as error:
        raise UnknownShapeError(
            f"model.path = {config.model.path}: {architecture.model_type} is no causal language model. Set another."
        ) from error
    largest = max(weight.numel() for weight in model.parameters())
    parameters = sum(weight.numel() for weight in model.parameters())
    if not hasattr(architecture, "intermediate_size") or not hasattr(architecture, "num_attention_heads"):
        raise UnknownShapeError(f"{config.model.name}: {architecture.model_type} is no decoder that is known here.")
    heads, hidden = architecture.num_attention_heads, architecture.hidden_size
    kv_heads = getattr(architecture, "num_key_value_heads", None) or heads
    return Shape(
        parameters=parameters,
        trained=trained_parameters(config, model),
        largest_layer=largest,
        layers=architecture.num_hidden_layers,
        hidden=hidden,
        intermediate=architecture.intermediate_size,
        kv_width=kv_heads * (getattr(architecture, "head_dim", None) or hidden // heads),
        vocab=architecture.vocab_size,
    )


def trained_parameters(config: Config, model: torch.nn.Module) -> int:
    """All parameters, or those of the LoRA adapters."""
    adapter = lora_config(config)
    if adapter is not None:
        from peft import get_peft_model

        with torch.device("meta"):
            model = get_peft_model(model, adapter)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def load_architecture(config: Config) -> PretrainedConfig:
    """transformers' config of the model, without its weights."""
    if config.model.architecture:
        return AutoConfig.for_model(**config.model.architecture)
    try:
        where = find(config.model)
        return AutoConfig.from_pretrained(adapter_base(where) or where)
    except (OSError, ValueError) as error:
        raise UnknownShapeError(
            f"model.path = {config.model.path}: its config.json is not on this machine, so its size is not known. Set "
            "model.architecture={model_type:...,hidden_size:...,...} (the keys of config.json), or memory.check=off."
        ) from error
