"""Every template with every judge: a right completion earns full marks, whatever the template prefills."""

import pytest
from toy import compose_config
from transformers import PreTrainedTokenizerFast

from r1zero.config.templates import TEMPLATES
from r1zero.models.tokens import encode
from r1zero.nano.tokenizer import build_tokenizer
from r1zero.tasks.countdown import build_countdown
from r1zero.tasks.prompts import question_of, render, unreadable

CHAT = "{% for m in messages %}<bos>{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


@pytest.fixture
def text_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that can write any text, with a chat template that starts with <bos>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: i for i, token in enumerate(["<bos>", "<eos>", *sorted(alphabet)])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>")
    tokenizer.chat_template = CHAT
    return tokenizer


# The embedded model's prompt has no words for leaving numbers out; config refuses that, see test_config.py.
CASES = [(name, use_all) for name in TEMPLATES for use_all in (True, False) if use_all or name != "nano"]


@pytest.mark.parametrize(("template", "use_all"), CASES)
def test_every_judge_on_every_template(
    template: str, use_all: bool, text_tokenizer: PreTrainedTokenizerFast, tokenizer: PreTrainedTokenizerFast
) -> None:
    config = compose_config(f"task.template={template}", f"task.use_all_numbers={use_all}", "task.num_train=1")
    config.task.num_test = 1
    task = build_countdown(config.task, config.reward, tokenizer if template == "nano" else text_tokenizer)
    row = task.test[0]
    row |= {"nums": [1, 2, 3], "target": 9}
    opener = "" if "<think>" in row["prefill"] else "<think> "
    right = f"{opener}1 + 2 = 3 , 3 * 3 = 9 </think> <answer> (1 + 2) * 3 </answer>"
    wrong = f"{opener}guess </think> <answer> 1 + 2 + 3 </answer>"
    for completion, countdown, format_score in ((right, 1.0, 1.0), (wrong, 0.0, 1.0), ("no idea", 0.0, 0.0)):
        assert task.judges["countdown"](row["prefill"] + completion, row).score == countdown
        assert task.judges["format"](row["prefill"] + completion, row).score == format_score
    assert row["prompt"].endswith(row["prefill"])


@pytest.mark.parametrize(("use_all", "rule"), [(True, "every number exactly once"), (False, "at most once")])
def test_prompt_and_judge_follow_the_same_rule(
    use_all: bool, rule: str, text_tokenizer: PreTrainedTokenizerFast
) -> None:
    config = compose_config("task=countdown", f"task.use_all_numbers={use_all}", "task.num_train=1", "task.num_test=1")
    task = build_countdown(config.task, config.reward, text_tokenizer)
    row = task.test[0] | {"nums": [1, 2, 3], "target": 3}
    assert rule in row["prompt"]
    verdict = task.judges["countdown"]("<think>x</think> <answer>1 + 2</answer>", row)
    assert verdict.score == (0.0 if use_all else 1.0)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_question_is_found_in_its_prompt(template: str, text_tokenizer: PreTrainedTokenizerFast) -> None:
    config = compose_config(f"task.template={template}").task
    question = "What is {2} + 3 in Assistant: <think>?"
    prompt = render(question, config, text_tokenizer)
    assert question_of(prompt, config, text_tokenizer) == question


def test_the_embedded_models_prompt() -> None:
    """What it was pre-trained on; a space more or less is the same to it, but not to a file of prompts."""
    config = compose_config().task
    tokenizer = build_tokenizer()
    assert render("Numbers: 3 5 7 Target: 22", config, tokenizer) == "Numbers: 3 5 7 Target: 22 <think>\n"


def test_a_bos_written_by_the_chat_template_is_not_doubled(text_tokenizer: PreTrainedTokenizerFast) -> None:
    assert encode("<bos>user: hi", text_tokenizer)[:2].count(0) == 1
    assert encode("User: hi", text_tokenizer)[0] == 0


def test_a_chat_template_without_a_chat_model_says_what_to_set(tokenizer: PreTrainedTokenizerFast) -> None:
    config = compose_config("task=countdown", "task.template=tinyzero_chat", "task.num_train=1", "task.num_test=1")
    with pytest.raises(ValueError, match="use a template for base models"):
        build_countdown(config.task, config.reward, tokenizer)


def test_a_prompt_the_tokenizer_cannot_write_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    config = compose_config(
        "task.number_min=201", "task.number_max=300", "task.target_max=900", "task.max_intermediate=900"
    )
    with pytest.raises(ValueError, match="integers 0 to 200"):
        build_countdown(config.task, config.reward, tokenizer)


def test_what_a_tokenizer_without_an_unknown_token_cannot_write_is_told(
    text_tokenizer: PreTrainedTokenizerFast,
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    assert unreadable("What is 1 + 2? \u00e4\u4f60", text_tokenizer) is None
    words = Tokenizer(models.WordLevel({"What": 0, "is": 1}))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    assert unreadable("What was", PreTrainedTokenizerFast(tokenizer_object=words)) == "words"
    letters = Tokenizer(models.BPE(vocab={"W": 0, "h": 1, "a": 2, "t": 3}, merges=[]))
    assert unreadable("What?", PreTrainedTokenizerFast(tokenizer_object=letters)) == "1 character(s)"
