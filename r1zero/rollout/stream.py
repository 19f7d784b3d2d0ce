"""One completion, token by token, for a person who watches"""

from collections.abc import Iterator

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r1zero.models.tokens import encode
from r1zero.rollout.sampling import Sampling, keyed_uniforms


@torch.no_grad()
def stream(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, sampling: Sampling, key: str
) -> Iterator[str]:
    """The completion so far, after each token, until the end-of-sequence token or ``sampling.max_tokens``."""
    eos = model.generation_config.eos_token_id if model.generation_config is not None else None
    ends = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
    uniforms_1T = keyed_uniforms([key], sampling.max_tokens).to(model.device)
    inputs = torch.tensor([encode(prompt, tokenizer)], device=model.device)
    cache, ids = None, []
    for at in range(sampling.max_tokens):
        out = model(input_ids=inputs, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        log_probs_1V = (out.logits[:, -1].float() / (1.0 if sampling.greedy else sampling.temperature)).log_softmax(-1)
        inputs = sampling.choose(log_probs_1V, log_probs_1V.exp(), uniforms_1T[:, at])[:, None]
        ids.append(int(inputs))
        yield str(tokenizer.decode(ids, skip_special_tokens=True))
        if ids[-1] in ends:
            return
