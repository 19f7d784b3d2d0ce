r"""Reasoning behaviour, counted in text: pure functions (text, truth) -> count. Nothing here decides a reward.

Verification, backtracking, sub-goals and backward chaining are the four behaviours of Gandhi et al. (arXiv 2503.01307),
who let a language model label them; here they are patterns of English phrases and of Countdown traces, which cost
nothing at every step and miss what they have no pattern for. How well they agree with a person is measured on
``tests/data/behaviours.jsonl`` by ``python -m benchmarks.behaviours``.

A count says that the words were written, not that they helped, nor that the model means them. Languages other than
English are seen by the probes that need no words only (tries, checks in brackets, repetition, scripts).

``truth`` is the row of the problem; the probes use its ``target``, ``nums`` and ``prompt`` where it has them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from rewards.recipes import words_by_script

Truth = Mapping[str, Any]
Probe = Callable[[str, Truth], int]

# How a clause starts: at the beginning, or behind a full stop or a line break, after a word of hesitation or none.
# Everything that may repeat is bounded: a model that writes one character 16,000 times must not hold up a step.
START = r"(?:^|[.!?>✓✗] {1,4}|\n[ \t]{0,8})(?:(?:hmm|but|so|no|oh|ok|okay|well|and|now|yes)\b[,.…]{0,3}\s{1,2}){0,3}"
ME = r"\b(?:let(?:'s| me| us)|(?:i|we)(?:'ll| will| should| must| can| could| need to| have to| want to))"
NUMBER = r"-?\d{1,12}(?:\.\d{1,12})?"


def pattern(*alternatives: str) -> re.Pattern[str]:
    """One expression that finds any of ``alternatives`` in lower-case text; ignoring case takes a third longer."""
    return re.compile("|".join(f"(?:{alternative})" for alternative in alternatives))


# A worked equation such as ``3 + 4 = 7``.
EQUATION = re.compile(
    r"\d{1,12}\s{0,2}(?:[-+*/×÷·]|\\times|\\cdot|\\div)\s{0,2}\(?\s{0,2}\d{1,12}[^=\n]{0,80}=\s{0,2}-?\d{1,12}"
)
CLAUSE_END = re.compile(r"\n|(?<=[.!?;])\s")

# A result held against the goal in writing.
CHECK = pattern(
    r"\((?:too (?:low|high|small|big|large|much|little)|yes|no|correct|wrong)\)",
    rf"(?:{NUMBER} ?,?|\b(?:that|which|this|it)(?:'s| is)(?: \w+)?) "
    r"too (?:low|high|small|big|large|much|little|many|few)\b",
    rf"(?m:= {{0,2}}{NUMBER} (?:yes|no)$)",
    rf"=\s{{0,2}}{NUMBER} {{0,2}}(?:(?:[<>≠]|!=) {{0,2}}\d|[✓✔✗✘])",
    r"\b(?:which|this|that|it|result|sum|product)?\s{0,2}(?:is exactly|equals|is equal to|hits|reaches|matches) "
    r"(?:the target|our target|the goal|what we need|what i need)",
    r"=\s*(?:the )?target\b",
    rf"\b(?:which|this|that|it|result) (?:is|does)(?: not|n't) (?:equal )?(?:to )?(?:the target|{NUMBER})",
    rf"\bbut (?:we|i) (?:need|want)\s+{NUMBER}",
    r"\bone too (?:many|few)\b|\boff by\b|\b(?:more|less|fewer) than (?:we|i) (?:want|need)\b",
    rf"\b(?:but )?not (?:quite )?there\b|\bgot it\b|\bthe target was {NUMBER}",
)
# A result that the text itself calls wrong.
MISS = pattern(r"\btoo (?:low|high|small|big|large|much|little|many|few)\b", r"\((?:no|wrong)\)", r"[≠✗✘]|!=")

VERIFICATION = pattern(
    ME + r"(?: \w+){0,2} (?:double[- ]?check|re-?check|check|verify|confirm|validate|make sure|test|ensure)\b",
    START
    + r"(?:to )?(?:check|checking|double[- ]?check(?:ing)?|verify(?:ing)?|verification|sanity check|confirm(?:ing)?)"
    r"\s*(?:[:,]|\b(?:this|that|it|the|our|my|if|whether)\b)",
    r"\bas a (?:quick |sanity |final )?check\b|\bquick (?:test|check)\b",
    r"\b(?:substitut(?:e|ing)|plug(?:ging)?)\b[^.\n]{0,40}\b(?:back|into|in the)\b",
    r"\bmake sure (?:that|the|it|this|we|no|all|every)\b",
    r"\bdo(?:es)? (?:this|that|it|they|these) (?:satisfy|hold|work|match|equal|check)\b",
    r"\bis (?:this|that|it) (?:right|correct|true)\b(?! that)|\bam i sure\b|\bto be (?:sure|safe)\b|\bmake certain\b",
    r"\bas (?:it should|expected|required)\b",
    r"\b(?:this|it|that|which) (?:is consistent with|agrees with|satisfies|checks out|holds)\b",
    r"\blet(?:'s| us| me) (?:see|check) (?:whether|if)\b",
)

BACKTRACKING = pattern(
    START + r"(?:hold on|oops|scrap that|never mind|on second thought|not helpful|no luck|no good|different idea)\b",
    START + r"wait\b(?:\s*[,.!…]| (?:no|that|i|so|if|but|this|let|maybe|what|actually)\b)",
    START + r"(?:actually|alternatively|instead)\s*,|\binstead of \w+ing, (?:let|i|we)\b",
    r"\b(?:that|this|it|approach|attempt|idea|which|neither)\b[^.\n]{0,25}"
    r"\b(?:doesn't|does not|didn't|did not|won't|can't|cannot) work\b",
    r"\b(?:this|that) (?:\w+ )?(?:fails|failed|leads nowhere|is a dead end|is wrong|isn't right|is not right|"
    r"is no use|is no good|is incorrect)\b|\bthat's (?:wrong|not right|incorrect)\b|\bdead end\b",
    ME + r" (?:\w+ )?(?:try (?:something else|another|again|a different|\w+ instead)|start (?:over|again)|redo|retry|"
    r"go back|backtrack|reconsider|rethink|reassess|recompute|undo|correct (?:that|this|it))\b",
    START + r"(?:try (?:something else|another|again|a different)|redo|retry|reassess|reconsider|rethink|going back)\b",
    r"\banother (?:approach|way|idea|attempt|option)\s*[:.,]",
    r"\b(?:i|we) (?:have )?(?:made|make) (?:a|an|the) (?:mistake|error|slip)\b",
    r"\bi (?:forgot|overlooked|misread|misspoke)\b",
    r"\blet (?:us|me) try\b|\bso let's try\b|\bwhat if (?:i|we)\b|\bi see the (?:issue|problem|mistake|error)\b",
)

SUBGOALS = pattern(
    START + r"(?:first|firstly|second|secondly|next|then|finally|lastly|now)\b,?\s*(?:we|i|i'll|we'll|let|our|find|add|"
    r"compute|calculate|determine|solve|multiply|subtract|divide|simplify|factor|list|handle)\b",
    START + r"(?:step|case|part) \d+\s*[:.]",
    r"(?m:^[ \t]{0,8}\d{1,3}[.)]\s{1,2}(?=[a-z]{1,21} ))|\(\d\) (?=[a-z]{1,21} )",
    ME + r"(?: \w+)? (?:break|split|separate|divide)\b[^.\n]{0,40}\b(?:into|in two|at|cases|parts)\b",
    r"\b(?:my|our|the) (?:first |next |main |final )?(?:goal|task|plan|aim|sub-?goal)\b\s*(?:is (?:now |then )?to\b|:)",
    r"\b(?:begin|start) (?:by|with) \w+ing\b",
    r"\b(?:let me|let's|let us|we must|i must|we need to|i need to) first\b",
    r"\bit remains to\b|\bbefore (?:that, |anything else)|\bone (?:step|piece|part) at a time\b",
    r"\band after that, ?(?:the|we|i)\b",
)

BACKWARD_CHAINING = pattern(
    r"\bwork(?:ing)? back(?:wards?)?\b",
    rf"\b(?:to|in order to) (?:get|reach|make|obtain|arrive at|end (?:with|at|up with)) {NUMBER}\b[^.\n]{{0,60}}"
    r"\b(?:(?:we|i) (?:need|must|could|can|have to)|before must be)\b",
    r"\b(?:starting|start) (?:from|with|at) the (?:target|answer|goal|end|final)\b",
    rf"\bfor the (?:final |last )?(?:result|product|sum|answer|difference|quotient|total) to be {NUMBER}",
    r"\bsuppose the (?:answer|result)\b|\bif the (?:last|final) (?:step|operation)\b",
    rf"\bit suffices to\b|\bwhat would (?:give|make|yield)\b|\bwhat do i need for {NUMBER}|\bso undo the\b",
    START + r"reverse the (?:operations?|steps?)\b",
    r"\bso (?:if )?i (?:can )?(?:need to )?make \d+ and\b",
)

# Liu et al., Understanding R1-Zero-Like Training (arXiv 2503.20783), analysis/keyword_count.py.
OAT_KEYWORDS = pattern(
    r"recheck|rethink|reassess|reevaluate|re-evaluate|reevaluation|re-examine|reexamine|reconsider|reanalyze",
    r"double-check|check again|think again|verify again|go over the steps",
)
# Open-Reasoner-Zero, orz/ppo/utils.py; case-sensitive there.
ORZ_KEYWORDS = re.compile(r"wait,|recheck[,\s]|retry|alternatively,|however,")

WORD = re.compile(r"\w+|[^\w\s]")
NGRAM = 6  # words and signs; four are too few where every line reads "a + b = c"
ANSWER_MARK = re.compile(r"<answer>|\\boxed\s*\{")
TAG = re.compile(r"</?(?:think|answer)>")
LEAD_IN = re.compile(r"\b(?:so|thus|hence|therefore|the|final|answer|result|is)\b", re.IGNORECASE)
MIN_THOUGHT_WORDS = 5  # "3 * 4 = 12" has three words and two signs
LOOP_TIMES, MAX_LOOP_CHARS = 8, 64


def count_checks(text: str, truth: Truth) -> int:
    """Written comparisons of a result with the goal: ``= 23 (too low)``, ``which equals the target``."""
    return len(CHECK.findall(text.lower()))


def count_verification(text: str, truth: Truth) -> int:
    """Announcements of a check in words, and written comparisons with the goal."""
    return len(VERIFICATION.findall(text.lower())) + count_checks(text, truth)


def count_backtracking(text: str, truth: Truth) -> int:
    """Changes of approach in words, and results that the text calls wrong before another attempt follows."""
    text = text.lower()
    clauses = CLAUSE_END.split(text)
    last_try = max((at for at, clause in enumerate(clauses) if EQUATION.search(clause)), default=-1)
    noticed = sum(bool(MISS.search(clause)) for clause in clauses[: max(last_try, 0)])
    return len(BACKTRACKING.findall(text)) + noticed


def count_subgoals(text: str, truth: Truth) -> int:
    """Intermediate steps that are named as such: ``First, find ...``, ``Step 2:``, ``Our goal is``."""
    return len(SUBGOALS.findall(text.lower()))


def count_backward_chaining(text: str, truth: Truth) -> int:
    """Reasoning from the goal to what it needs, in words or as a clause that starts with the target: ``24 = 6 * 4``."""
    found = len(BACKWARD_CHAINING.findall(text.lower()))
    target = truth.get("target")
    if target is None or target in truth.get("nums", ()):  # a given number may well start an equation
        return found
    start = r"(?:^|[.!?:;,\n]|\b(?:as|since|because))\s{0,4}"
    from_target = rf"{start}{target} {{0,2}}(?:= {{0,2}}\d|[-+*/] {{0,2}}\d{{1,12}} {{0,2}}=)"
    forward = rf"=\s?{target}\s?,\s?{target}\b"  # "3 * 8 = 24 , 24 - 5 = 19" goes on from a result
    return found + max(0, len(re.findall(from_target, text)) - len(re.findall(forward, text)))


def count_oat_keywords(text: str, truth: Truth) -> int:
    """Self-reflection keywords of Oat-Zero."""
    return len(OAT_KEYWORDS.findall(text.lower()))


def count_orz_keywords(text: str, truth: Truth) -> int:
    """Self-reflection keywords of Open-Reasoner-Zero; ``Wait,`` at the start of a sentence is not among them."""
    return len(ORZ_KEYWORDS.findall(text))


def count_tries(text: str, truth: Truth) -> int:
    """Clauses that hold at least one worked equation such as ``3 + 4 = 7``: attempts at the problem."""
    return sum(bool(EQUATION.search(clause)) for clause in CLAUSE_END.split(text))


def count_repeated_tries(text: str, truth: Truth) -> int:
    """Attempts that repeat an earlier line word for word."""
    tries = [line.strip() for line in text.splitlines() if EQUATION.search(line)]
    return len(tries) - len(set(tries))


def count_repeated_ngrams(text: str, truth: Truth) -> int:
    """Sequences of six words or signs that occurred before in the text."""
    words = WORD.findall(text.lower())
    num_ngrams = max(0, len(words) - NGRAM + 1)
    return num_ngrams - len({tuple(words[at : at + NGRAM]) for at in range(num_ngrams)})


def count_foreign_words(text: str, truth: Truth) -> int:
    """Words in another script than most of the prompt, which is taken for Latin when there is none.

    DeepSeek-R1 (arXiv 2501.12948, section 2.3.2) rewards the share of words in the target language. Languages of one
    script are not told apart; single Greek letters are notation.
    """
    prompt = words_by_script(str(truth.get("prompt", "")))
    home = max(prompt, key=lambda script: prompt[script]) if any(prompt.values()) else "latin"
    return sum(count for script, count in words_by_script(text).items() if script != home)


def count_unthought_answer(text: str, truth: Truth) -> int:
    """1 for an answer in tags or a box with fewer than five words and signs of thought before it, else 0."""
    answer = ANSWER_MARK.search(text)
    if answer is None:
        return 0
    thought = LEAD_IN.sub("", TAG.sub("", text[: answer.start()]))
    return int(len(WORD.findall(thought)) < MIN_THOUGHT_WORDS)


def count_loops(text: str, truth: Truth) -> int:
    """1 for a text that ends in eight repetitions of one string of up to 64 characters, else 0."""
    tail = text.rstrip()[-LOOP_TIMES * MAX_LOOP_CHARS :]
    periods = range(1, min(MAX_LOOP_CHARS, len(tail) // LOOP_TIMES) + 1)
    return int(any(tail[-LOOP_TIMES * period :] == tail[-period:] * LOOP_TIMES for period in periods))


BEHAVIOURS: dict[str, Probe] = {
    "verification": count_verification,
    "checks": count_checks,
    "backtracking": count_backtracking,
    "subgoals": count_subgoals,
    "backward_chaining": count_backward_chaining,
    "oat_keywords": count_oat_keywords,
    "orz_keywords": count_orz_keywords,
    "tries": count_tries,
    "repeated_tries": count_repeated_tries,
    "repeated_ngrams": count_repeated_ngrams,
    "foreign_words": count_foreign_words,
    "unthought_answer": count_unthought_answer,
    "loops": count_loops,
}


# What each count means, for a reader of curves who has not read the patterns.
MEANINGS: dict[str, str] = {
    "verification": "How often a completion checks something: checks announced in words (let me verify, does this "
    "hold), and checks.",
    "checks": "How often a result is held against the goal in writing: = 24 (too high), which equals the target.",
    "backtracking": "How often it changes course: in words (wait, let me try again), or a noticed miss that another "
    "try follows.",
    "subgoals": "How often it names a step or a goal on the way: first we find ..., step 2:, let us split this.",
    "backward_chaining": "How often it reasons from the goal: work backwards, to get 24 we need ..., 24 = 6 * 4 for "
    "the target 24.",
    "oat_keywords": "Reflection keywords, as Oat-Zero published them.",
    "orz_keywords": "Reflection keywords, as Open-Reasoner-Zero published them. Case counts.",
    "tries": "Clauses with a worked equation, such as 3 + 4 = 7.",
    "repeated_tries": "Lines with a worked equation that stood in an earlier line.",
    "repeated_ngrams": "Runs of six words or signs that came before in the same completion.",
    "foreign_words": "Words in another script than the prompt's.",
    "unthought_answer": "1 for an answer with fewer than five words and signs before it, else 0.",
    "loops": "1 for a completion that ends by repeating one string eight times or more, else 0.",
}


def count_behaviours(text: str, truth: Truth) -> dict[str, int]:
    """Every count by name."""
    return {name: count(text, truth) for name, count in BEHAVIOURS.items()}
