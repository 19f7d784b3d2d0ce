"""The one way to completions: an ``Engine`` draws them from a model, whichever loop does the work.

Training, held-out evaluation and the commands sample through it, so prompts, end tokens and stop strings mean the same
everywhere. It neither judges nor records: its callers do.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r1zero.config.schema import Config, RolloutConfig
from r1zero.config.templates import TEMPLATES
from r1zero.config.trainer_keys import trainer_value
from r1zero.models.cpu import speed_up_cpu
from r1zero.models.fit import check_tokenizer_fits
from r1zero.models.load import load_model, load_tokenizer
from r1zero.models.tokens import encode
from r1zero.rollout.decode import decode, follow
from r1zero.rollout.kv_cache import has_plain_cache
from r1zero.rollout.library_loops import generate, generate_continuously
from r1zero.rollout.loop import Loop
from r1zero.rollout.sampling import Completion, OnFinish, Sampling
from r1zero.rollout.stop_strings import StopStrings
from r1zero.rollout.vllm_engine import VLLMSettings, check_installed
from r1zero.rollout.vllm_loop import VLLMLoop

log = logging.getLogger(__name__)

OnText = Callable[[int, Completion, str], None]

NATIVE = Loop(decode, scores=True, stops=True, follow=follow)
GENERATE = Loop(generate)
VLLM = Loop(VLLMLoop(VLLMSettings()).sample, scores=True, stops=True)
# The loop of each ``rollout.backend``.
LOOPS = {
    "native": NATIVE,
    "vllm": VLLM,
    "transformers": GENERATE,
    "continuous": Loop(generate_continuously),
}


class Engine:
    """Draws completions from one model.

    Args:
        model, tokenizer: What samples.
        rollout: Which loop, and how many rows it may decode at once.
        stop_strings: Strings that end a completion.
        opened: Gives the model ready to sample: unwrapped, in evaluation mode, under the autocast that training uses.
        vllm: How ``rollout=vllm`` starts its engine, at the first completion.

    Attributes:
        scores: Whether completions come with log-probabilities and entropies.
        stop: The stop strings; None without any.
        end_ids: Tokens that end a completion.

    Raises:
        ValueError: There are stop strings, and the loop that this model needs does not know them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rollout: RolloutConfig,
        stop_strings: Sequence[str],
        opened: Callable[[], AbstractContextManager[PreTrainedModel]],
        vllm: VLLMSettings | None = None,
    ) -> None:
        self.tokenizer, self.max_rows, self.opened = tokenizer, rollout.max_rows, opened
        check_loop(rollout.backend, stop_strings, model)
        self.loop = choose_loop(rollout.backend, model)
        if self.loop is not LOOPS[rollout.backend]:
            log.warning("rollout=%s has no loop for %s: using its own generate.", rollout.backend, type(model).__name__)
        if self.loop is VLLM and vllm is not None:
            self.loop = replace(VLLM, sample=VLLMLoop(vllm).sample)
        self.scores = self.loop.scores
        self.stop = StopStrings(list(stop_strings), tokenizer) if stop_strings else None
        self.end_ids = end_tokens(model, tokenizer)

    def stopping_at(self, stop_strings: Sequence[str]) -> "Engine":
        """This engine with other stop strings: of several tasks that one model is evaluated on, each has its own."""
        other = copy.copy(self)
        other.stop = StopStrings(list(stop_strings), self.tokenizer) if stop_strings else None
        return other

    def sample(
        self, prompts: Sequence[list[int]], keys: Sequence[str], sampling: Sampling, on_finish: OnFinish | None = None
    ) -> list[Completion]:
        """One completion for each row of ``prompts`` (token ids).

        Args:
            prompts: Equal ones next to each other are computed once.
            keys: Names the randomness of each row.
            sampling: How tokens are drawn.
            on_finish: Gets the row and its completion as soon as it is known, while others may still decode.
        """
        pad_id = self.tokenizer.pad_token_id
        with self.opened() as model:
            return self.loop.sample(
                model, prompts, keys, sampling, self.end_ids, pad_id, self.max_rows, self.stop, on_finish
            )

    def sample_texts(
        self, prompts: Sequence[str], keys: Sequence[str], sampling: Sampling, on_finish: OnText | None = None
    ) -> list[tuple[Completion, str]]:
        """A completion and its text for each prompt; ``on_finish`` gets each as soon as it is known."""
        texts: dict[int, str] = {}

        def finished(row: int, completion: Completion) -> None:
            texts[row] = self.text(completion.ids)
            if on_finish is not None:
                on_finish(row, completion, texts[row])

        completions = self.sample([encode(prompt, self.tokenizer) for prompt in prompts], keys, sampling, finished)
        return [(completion, texts[row]) for row, completion in enumerate(completions)]

    def stream(self, prompt: str, key: str, sampling: Sampling) -> Iterator[str]:
        """The text so far of the completion that ``sample_texts`` gives for ``key``, while it grows.

        A loop that knows whole completions alone gives its text once. Several streams may be read in turn.
        """
        if self.loop.follow is None:
            yield from (text for _, text in self.sample_texts([prompt], [key], sampling))
            return
        ids, pad_id = encode(prompt, self.tokenizer), self.tokenizer.pad_token_id
        with self.opened() as model:
            looks = self.loop.follow(model, ids, key, sampling, self.end_ids, pad_id, self.stop)

        def look() -> list[int] | None:
            # Opened for each look anew: else autocast would stay on for whoever reads the texts, other streams too.
            with self.opened():
                return next(looks, None)

        yield from map(self.text, iter(look, None))

    def text(self, ids: list[int]) -> str:
        """The text of a completion's tokens, without special ones."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def choose_loop(backend: str, model: PreTrainedModel) -> Loop:
    """The loop for ``rollout.backend``; the model's own ``generate`` where the native loop cannot run it."""
    return GENERATE if LOOPS[backend] is NATIVE and not has_plain_cache(model) else LOOPS[backend]


def check_loop(backend: str, stop_strings: Sequence[str], model: PreTrainedModel) -> None:
    """The loop that ``model`` needs can do what is asked of it.

    Raises:
        ValueError: There are stop strings, and it does not know them.
    """
    if stop_strings and not choose_loop(backend, model).stops:
        raise ValueError(
            f"trainer.generation_kwargs.stop_strings: {type(model).__name__} has no loop for them. Leave them out."
        )


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a completion: the tokenizer's first, then the model's; as TRL collects them."""
    known = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = [known] if isinstance(known, int) else list(known or [])
    return ids if tokenizer.eos_token_id in ids else [tokenizer.eos_token_id, *ids]


def load_engine(config: Config) -> Engine:
    """The model of ``config`` on the accelerator, if there is one, sampling as a run with this config does.

    Raises:
        ValueError: The model cannot be loaded, stop strings do not work with it, or the loop's package is missing.
    """
    if config.rollout.backend == "vllm":
        check_installed()
    tokenizer, model = load_tokenizer(config.model), load_model(config.model).eval()
    check_tokenizer_fits(model, tokenizer, config.model)
    speed_up_cpu(model, config.model)
    if torch.cuda.is_available():
        model.to(torch.device("cuda"))
    bf16 = trainer_value(config.trainer, "bf16")

    @contextmanager
    def opened() -> Iterator[PreTrainedModel]:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            yield model

    return engine_of(config, model, tokenizer, opened)


def engine_of(
    config: Config,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    opened: Callable[[], AbstractContextManager[PreTrainedModel]],
) -> Engine:
    """An engine that samples as a run with this ``config`` does."""
    stop_strings = stop_strings_of(config, choose_loop(config.rollout.backend, model))
    return Engine(model, tokenizer, config.rollout, stop_strings, opened, VLLMSettings.of(config.trainer))


def stop_strings_of(config: Config, loop: Loop) -> list[str]:
    """The strings that end a completion in a run with this ``config``, sampled by ``loop``.

    A base model that runs on into a next question has given its answer: without stop strings of one's own, that
    question ends the completion, as in Qwen2.5-Math's evaluation. Judges do not read it either way, so a loop that
    knows no stop strings only takes longer; TRL's ``mask_truncated_completions`` would mask what a stop string ended.
    """
    own = (trainer_value(config.trainer, "generation_kwargs") or {}).get("stop_strings")
    if own is not None:
        return list(own)
    next_question = TEMPLATES[config.task.template].next_question
    masked = trainer_value(config.trainer, "mask_truncated_completions")
    return [next_question] if next_question is not None and loop.stops and not masked else []
