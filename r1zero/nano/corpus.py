"""The text that the embedded base model is pre-trained on.

Three kinds of document, all written by a program:

* worksheets: lines of arithmetic such as ``25 + 17 = 42``;
* drills: two numbers, a target, and the one step that reaches it;
* notebooks: a Countdown problem over three numbers and somebody's attempts at it, not selected for being right. Every
  notebook has an author with habits of their own: how long they go on, whether they compare a result with the target,
  whether they look ahead, whether they repeat themselves, how often they slip. Most authors stop early and answer with
  whatever they wrote last; few are careful *and* persistent.

A model of this text can compute, compare and finish a problem that is one step from done, but rarely solves one of
three numbers: a base for reinforcement learning to start from. Only problems of the training split appear, so the
held-out ones stay unseen.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from r1zero.prompts import NANO_TEMPLATE
from r1zero.tasks.countdown_problems import Problem, ProblemSpace, problem

MAX_VALUE = 200
SPACE = ProblemSpace(max_intermediate=MAX_VALUE)


@dataclass(frozen=True)
class Author:
    """Habits behind one notebook; each is a probability.

    Attributes:
        persist: Goes on after a miss instead of giving up.
        check: Compares a result with the target in writing. Without the comparison a hit goes unnoticed.
        look_ahead: Takes a second step that hits the target when there is one, instead of any.
        remember: Tries nothing twice.
        slip: Writes a wrong number for a result.
        trust: Answers after a hit, instead of trying on.
        finish: Writes an answer in the end, instead of stopping without one.
    """

    persist: float
    check: float
    look_ahead: float
    remember: float
    slip: float
    trust: float
    finish: float


def draw_author(rng: random.Random) -> Author:
    """A random author. Half are impatient, most skip checks now and then, one in four looks ahead at times."""
    return Author(
        persist=rng.choice([0.3, 0.5, 0.6, 0.8, 0.95]),
        check=rng.choice([0.3, 0.6, 0.9, 1.0]),
        look_ahead=rng.choice([0.0] * 6 + [0.5, 1.0]),
        remember=rng.choice([0.0, 0.0, 1.0]),
        slip=rng.choice([0.0] * 7 + [0.1]),
        trust=rng.choice([0.5, 0.9, 1.0]),
        finish=rng.choice([0.7, 0.9, 1.0]),
    )


@dataclass(frozen=True)
class Step:
    """``left op right = value``."""

    left: int
    op: str
    right: int
    value: int

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right} = {self.value}"


def steps_from(a: int, b: int) -> list[Step]:
    """Every step over ``a`` and ``b`` with a whole result in [1, MAX_VALUE], the larger number in front."""
    big, small = max(a, b), min(a, b)
    steps = [Step(big, "+", small, a + b), Step(big, "*", small, a * b)]
    if big > small:
        steps.append(Step(big, "-", small, big - small))
    if big % small == 0:
        steps.append(Step(big, "/", small, big // small))
    return [step for step in steps if step.value <= MAX_VALUE]


@dataclass(frozen=True)
class Attempt:
    """Two steps that use three numbers once each; ``result`` is what was written, right or not."""

    first: Step
    second: Step

    @property
    def result(self) -> int:
        """What was written behind the last equals sign."""
        return self.second.value

    @property
    def expression(self) -> str:
        """The attempt as one expression, e.g. ``( 3 + 4 ) * 5``."""
        inner = f"( {self.first.left} {self.first.op} {self.first.right} )"
        if self.second.left == self.first.value:
            return f"{inner} {self.second.op} {self.second.right}"
        return f"{self.second.left} {self.second.op} {inner}"


def slip_step(rng: random.Random, step: Step) -> Step:
    """``step`` with a wrong value near the right one."""
    wrong = min(MAX_VALUE, max(1, step.value + rng.choice([-10, -2, -1, 1, 2, 10])))
    return Step(step.left, step.op, step.right, wrong)


def draw_attempt(rng: random.Random, given: Problem, author: Author) -> Attempt:
    """One attempt at ``given`` in the manner of ``author``."""
    while True:
        a, b, c = rng.sample(given.nums, 3)
        options = steps_from(a, b)
        first = rng.choice(options)
        if rng.random() < author.slip:
            first = slip_step(rng, first)
        options = steps_from(first.value, c)
        if not options:
            continue
        hits = [step for step in options if step.value == given.target]
        second = rng.choice(hits if hits and rng.random() < author.look_ahead else options)
        if rng.random() < author.slip:
            second = slip_step(rng, second)
        return Attempt(first, second)


def draw_untried(rng: random.Random, given: Problem, author: Author, tried: set[Attempt]) -> Attempt:
    """An attempt; one that is not in ``tried`` if this author remembers and has not run out of ideas."""
    remembers = rng.random() < author.remember
    for _ in range(20):
        attempt = draw_attempt(rng, given, author)
        if not remembers or attempt not in tried:
            break
    return attempt


def compare(result: int, target: int) -> str:
    """The written comparison of a result with the target."""
    if result == target:
        return "(yes)"
    return "(too low)" if result < target else "(too high)"


def notebook(rng: random.Random, given: Problem, author: Author, max_attempts: int = 18) -> str:
    """The problem, the author's attempts at it, and usually an answer, right or wrong."""
    lines = []
    tried: set[Attempt] = set()
    for _ in range(max_attempts):
        attempt = draw_untried(rng, given, author, tried)
        tried.add(attempt)
        verdict = compare(attempt.result, given.target) if rng.random() < author.check else ""
        lines.append(f"{attempt.first} , {attempt.second} {verdict}".rstrip())
        if rng.random() >= (1 - author.trust if verdict == "(yes)" else author.persist):
            break
    text = NANO_TEMPLATE.format(nums=" ".join(map(str, given.nums)), target=given.target) + "\n".join(lines)
    if rng.random() < author.finish:
        text += f"\n</think> <answer> {attempt.expression} </answer>"
    return text


def exercise(rng: random.Random) -> Step:
    """One step over numbers that notebooks can meet."""
    while True:
        options = steps_from(rng.randint(1, MAX_VALUE), rng.randint(SPACE.number_min, SPACE.number_max))
        if options:
            return rng.choice(options)


def worksheet(rng: random.Random, num_lines: int = 12) -> str:
    """Lines of arithmetic."""
    return "\n".join(str(exercise(rng)) for _ in range(num_lines))


def drill(rng: random.Random, num_problems: int = 8) -> str:
    """Two numbers in either order and a target that is one step away, solved, several times."""
    solved = []
    for _ in range(num_problems):
        step = exercise(rng)
        first, second = rng.sample([step.left, step.right], 2)
        solved.append(f"Numbers: {first} {second} Target: {step.value}\n{step} (yes)")
    return "\n".join(solved)


def documents(seed: int, worksheet_share: float, drill_share: float) -> Iterator[str]:
    """Endless documents; the shares, in [0, 1], of worksheets and drills, the rest being notebooks."""
    rng = random.Random(f"corpus/{seed}")
    index = 0
    while True:
        kind = rng.random()
        if kind < worksheet_share:
            yield worksheet(rng)
        elif kind < worksheet_share + drill_share:
            yield drill(rng)
        else:
            given = problem(seed, "train", index, SPACE)
            index += 1
            yield notebook(rng, given, draw_author(rng))
