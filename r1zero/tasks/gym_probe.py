"""What answers that ignore the problem earn on a data set of reasoning-gym, and how the data set is judged therefore.

Some of the library's scores can be had for nothing: for any text, for an empty board, for a number near the right one.
So a data set is tried with constant answers, parts of the question, and golds of other problems. It runs where the
problems are made (``gym_problems``), which imports neither torch nor transformers.
"""

import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rewards.gym_answer import Rule, paid, same, score

Entry = dict[str, Any]

PROBED = 20  # problems for every answer
CLOSE_PROBED = 400  # and for those answers whose mean is near what is allowed, where 20 decide by luck
CLOSE = (0.03, 0.75)
WRONGLY_FULL = 0.05  # share of problems: where several answers are right, one may be right now and then
# Fewer in all where a problem takes 5 ms to 3 s. Counts, not a time limit, so that all machines and ranks judge alike.
SLOW = {
    "advanced_geometry": 20,
    "codeio": 20,
    "countdown": 20,
    "figlet_font": 60,
    "futoshiki": 4,
    "game_of_life": 200,
    "game_of_life_halting": 60,
    "intermediate_integration": 4,
    "jugs": 100,
    "knight_swap": 4,
    "mahjong_puzzle": 60,
    "polynomial_equations": 40,
    "puzzle24": 20,
    "quantum_lock": 20,
    "rearc": 200,
    "rubiks_cube": 10,
    "rush_hour": 20,
    "simple_equations": 80,
    "simple_integration": 4,
    "sokoban": 10,
    "sudoku": 10,
    "zebra_puzzles": 20,
}
# Several answers are right, so one that differs from the gold is not wrong for it.
NOT_UNIQUE = frozenset(
    "countdown cryptarithm group_anagrams intermediate_integration jugs knight_swap letter_jumble n_queens "
    "palindrome_generation puzzle24 quantum_lock shortest_path simple_integration sokoban tower_of_hanoi "
    "word_ladder".split()
)
PROBE_SEED = 1 << 29  # a seed of its own: what is allowed does not depend on the rows

CONSTANTS = (
    *("0", "1", "2", "3", "4", "5", "6", "8", "10", "12", "24", "42", "100", "-1", "0.5", "1/2", "0 1 2 3 4 5 6 7 8 9"),
    *("yes", "no", "True", "False", "True False", "None", "A", "B", "x", ".", "()", "[]", "{}", "[[]]", "[0]", '""'),
    *("00:00", "0 0\n0 0", "Saturday", "(10 - 4) * 4 * 1", "I do not know"),
)
EMPTY = ""  # no completion gets as far as the scorer with it, but a scorer that pays it pays for nothing

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_GRID = re.compile(r"(?:^[ \t]*\[*[ \t]*[-\d.][-\d., \t]*\]*,?[ \t]*(?:\n|$))+", re.MULTILINE)


def first_line(entry: Entry) -> str:
    """The first line of the question."""
    return entry["question"].strip().partition("\n")[0]


def last_line(entry: Entry) -> str:
    """The last line of the question."""
    return entry["question"].strip().rpartition("\n")[2]


def last_word(entry: Entry) -> str:
    """The last word of the question."""
    return (entry["question"].split() or [EMPTY])[-1]


def first_number(entry: Entry) -> str:
    """The first number in the question."""
    return next(iter(_NUMBER.findall(entry["question"])), EMPTY)


def last_number(entry: Entry) -> str:
    """The last number in the question."""
    return next(reversed(_NUMBER.findall(entry["question"])), EMPTY)


def last_grid(entry: Entry) -> str:
    """The last lines of numbers in the question, such as a matrix or a board."""
    return next(reversed(_GRID.findall(entry["question"])), EMPTY).strip()


def zeroed(entry: Entry) -> str:
    """The gold with a 0 for every digit, if it has several: its form without content, such as a board without life."""
    gold = str(entry["answer"])
    return re.sub(r"\d", "0", gold) if len(re.findall(r"\d", gold)) > 1 else EMPTY


def whole_question(entry: Entry) -> str:
    """The question."""
    return entry["question"]


COPIES = (whole_question, first_line, last_line, last_word, first_number, last_number, last_grid, zeroed)


@dataclass(frozen=True)
class Tally:
    """What one answer got on each problem: the library's score (0 when it raised), and whether it equals the gold."""

    scores: tuple[float, ...]
    equal: tuple[bool, ...]

    def mean(self, rule: Rule) -> float:
        """What the answer earns on average under ``rule``."""
        return statistics.fmean(self.earned(rule))

    def upper(self, rule: Rule) -> float:
        """The mean and its standard error: what few problems may have missed counts against a data set."""
        earned = self.earned(rule)
        return statistics.fmean(earned) + statistics.pstdev(earned) / math.sqrt(len(earned))

    def earned(self, rule: Rule) -> list[float]:
        """What the answer earns on each problem under ``rule``."""
        return [paid(score, equal, rule) for score, equal in zip(self.scores, self.equal, strict=True)]

    @property
    def wrongly_full(self) -> float:
        """The share of problems on which the answer has the full score and is not the gold; 0 for a single problem."""
        wrong = sum(score == 1.0 and not equal for score, equal in zip(self.scores, self.equal, strict=True))
        return wrong / len(self.scores) if wrong > 1 else 0.0

    @property
    def is_close(self) -> bool:
        """Whether few problems do not decide what the answer earns."""
        return any(CLOSE[0] < self.mean(rule) < CLOSE[1] for rule in (Rule("partial"), Rule("full")))


@dataclass(frozen=True)
class Probe:
    """How a data set is judged, and why.

    Attributes:
        rule: The most lenient rule under which every answer of the list earns at most ``max_floor``, its standard error
            included; if there is none, the rule under which they earn least.
        best, floor: The listed answer with the largest mean of the library's scores, and that mean.
        best_paid, paid, upper: The answer that earns most under ``rule``, how much on average, and that with its
            standard error.
        wrongly_full: An answer that has the full score again and again without being the gold; empty if there is none.
        has_gold: Whether the library scores its own answers as right.
        seconds: Time to make one problem.
    """

    rule: Rule
    best: str
    floor: float
    best_paid: str
    paid: float
    upper: float
    wrongly_full: str
    has_gold: bool
    seconds: float


def probe(problem: Callable[[int], Entry], scorer: Any, dataset: str, max_floor: float) -> Probe:
    """Tries the listed answers on the first problems of ``problem(index)``."""
    started = time.perf_counter()
    entries = [problem(index) for index in range(SLOW.get(dataset, PROBED))]
    seconds = (time.perf_counter() - started) / len(entries)
    with_gold = [entry for entry in entries if entry["answer"] is not None]
    right = sum(safe_score(scorer, dataset, str(entry["answer"]), entry) == 1.0 for entry in with_gold)
    has_gold = right > len(entries) / 2
    answers = answers_of(entries)
    tallies = {name: tally(answer, entries, scorer, dataset) for name, answer in answers.items()}
    if dataset not in SLOW:
        close = [name for name, found in tallies.items() if found.is_close]
        if close:
            entries += [problem(index) for index in range(len(entries), CLOSE_PROBED)]
            tallies |= {name: tally(answers[name], entries, scorer, dataset) for name in close}
    return decide(tallies, has_gold, dataset not in NOT_UNIQUE, max_floor, seconds)


def answers_of(entries: Sequence[Entry]) -> dict[str, Callable[[Entry], str]]:
    """The answers that are tried, by name; each is a function of the problem."""
    answers: dict[str, Callable[[Entry], str]] = {repr(text): partial(constant, text) for text in (EMPTY, *CONSTANTS)}
    answers |= {copy.__name__.replace("_", " "): copy for copy in COPIES}
    golds = [str(entry["answer"]) for entry in entries if entry["answer"] is not None]
    for gold, _ in Counter(golds).most_common(2):
        source = next(entry for entry in entries if str(entry["answer"]) == gold)
        answers[f"{gold!r}, a gold"] = partial(gold_of, source)
    return answers


def constant(text: str, entry: Entry) -> str:
    """``text``, whatever the problem."""
    return text


def gold_of(source: Entry, entry: Entry) -> str:
    """The gold of ``source``, for every other problem."""
    return EMPTY if entry is source else str(source["answer"])


def tally(answer: Callable[[Entry], str], entries: Sequence[Entry], scorer: Any, dataset: str) -> Tally:
    """What ``answer`` gets on ``entries``."""
    texts = [answer(entry) for entry in entries]
    return Tally(
        scores=tuple(safe_score(scorer, dataset, text, entry) for text, entry in zip(texts, entries, strict=True)),
        equal=tuple(same(text, str(entry["answer"])) for text, entry in zip(texts, entries, strict=True)),
    )


def safe_score(scorer: Any, dataset: str, answer: str, entry: Entry) -> float:
    """The score of ``answer``; 0 when scoring raises: such a text earns nothing in training either."""
    try:
        return score(scorer, dataset, answer, entry)
    except MemoryError:  # of the machine, and no matter of the text
        raise
    except Exception:  # a hundred scoring functions, which raise whatever a text that is no answer leads to
        return 0.0


def decide(tallies: dict[str, Tally], has_gold: bool, unique: bool, max_floor: float, seconds: float) -> Probe:
    """The rule that the tallies of the listed answers leave; ``unique``: the gold is the only right answer."""
    best = max(tallies, key=lambda name: tallies[name].mean(Rule("partial")))
    floor = min(tallies[best].mean(Rule("partial")), 1.0)
    fooled = max(tallies, key=lambda name: tallies[name].wrongly_full)
    wrongly_full = fooled if unique and tallies[fooled].wrongly_full > WRONGLY_FULL else ""
    rules = [Rule("strict")] if wrongly_full and has_gold else [Rule("partial", floor), Rule("full")]
    earned = {rule: max((found.upper(rule), name) for name, found in tallies.items()) for rule in rules}
    rule = next((rule for rule in rules if earned[rule][0] <= max_floor), min(rules, key=lambda rule: earned[rule][0]))
    upper, best_paid = earned[rule]
    return Probe(rule, best, floor, best_paid, tallies[best_paid].mean(rule), upper, wrongly_full, has_gold, seconds)
