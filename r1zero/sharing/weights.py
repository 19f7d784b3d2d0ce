"""The trained model of a run, adapters merged, and how it is to be sampled from."""

from dataclasses import replace
from pathlib import Path

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import Config
from r1zero.models.load import load_model, load_tokenizer
from r1zero.rollout.engine import end_tokens
from r1zero.rollout.sampling import training_sampling


def load_trained(config: Config, checkpoint: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in ``checkpoint`` in float32, an adapter merged into the base model of ``config``, and its tokenizer.

    Its generation config is how the run sampled.

    Raises:
        ValueError: It cannot be loaded; says what to set.
    """
    trained = replace(config.model, dtype="float32", path=str(checkpoint), gguf_package=None)
    tokenizer = load_tokenizer(trained)
    model = load_model(trained)  # an adapter is merged
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
