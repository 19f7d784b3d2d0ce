"""What holds for every answer: reflexive, symmetric, the same anywhere, sensitive to each digit, always an end."""

import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards import Outcome
from rewards.math_answer import check_gold, grade
from rewards.math_answer.grade import _judged, judge_answer, read

ROOT = Path(__file__).resolve().parents[2]
LIMITS = settings(max_examples=150, deadline=None, derandomize=True)

integers = st.integers(-(10**6), 10**6).map(str)
decimals = st.decimals(-1000, 1000, places=3).map(str)
fractions = st.builds(lambda a, b: rf"\frac{{{a}}}{{{b}}}", st.integers(-99, 99), st.integers(1, 99))
radicals = st.builds(lambda a, b: rf"{a}\sqrt{{{b}}}", st.integers(2, 30), st.integers(2, 99))
polynomials = st.builds(
    lambda a, b, x: f"{a}{x}^2-{b}{x}+{a}", st.integers(2, 99), st.integers(2, 99), st.sampled_from("xyt")
)
scalars = st.one_of(integers, decimals, fractions, radicals, polynomials)
sets = st.lists(integers, min_size=2, max_size=5, unique=True).map(lambda items: rf"\{{{', '.join(items)}\}}")
tuples = st.lists(integers, min_size=2, max_size=4).map(lambda items: f"({', '.join(items)})")
intervals = st.builds(
    lambda a, b, left, right: f"{left}{a},{a + b}{right}",
    st.integers(-99, 99),
    st.integers(1, 99),
    st.sampled_from("(["),
    st.sampled_from(")]"),
)
golds = st.one_of(scalars, sets, tuples, intervals)
snippets = st.sampled_from(
    r"""\boxed{ } { \frac \sqrt ( ) [ ] \{ \} | ^ _ ! % $ \$ , ; \text{ and or 1 23 4.5 x pi \pi \infty \pm = < \le \cup
    \in \sum \int \lim \begin{pmatrix} \end{pmatrix} & \\ \left \right \circ \overline \log \sin 9^ <think> </think>
    <answer> </answer> #### ⁵ √ ½ \binom \angle : / * - + e i f( ' \ldots \max \mathbb{R} \mathrm{ cm \,""".split()
)
TEMPLATES = (
    "{}",
    "So it is ${}$.",
    "<think>\nfirst 1, then \\boxed{{3}}\n</think>\n\n**Answer:** {}",
    "Working:\n1. a\n2. b\n\\[{}\\]\nDone. I hope it is correct.",
    "\\boxed{{999}} no, wrong: {}\n\n---\n**Check:** $2+2=4$",
)


def paid(gold: str, response: str) -> bool:
    return grade(gold, response).outcome is Outcome.CORRECT


@LIMITS
@given(golds)
def test_reflexive_under_any_template(gold: str) -> None:
    for template in TEMPLATES:
        assert paid(gold, template.format(rf"\boxed{{{gold}}}")), template


@LIMITS
@given(st.one_of(golds, st.text(max_size=30)), st.one_of(golds, st.text(max_size=30)))
def test_symmetric_for_scalars_and_sets(one: str, other: str) -> None:
    usable = all(check_gold(text) is None and read(text).tree is not None for text in (one, other))
    if usable and not any(sign in text for text in (one, other) for sign in "=<>"):
        forth, back = judge_answer(one, other).outcome, judge_answer(other, one).outcome
        assert (forth is Outcome.CORRECT) == (back is Outcome.CORRECT)


@LIMITS
@given(golds, st.randoms(use_true_random=False))
def test_one_digit_changed_is_wrong(gold: str, rng: random.Random) -> None:
    """A digit of value: not a zero that pads, and not the last of several equal ones in a set."""
    at = rng.choice([found.start() for found in re.finditer("[0-9]", gold)])
    changed = gold[:at] + rng.choice([digit for digit in "123456789" if digit != gold[at]]) + gold[at + 1 :]
    if gold.startswith((r"\frac{0}", r"-\frac{0}")) or changed.startswith(r"\frac{0}"):
        return  # 0/3 and 0/4 are one number
    assert not paid(gold, rf"\boxed{{{changed}}}")


@LIMITS
@given(golds)
def test_sign_or_bracket_changed_is_wrong(gold: str) -> None:
    if gold not in ("0",) and not re.fullmatch(r"-?0\.0+|\\frac\{0\}.*", gold):
        flipped = gold[1:] if gold.startswith("-") else "-" + gold
        assert not paid(gold, rf"\boxed{{{flipped}}}")
    swapped = {"(": "[", "[": "(", ")": "]", "]": ")"}
    for at, char in enumerate(gold):
        if char in swapped:
            changed = gold[:at] + swapped[char] + gold[at + 1 :]
            assert not paid(gold, rf"\boxed{{{changed}}}")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(snippets, max_size=40).map("".join),
        st.lists(snippets, max_size=40).map(" ".join),
    )
)
def test_any_text_ends_in_a_verdict(text: str) -> None:
    """As an answer, as a whole response and as a gold; none of them may be paid for the number 123457."""
    for response in (text, rf"\boxed{{{text}}}"):
        assert not paid("123457", response)
    check_gold(text)


@pytest.mark.parametrize(
    "char", ["\ud800", "①", "٣", "\x00", "\u202e", "²", "ⅷ", "𝟓", "\U0010ffff", "ß", "İ", "ﬁ", "½", "₅"]
)
def test_odd_characters_end_in_a_verdict(char: str) -> None:
    for frame in (
        "{}",
        "x_{}",
        "x_{{{}}}",
        r"2\frac{{{}}}{{3}}",
        r"\frac{}3",
        "1{}",
        "{}1",
        "5_{}",
        r"0.\overline{{{}}}",
        "7 {}/4",
        "f'{}(x)",
    ):
        for text in (frame.format(char), rf"\boxed{{{frame.format(char)}}}+x"):
            assert not paid("123457", text)
            check_gold(text)
            grade(text, rf"\boxed{{{text}+y}}")


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "{",
        "}",
        "\\",
        "$",
        "(",
        "-",
        "1",
        ",",
        "!",
        "^",
        " ",
        "\n",
        "\\boxed{",
        "\\boxed{1},",
        "\\text{",
        "**",
        "x = ",
        "é",
        "\\(",
        "\\[",
    ],
)
def test_a_megabyte_of_one_thing_ends(unit: str) -> None:
    """That it takes milliseconds is checked by benchmarks.math_judge."""
    for size in (1_900, 15_900, 1_000_000):  # parsed; looked at as a whole; searched only
        for frame in ("{}", "\\boxed{{{}}}", "<answer>{}</answer>", "The answer is {}"):
            assert not paid("7", frame.format(unit * (size // len(unit))))


MIXED = [
    ("5", r"\boxed{5}"),
    (r"\frac{1}{2}", "0.5"),
    ("x^2-1", r"\boxed{(x-1)(x+1)}"),
    (r"\sqrt{7-4\sqrt{3}}", r"\boxed{2-\sqrt{3}}"),
    (r"\sin(x+\frac{\pi}{2})", r"\boxed{\cos x}"),
    (r"\lfloor x\rfloor+1", r"\boxed{\lfloor x+1\rfloor}"),
    ("5", r"\boxed{9^{9^{9^9}}}"),
    ("(1,2)", r"\boxed{(2,1)}"),
    ("5", r"\boxed{\text{5 or more}}"),
]


def test_same_verdict_in_any_thread_and_order() -> None:
    expected = [grade(*pair).outcome for pair in MIXED]
    rng = random.Random(0)
    jobs = [(index, f"attempt {turn}: ") for turn in range(40) for index in range(len(MIXED))]
    rng.shuffle(jobs)

    def judge(job: tuple[int, str]) -> bool:
        index, lead = job
        _judged.cache_clear()
        gold, response = MIXED[index]
        return grade(gold, lead + response if "boxed" in response else response).outcome is expected[index]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(judge, jobs))


def test_same_verdict_in_eight_processes_at_once() -> None:
    program = f"from rewards.math_answer import grade; print([grade(g, r).outcome.name for g, r in {MIXED!r}])"
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    expected = str([grade(*pair).outcome.name for pair in MIXED])
    assert {process.communicate(timeout=60)[0].strip() for process in running} == {expected}
