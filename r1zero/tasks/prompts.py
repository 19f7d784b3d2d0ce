"""Prompt templates: how a question is put to the model, and what of the answer the template writes itself.

A template may *prefill* the start of the completion (``<think>``). The judges always read prefill + completion, so a
format rule means the same under every template. The wording is ours; the structures follow the works named below.
"""

from transformers import PreTrainedTokenizerBase

from r1zero.config.templates import Template


def render(template: Template, question: str, example: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The whole prompt for ``question``, prefill included.

    Raises:
        ValueError: The template is for chat models and the tokenizer has no chat template.
    """
    text = template.text.format(question=question, example=example)
    if template.system is not None:
        if tokenizer.chat_template is None:
            raise ValueError(
                f"task.template needs a chat template and the tokenizer of {tokenizer.name_or_path!r} has none: "
                "use a template for base models, such as task.template=tinyzero_base."
            )
        turns = [{"role": "system", "content": template.system}, {"role": "user", "content": text}]
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    return text + template.opening + template.prefill
