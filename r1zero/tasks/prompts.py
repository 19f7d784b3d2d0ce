"""From a question to the text that the model continues, and back.

The wording is that of ``r1zero.config.templates``. A template may *prefill* the start of the completion (``<think>``).
The judges always read prefill + completion, so a format rule means the same under every template.
"""

from transformers import PreTrainedTokenizerBase

from r1zero.config.tasks import TaskConfig
from r1zero.config.templates import TEMPLATES
from r1zero.models.tokens import encode
from r1zero.tasks.task import Row

PLACE = "<question>"  # stands for a question that is not known yet


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
    template = TEMPLATES[config.template]
    text = template.text.format(question=question, example=config.example)
    if template.system is not None:
        if tokenizer.chat_template is None:
            raise ValueError(
                f"task.template needs a chat template and the tokenizer of {tokenizer.name_or_path!r} has none: "
                "use a template for base models, such as task.template=tinyzero_base."
            )
        turns = [{"role": "system", "content": template.system}, {"role": "user", "content": text}]
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    return text + template.opening + template.prefill


def question_of(prompt: str, config: TaskConfig, tokenizer: PreTrainedTokenizerBase) -> str:
    """The question that ``render`` made ``prompt`` of."""
    front, _, back = render(PLACE, config, tokenizer).partition(PLACE)
    return prompt.removeprefix(front).removesuffix(back)


def has_unknown(prompt: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether ``prompt`` holds something that the tokenizer has no token for."""
    return tokenizer.unk_token_id is not None and tokenizer.unk_token_id in encode(prompt, tokenizer)
