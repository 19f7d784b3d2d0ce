r"""Small judges that published recipes add to correctness: length, repetition, tags, language. All are off by default.

Each is a pure function, scored in [0, 1] as every verdict is. Where a paper's reward reaches below 0, it is mapped
linearly onto [0, 1]: GRPO compares the completions of a group, so a constant changes nothing and a factor belongs into
the weight. None of them looks at whether an answer is right; keep their weights below that of correctness.
"""

import math
import re

from rewards.tags import TAGS
from rewards.verdict import Outcome, Verdict

# Scripts by the Unicode blocks that hold nearly all of their text.
_SCRIPTS = {
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f]+"),
    "cyrillic": re.compile(r"[\u0400-\u04ff]+"),
    "han": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"),  # one word a character
    "kana": re.compile(r"[\u3040-\u30ff]"),
    "hangul": re.compile(r"[\uac00-\ud7af]+"),
    "arabic": re.compile(r"[\u0600-\u06ff]+"),
    "devanagari": re.compile(r"[\u0900-\u097f]+"),
    "greek": re.compile(r"[\u0370-\u03ff]{2,}"),  # one letter is a symbol
    "thai": re.compile(r"[\u0e00-\u0e7f]+"),
    "hebrew": re.compile(r"[\u0590-\u05ff]+"),
}
LANGUAGES = {
    **dict.fromkeys(("en", "de", "fr", "es", "it", "pt"), ("latin",)),
    "zh": ("han",),
    "ja": ("han", "kana"),
    "ko": ("hangul",),
    "ru": ("cyrillic",),
    "ar": ("arabic",),
    "hi": ("devanagari",),
    "th": ("thai",),
    "he": ("hebrew",),
}
_NOTATION = re.compile(r"\$[^$]*\$|\\[A-Za-z]+|</?[a-z]+>")


def words_by_script(text: str) -> dict[str, int]:
    r"""Words of ``text`` by script; LaTeX, tags, digits and signs are no words, and one Greek letter is a symbol.

    >>> {script: count for script, count in words_by_script("so we get 等于 $x=5$").items() if count}
    {'latin': 3, 'han': 2}
    """
    prose = _NOTATION.sub(" ", text)
    return {name: len(script.findall(prose)) for name, script in _SCRIPTS.items()}


def judge_language(text: str, language: str = "en") -> Verdict:
    r"""The share of words that are written in the script of ``language``.

    DeepSeek-R1 (arXiv 2501.12948, section 2.3.2) rewards the share of target-language words in the thought. Languages
    of one script are not told apart: this catches the mixing of English and Chinese, not of English and German. LaTeX,
    tags, digits and signs are no words; without any word the score is 1.

    Raises:
        ValueError: A language that is not in LANGUAGES.

    >>> judge_language("so we get 等于 $x=5$").score
    0.6
    """
    if language not in LANGUAGES:
        raise ValueError(f"language = {language}: must be one of {', '.join(sorted(LANGUAGES))}")
    counts = words_by_script(text)
    total = sum(counts.values())
    share = sum(counts[name] for name in LANGUAGES[language]) / total if total else 1.0
    return _graded(share, f"{share:.0%} of {total} words")


def judge_cosine_length(num_tokens: int, max_tokens: int, correct: bool) -> Verdict:
    """A right answer is worth more the shorter, a wrong one more the longer it is.

    Yeo et al., Demystifying Long Chain-of-Thought Reasoning (arXiv 2502.03373), with the ends of open-r1's
    ``get_cosine_scaled_reward``: right 1 to 0.5, wrong -1 to -0.5; here mapped by (r + 1) / 2 to right 1 to 0.75,
    wrong 0 to 0.25. Beyond ``max_tokens`` the value of ``max_tokens`` stays.

    >>> judge_cosine_length(0, 100, correct=True).score, judge_cosine_length(100, 100, correct=False).score
    (1.0, 0.25)
    """
    _check_lengths(num_tokens, max_tokens)
    progress = min(num_tokens / max_tokens, 1.0)
    falling = (1.0 + math.cos(math.pi * progress)) / 2.0  # 1 at length 0, 0 at max_tokens
    score = 0.75 + 0.25 * falling if correct else 0.25 * (1.0 - falling)
    return _graded(score, f"{num_tokens} of {max_tokens} tokens")


def judge_soft_overlong(num_tokens: int, max_tokens: int, buffer_tokens: int) -> Verdict:
    """1 up to ``max_tokens - buffer_tokens``, then falling linearly to 0 at ``max_tokens``.

    DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), which runs from 0 to -1, plus 1.

    >>> judge_soft_overlong(90, 100, 20).score
    0.5
    """
    _check_lengths(num_tokens, max_tokens)
    if not 0 < buffer_tokens <= max_tokens:
        raise ValueError(f"buffer_tokens = {buffer_tokens}: must be above 0 and at most max_tokens = {max_tokens}")
    score = min(1.0, max(0.0, (max_tokens - num_tokens) / buffer_tokens))
    return _graded(score, f"{num_tokens} of {max_tokens} tokens")


def judge_repetition(text: str, ngram: int = 3) -> Verdict:
    """The share of distinct n-grams of words: 1 without repetition, near 0 for a loop.

    Yeo et al. (arXiv 2502.03373) punish repeated n-grams; open-r1's ``get_repetition_penalty_reward``
    scales 1 - distinct / all. A text of fewer than ``ngram`` words repeats nothing.

    >>> judge_repetition("a b c a b c a b c").score
    0.42857142857142855
    """
    if ngram < 1:
        raise ValueError(f"ngram = {ngram}: must be at least 1")
    words = text.lower().split()
    grams = [tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]
    share = len(set(grams)) / len(grams) if grams else 1.0
    return _graded(share, f"{share:.0%} of {len(grams)} {ngram}-grams are distinct")


def judge_tag_count(text: str) -> Verdict:
    """A quarter for each of the four tags that occurs exactly once, wherever it is.

    open-r1's ``tag_count_reward``, a gentler slope than ``judge_format`` for models that know no tags. Order and
    content play no part.

    >>> judge_tag_count("<think>a</think> 5").score
    0.5
    """
    present = sum(text.count(tag) == 1 for tag in TAGS)
    return _graded(present / len(TAGS), f"{present} of {len(TAGS)} tags")


def _check_lengths(num_tokens: int, max_tokens: int) -> None:
    if num_tokens < 0 or max_tokens < 1:
        raise ValueError(f"num_tokens = {num_tokens}, max_tokens = {max_tokens}: need num_tokens >= 0, max_tokens >= 1")


def _graded(score: float, detail: str) -> Verdict:
    """CORRECT at 1, WRONG below: what the metrics count as `as asked`."""
    return Verdict(score, Outcome.CORRECT if score == 1.0 else Outcome.WRONG, detail)
