"""Pre-train the embedded base model from scratch: ``python -m r1zero.nano.pretrain --out DIR``.

Plain next-token prediction on the text of ``corpus.py``. Writes a normal transformers checkpoint, and beside it
``pretrain.json`` with the settings, the loss and the time it took. A run with the same settings on the same machine
and thread count gives the same weights; the shipped weights were made with the defaults.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from tqdm import trange
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from r1zero.nano.corpus import documents
from r1zero.nano.tokenizer import build_tokenizer


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that determines the weights, besides the code, the library versions and the thread count."""

    seed: int = 0
    steps: int = 3000
    documents_per_step: int = 128
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    worksheet_share: float = 0.3
    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    intermediate_size: int = 512


def build_model(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A randomly initialised Llama-architecture model for ``tokenizer``."""
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        intermediate_size=settings.intermediate_size,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def batches(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> Iterator[torch.Tensor]:
    """Endless (documents, tokens) batches of ids, padded right; documents of like length share a batch."""
    stream = documents(settings.seed, settings.worksheet_share)
    shuffle = torch.Generator().manual_seed(settings.seed)
    pool_batches = 16
    while True:
        texts = [text + tokenizer.eos_token for text in islice(stream, pool_batches * settings.documents_per_step)]
        rows = sorted((torch.tensor(ids) for ids in tokenizer(texts)["input_ids"]), key=len)
        for i in torch.randperm(pool_batches, generator=shuffle).tolist():
            chosen = rows[i * settings.documents_per_step : (i + 1) * settings.documents_per_step]
            yield torch.nn.utils.rnn.pad_sequence(
                chosen, batch_first=True, padding_value=float(tokenizer.pad_token_id)
            ).long()


def learning_rate_at(step: int, settings: PretrainSettings) -> float:
    """Linear warm-up, then cosine to zero."""
    warmup = min(1.0, (step + 1) / settings.warmup_steps)
    return settings.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def pretrain(settings: PretrainSettings, out: Path, save_every: int = 500) -> None:
    """Train and save to ``out``, also every ``save_every`` steps."""
    tokenizer = build_tokenizer()
    model = build_model(settings, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=settings.weight_decay)
    stream = batches(settings, tokenizer)
    started = time.monotonic()
    smoothed = None
    progress = trange(settings.steps, desc="pretrain", unit="step")
    for step in progress:
        input_ids = next(stream)
        labels = input_ids.masked_fill(input_ids == tokenizer.pad_token_id, -100)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=input_ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        optimizer.step()
        smoothed = loss.item() if smoothed is None else 0.99 * smoothed + 0.01 * loss.item()
        progress.set_postfix(loss=f"{smoothed:.4f}")
        if (step + 1) % save_every == 0 or step + 1 == settings.steps:
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)
            record = {
                "settings": asdict(settings),
                "parameters": model.num_parameters(),
                "steps_done": step + 1,
                "loss_nats_per_token": round(smoothed, 4),
                "minutes": round((time.monotonic() - started) / 60, 1),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
            (out / "pretrain.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Parse the command line and run."""
    torch.set_flush_denormal(True)  # subnormal activations cost a quarter of the speed
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--steps", type=int, default=PretrainSettings.steps)
    parser.add_argument("--seed", type=int, default=PretrainSettings.seed)
    arguments = parser.parse_args()
    pretrain(PretrainSettings(steps=arguments.steps, seed=arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
