"""The tokenizer of the embedded model: one token for each number, word, sign and tag."""

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from r1zero.nano.corpus import MAX_VALUE

SPECIALS = ["<pad>", "<bos>", "<eos>", "<unk>"]
WORDS = ["Numbers:", "Target:", "<think>", "</think>", "<answer>", "</answer>"]
WORDS += ["(too low)", "(too high)", "(yes)", "\n", "+", "-", "*", "/", "=", ",", "(", ")"]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over ``WORDS`` and the integers 0..MAX_VALUE; text outside them becomes ``<unk>``.

    Spaces only separate; newlines are tokens. ``<bos>`` is added in front, nothing behind.
    """
    tokens = SPECIALS + WORDS + [str(number) for number in range(MAX_VALUE + 1)]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    one_token = Regex(r"\n|</?[a-z]+>|\((?:too low|too high|yes)\)|Numbers:|Target:|\d+|\w+|[^\s\w]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(one_token, behavior="removed", invert=True)
    bos = tokens.index("<bos>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", bos)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
