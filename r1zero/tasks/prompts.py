"""From a question to the text that the model continues, and back.

The wording is that of ``r1zero.config.templates``. A template may *prefill* the start of the completion (``<think>``).
The judges always read prefill + completion, so a format rule means the same under every template.
"""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from r1zero.config.schema import Config
from r1zero.config.tasks import TaskConfig
from r1zero.config.templates import TEMPLATES
from r1zero.models.tokens import encode
from r1zero.tasks.task import Row, Task

log = logging.getLogger(__name__)

LOOKED_AT = 200  # rows read back where no token tells that something is unknown: reading all of 300 k takes a minute
PLACE = "<question>"  # stands for a question that is not known yet
BETWEEN = "\n\n"  # of two turns without a chat template


def prompt_columns(question: str, config: TaskConfig, tokenizer: PreTrainedTokenizerBase) -> Row:
    """The columns of a row that are not ground truth: ``prompt`` and ``prefill``."""
    return {
        "prompt": render(question, config, tokenizer),
        "prefill": TEMPLATES[config.template].prefill,
    }


def render(question: str, config: TaskConfig, tokenizer: PreTrainedTokenizerBase) -> str:
    """The whole prompt for ``question`` in the task's template, prefill included.

    Raises:
        ValueError: The template is for chat models and the tokenizer has no chat template.
    """
    return render_turns([], question, config, tokenizer)


def render_turns(
    turns: Sequence[tuple[str, str]], question: str, config: TaskConfig, tokenizer: PreTrainedTokenizerBase
) -> str:
    """The prompt for ``question`` after earlier ``turns``, each a question and its completion.

    A template for chat models makes one conversation of them; with any other they stand one after the other.

    Raises:
        ValueError: The template is for chat models and the tokenizer has no chat template.
    """
    template = TEMPLATES[config.template]
    written = template.opening + template.prefill
    asked = [template.text.format(question=turn, example=config.example) for turn in [*(q for q, _ in turns), question]]
    if template.system is None:
        texts = [f"{text}{written}{reply}{BETWEEN}" for text, (_, reply) in zip(asked, turns, strict=False)]
        return "".join([*texts, asked[-1], written])
    if tokenizer.chat_template is None:
        raise ValueError(
            f"task.template needs a chat template and the tokenizer of {tokenizer.name_or_path!r} has none: "
            "use a template for base models, such as task.template=tinyzero_base."
        )
    messages = [{"role": "system", "content": template.system}]
    for text, (_, reply) in zip(asked, turns, strict=False):
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": written + reply}]
    messages.append({"role": "user", "content": asked[-1]})
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)) + written


def question_of(prompt: str, config: TaskConfig, tokenizer: PreTrainedTokenizerBase) -> str:
    """The question that ``render`` made ``prompt`` of."""
    front, _, back = render(PLACE, config, tokenizer).partition(PLACE)
    return prompt.removeprefix(front).removesuffix(back)


def has_unknown(prompt: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether ``prompt`` holds something that the tokenizer has no token for."""
    return tokenizer.unk_token_id is not None and tokenizer.unk_token_id in encode(prompt, tokenizer)


def unreadable(prompt: str, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """How much of ``prompt`` the tokenizer has no tokens for; None when it can write all of it."""
    try:
        ids = encode(prompt, tokenizer)
    except Exception as error:
        if type(error) is not Exception:
            raise
        return "words"  # a word is missing and there is no unknown token: tokenizers raises the bare Exception
    if tokenizer.unk_token_id is not None and (unknown := ids.count(tokenizer.unk_token_id)):
        return f"{unknown} token(s)"
    written = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    lost = Counter(letters(prompt)) - Counter(letters(str(written)))  # some leave out what they have no token for
    return f"{lost.total()} character(s)" if lost else None


def letters(text: str) -> str:
    """The text without what a tokenizer may change: space, case, and forms of one letter."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text).casefold())


def check_prompts(task: Task, config: Config, tokenizer: PreTrainedTokenizerBase) -> None:
    """The tokenizer can write the prompts, and the template is meant for such a tokenizer.

    Raises:
        ValueError: A prompt holds something that the tokenizer has no token for.
    """
    rows = [*task.train, *task.test]
    for row in rows if tokenizer.unk_token_id is not None else rows[:LOOKED_AT]:
        if reason := unreadable(row["prompt"], tokenizer):
            raise ValueError(
                f"task = {task.name}: {reason} of the prompt {row['prompt']!r:.120} are unknown to the "
                f"tokenizer of model = {config.model.name}, which could not read it. Set another model."
            )
    if tokenizer.chat_template is not None and TEMPLATES[config.task.template].system is None:
        log.info(
            "The tokenizer of %s has a chat template, and task.template=%s does not use it: right for a base model. "
            "For one that talks in turns set task.template=boxed_chat or tinyzero_chat.",
            *(config.model.name, config.task.template),
        )
