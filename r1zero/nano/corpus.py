"""The text that the embedded base model is pre-trained on.

Two kinds of document, both written by a program and neither selected for being right:

* worksheets: lines of arithmetic such as ``17 + 25 = 42``;
* notebooks: a Countdown problem and somebody's attempts at it. Every notebook has an author with habits of
  their own: how long they go on, whether they compare a result with the target, whether they look ahead, how often
  they slip. Most authors stop early and answer with whatever they wrote last; few are careful *and* persistent.

A model of this text can compute and compare but rarely solves anything: a base for reinforcement learning to start
from. Only problems of the training split appear, so the held-out ones stay unseen.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from r1zero.config.templates import TEMPLATES
from r1zero.tasks.countdown_problems import Problem, ProblemSpace, problem

MAX_VALUE = 200
SPACE = ProblemSpace(max_intermediate=MAX_VALUE)


@dataclass(frozen=True)
class Author:
    """Habits behind one notebook; each is a probability.

    Attributes:
        persist: Goes on after a miss instead of giving up.
        check: Compares a result with the target in writing. Without the comparison a hit goes unnoticed.
        look_ahead: Picks the second step that lands nearest the target, instead of any.
        slip: Writes a wrong number for a result.
        trust: Answers after a hit, instead of trying on.
        finish: Writes an answer in the end, instead of stopping without one.
    """

    persist: float
    check: float
    look_ahead: float
    slip: float
    trust: float
    finish: float


def draw_author(rng: random.Random) -> Author:
    """A random author. Half of them are impatient, half skip checks now and then, one in eight looks ahead."""
    return Author(
        persist=rng.choice([0.3, 0.5, 0.6, 0.8, 0.95]),
        check=rng.choice([0.3, 0.6, 0.9, 1.0]),
        look_ahead=rng.choice([0.0] * 6 + [0.5, 1.0]),
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
    """Every step over ``a`` and ``b`` with a whole result in [1, MAX_VALUE]."""
    big, small = max(a, b), min(a, b)
    steps = [Step(a, "+", b, a + b), Step(a, "*", b, a * b)]
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
        second = rng.choice(options)
        if rng.random() < author.look_ahead:
            second = min(options, key=lambda step: abs(step.value - given.target))
        if rng.random() < author.slip:
            second = slip_step(rng, second)
        return Attempt(first, second)


def compare(result: int, target: int) -> str:
    """The written comparison of a result with the target."""
    if result == target:
        return "(yes)"
    return "(too low)" if result < target else "(too high)"


def notebook(rng: random.Random, given: Problem, author: Author, max_attempts: int = 18) -> str:
    """The problem, the author's attempts at it, and usually an answer, right or wrong."""
    lines = []
    for _ in range(max_attempts):
        attempt = draw_attempt(rng, given, author)
        verdict = compare(attempt.result, given.target) if rng.random() < author.check else ""
        lines.append(f"{attempt.first} , {attempt.second} {verdict}".rstrip())
        if rng.random() >= (1 - author.trust if verdict == "(yes)" else author.persist):
            break
    template = TEMPLATES["nano"]
    text = template.text.format(question=given.compact) + template.prefill + "\n".join(lines)
    if rng.random() < author.finish:
        text += f"\n</think> <answer> {attempt.expression} </answer>"
    return text


def worksheet(rng: random.Random, num_lines: int = 12) -> str:
    """Lines of arithmetic over the numbers that notebooks can meet."""
    lines: list[str] = []
    while len(lines) < num_lines:
        options = steps_from(rng.randint(1, MAX_VALUE), rng.randint(SPACE.number_min, SPACE.number_max))
        if options:
            lines.append(str(rng.choice(options)))
    return "\n".join(lines)


def documents(seed: int, worksheet_share: float) -> Iterator[str]:
    """Endless documents; ``worksheet_share`` in [0, 1] of them are worksheets."""
    rng = random.Random(f"corpus/{seed}")
    index = 0
    while True:
        if rng.random() < worksheet_share:
            yield worksheet(rng)
        else:
            given = problem(seed, "train", index, SPACE)
            index += 1
            yield notebook(rng, given, draw_author(rng))
