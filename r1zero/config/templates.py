"""Prompt templates: how a question is put to the model, and what of the answer the template writes itself.

The wording is ours; the structures follow the works named below. ``r1zero.tasks.prompts`` fills them in.
"""

from dataclasses import dataclass

_CONVERSATION = (
    "This is a conversation between a user and an assistant. The user asks a question and the assistant answers it. "
    "The assistant first works through the problem in its mind, then gives the user the answer."
)


_SHOW_WORK = (
    "Write your reasoning inside <think> </think> tags and the final answer inside <answer> </answer> tags, "
    "for example <answer> {example} </answer>."
)


@dataclass(frozen=True)
class Template:
    """One way to turn a question into a prompt.

    Attributes:
        text: The prompt, with ``{question}`` and ``{example}``; for a chat template, the user's turn.
        system: The system turn; a template with one goes through the tokenizer's chat template.
        opening: Text in front of ``prefill`` that already belongs to the assistant's turn.
        prefill: The part of the judged text that the prompt already contains.
        answer_in: Where it asks for the answer: ``tag``, ``box``, ``phrase`` ("Answer: 42"), or None when it does not
            say.
        next_question: How a next question begins in the text of a base model that does not stop at its answer; None
            where a model has tokens for that, or where a question may begin anyhow.
    """

    text: str
    system: str | None = None
    opening: str = ""
    prefill: str = ""
    answer_in: str | None = None
    next_question: str | None = None


TEMPLATES = {
    # The embedded model's own: how every text that it was pre-trained on begins.
    "nano": Template(text="{question} ", prefill="<think>\n"),
    # TinyZero's `base` (examples/data_preprocess/countdown.py): a dialogue in plain text, <think> prefilled.
    "tinyzero_base": Template(
        text=f"{_CONVERSATION}\nUser: {{question}} {_SHOW_WORK}\nAssistant: ",
        opening="Let me work this out step by step.\n",
        prefill="<think>",
        answer_in="tag",
        next_question="\nUser:",
    ),
    # TinyZero's `qwen-instruct`: the same through the tokenizer's chat template.
    "tinyzero_chat": Template(
        system="You are a helpful assistant. You first think about the problem, then give the user the answer.",
        text=f"{{question}} {_SHOW_WORK}",
        opening="Let me work this out step by step.\n",
        prefill="<think>",
        answer_in="tag",
    ),
    # DeepSeek-R1-Zero (arXiv 2501.12948, table 1): the tags are described, nothing is prefilled.
    "r1_zero": Template(
        text=(
            f"{_CONVERSATION} The reasoning is enclosed in <think> </think> tags and the answer in <answer> </answer> "
            "tags: <think> reasoning here </think> <answer> answer here </answer>. User: {question} Assistant:"
        ),
        answer_in="tag",
        next_question="\nUser:",
    ),
    # The question alone, which suits Qwen2.5 base models best (Dr. GRPO, arXiv 2503.20783).
    "question": Template(text="{question}"),
    # SimpleRL-Zoo's plain prompt for weak base models (arXiv 2503.18892), asking for a box.
    "boxed": Template(
        text="Question:\n{question}\nGive the final answer in \\boxed{{}}.\nAnswer:\nStep by step: ",
        answer_in="box",
        next_question="\nQuestion:",
    ),
    # A last line to look for, as simple-evals asks for it on MMLU and GPQA (github.com/openai/simple-evals, common.py).
    "answer_line": Template(
        text=(
            "Question:\n{question}\nThink step by step, then give the final answer on a last line of its own, in the "
            "form Answer: {example}\nStep by step: "
        ),
        answer_in="phrase",
        next_question="\nQuestion:",
    ),
    # SimpleRL-Zoo's `qwen-boxed` and Dr. GRPO's Qwen-Math prompt: the chat template and a box.
    "boxed_chat": Template(
        system="You are a helpful assistant.",
        text="{question}\nReason step by step and write the final answer in \\boxed{{}}.",
        answer_in="box",
    ),
}
