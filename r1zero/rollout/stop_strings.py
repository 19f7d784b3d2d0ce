"""Strings that end a completion.

Looks at text, so a string that spans several tokens, or begins or ends within one, is found with any tokenizer.
"""

import torch
from transformers import PreTrainedTokenizerBase

# A byte-level token that is no whole character decodes to this; what follows may complete it.
INCOMPLETE = "\ufffd"


class StopStrings:
    """Tells which rows have just completed one of ``strings``.

    Args:
        strings: None empty.
        tokenizer: Decodes the rows.
    """

    def __init__(self, strings: list[str], tokenizer: PreTrainedTokenizerBase) -> None:
        self.strings, self.tokenizer = strings, tokenizer
        # A token with text holds a byte at least, so as many tokens as the longest string has bytes reach back to its
        # start; 8 more for tokens without text.
        self.num_tokens = max(len(string.encode()) for string in strings) + 8
        # Only a token that holds some string's last character can complete it: the others need not be decoded.
        ends = {string[-1] for string in strings} | {INCOMPLETE}
        vocabulary = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        self.ending_ids = frozenset(token for token, text in enumerate(vocabulary) if ends & set(text))
        self.endings = torch.tensor(sorted(self.ending_ids), dtype=torch.long)

    def may_end_with(self, token: int) -> bool:
        """Whether ``token``, as the last one, can complete a string."""
        return token in self.ending_ids

    def completed(self, recent: list[list[int]]) -> list[bool]:
        """For each row's last tokens, the newest one included."""
        texts = self.tokenizer.batch_decode(recent)
        return [any(string in text for string in self.strings) for text in texts]
