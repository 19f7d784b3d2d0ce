"""The trained model of a run, adapters merged, and how it is to be sampled from."""

from dataclasses import replace
from pathlib import Path

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import Config, ModelConfig
from r1zero.models.load import load_model, load_tokenizer
from r1zero.rollout.engine import end_tokens
from r1zero.rollout.sampling import training_sampling
from r1zero.runs.layout import CHECKPOINTS, FINAL

MODEL, ADAPTER_MODEL = "config.json", "adapter_config.json"  # what tells a whole model from a LoRA adapter


def find_checkpoint(run_dir: Path, name: str | None) -> Path:
    """The folder of the checkpoint ``name`` (``final`` or a step); without a name ``final``, else the highest step.

    Raises:
        ValueError: There is none; says which there are.
    """
    folder = run_dir / CHECKPOINTS
    found = {path.name.removeprefix("checkpoint-"): path for path in folder.glob("checkpoint-*") if is_model(path)}
    steps = sorted((step for step in found if step.isdigit()), key=int)
    if is_model(folder / FINAL):
        found[FINAL] = folder / FINAL
    newest = FINAL if FINAL in found or not steps else steps[-1]
    if (name or newest) not in found:
        known = ", ".join([*steps, *([FINAL] if FINAL in found else [])]) or "none yet"
        raise ValueError(f"checkpoint = {name or newest}: no model in {folder}. This run has {known}.")
    return found[name or newest]


def is_model(folder: Path) -> bool:
    """Whether a whole model or an adapter is in ``folder``."""
    return any((folder / name).is_file() for name in (MODEL, ADAPTER_MODEL))


def load_trained(config: Config, checkpoint: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in ``checkpoint`` in float32, an adapter merged into the base model of ``config``, and its tokenizer.

    Its generation config is how the run sampled.

    Raises:
        ValueError: It cannot be loaded; says what to set.
    """
    base = replace(config.model, dtype="float32")
    trained = replace(base, path=str(checkpoint), gguf_package=None)
    tokenizer = load_tokenizer(trained)
    model = load_model(trained) if (checkpoint / MODEL).is_file() else merged(base, checkpoint)
    sampling = training_sampling(config.trainer)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        max_new_tokens=sampling.max_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=end_tokens(model, tokenizer),
        pad_token_id=tokenizer.pad_token_id,
    )
    return model.eval(), tokenizer


def merged(base: ModelConfig, adapter: Path) -> PreTrainedModel:
    """The model ``base`` with the LoRA weights in ``adapter`` added to its own."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ValueError(f"{adapter} holds an adapter, and peft is not installed: pip install peft.") from error
    return PeftModel.from_pretrained(load_model(base), adapter).merge_and_unload()
