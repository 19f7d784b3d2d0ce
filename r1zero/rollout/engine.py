"""Completions from a model outside training: the same loops, stop strings and token ids as the trainer's rollouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import Config
from r1zero.models.cpu import speed_up_cpu
from r1zero.models.load import load_model, load_tokenizer
from r1zero.models.tokens import encode
from r1zero.rollout.decode import decode
from r1zero.rollout.sampling import Completion, Sampling
from r1zero.rollout.stop_strings import StopStrings
from r1zero.training.trainer import choose_loop

OnFinish = Callable[[int, Completion, str], None]


@dataclass
class ModelSampler:
    """Draws completions from one model.

    Attributes:
        model, tokenizer: What samples; the model is put into evaluation mode.
        backend: As in ``rollout.backend``.
        max_rows: Most completions decoded at once.
        stop_strings: Strings that end a completion.
        bf16: Compute in bfloat16, as training with ``trainer.bf16`` does.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    backend: str = "native"
    max_rows: int = 512
    stop_strings: list[str] = field(default_factory=list)
    bf16: bool = False

    def __post_init__(self) -> None:
        self.model.eval()
        self.loop = choose_loop(self.backend, self.model)
        if self.stop_strings and self.loop is not decode:
            raise ValueError(
                f"trainer.generation_kwargs.stop_strings: {type(self.model).__name__} has no loop for them."
            )
        self.stop = StopStrings(self.stop_strings, self.tokenizer) if self.stop_strings else None
        self.eos_ids = end_tokens(self.model, self.tokenizer)

    def __call__(
        self,
        prompts: Sequence[str],
        keys: Sequence[str],
        sampling: Sampling,
        on_finish: OnFinish = lambda row, completion, text: None,
    ) -> list[tuple[Completion, str]]:
        """A completion and its text for each prompt; ``on_finish`` gets each as soon as it is known."""
        texts: dict[int, str] = {}

        def finished(row: int, completion: Completion) -> None:
            texts[row] = str(self.tokenizer.decode(completion.ids, skip_special_tokens=True))
            on_finish(row, completion, texts[row])

        ids = [encode(prompt, self.tokenizer) for prompt in prompts]
        common = (self.model, ids, keys, sampling, self.eos_ids, self.tokenizer.pad_token_id)
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16):
            if self.loop is decode:
                completions = decode(*common, max_rows=self.max_rows, stop=self.stop, on_finish=finished)
            else:
                completions = self.loop(*common, max_rows=self.max_rows)
                for row, completion in enumerate(completions):
                    finished(row, completion)
        return [(completion, texts[row]) for row, completion in enumerate(completions)]


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a completion: the tokenizer's first, then the model's; as TRL collects them."""
    known = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = [known] if isinstance(known, int) else list(known or [])
    return ids if tokenizer.eos_token_id in ids else [tokenizer.eos_token_id, *ids]


def load_sampler(config: Config) -> ModelSampler:
    """The model of ``config`` on the accelerator, if there is one, sampling as a run with this config does.

    Raises:
        ValueError: The model cannot be loaded, or stop strings do not work with it.
    """
    tokenizer, model = load_tokenizer(config.model), load_model(config.model)
    speed_up_cpu(model)
    if torch.cuda.is_available():
        model.to(torch.device("cuda"))  # type: ignore[arg-type]
    kwargs = config.trainer.get("generation_kwargs") or {}
    return ModelSampler(
        model,
        tokenizer,
        backend=config.rollout.backend,
        max_rows=config.rollout.max_rows,
        stop_strings=list(kwargs.get("stop_strings", [])),
        bf16=config.trainer.get("bf16", not config.trainer.get("fp16")),  # TRL's default is true
    )
