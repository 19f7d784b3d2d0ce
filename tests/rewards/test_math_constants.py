"""Constant answers: what a model could always write is paid by no gold but those that are that constant."""

import json
from functools import cache
from pathlib import Path

import pytest

from rewards import Outcome
from rewards.math_answer import Policy, canonical_answer, grade

DATA = Path(__file__).parents[1] / "data" / "math_answers.jsonl"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# 40 of them: numbers, structures, statements, letters and words.
CONSTANTS = (
    r"0 1 -1 2 10 100 0:0 1:1 0:0:0 0=0 1=1 0=1 1=2 x=x \{\} () [] \emptyset x n i e \infty \pi (0,0) (-\infty,\infty) "
    r"\mathbb{R} 12:00 0\% \pm1 0x \sqrt{0} \ldots ? yes no A B true undefined"
).split()
# Two forms of one thing that have different canonical forms, as (constant, gold).
SAME = {
    ("1", r"\log_{7}(7)=1"),
    ("-1", r"\text{cis}\,\pi"),
    ("(0,0)", r"\begin{pmatrix}0\\0\end{pmatrix}"),
    ("B", r"\text{B. 15}"),
    ("B", "(B) 15"),
}


@cache
def golds() -> tuple[str, ...]:
    """Every gold that the repository ships, and those of the shared files where they lie beside it."""
    found = {json.loads(line)["gold"] for line in DATA.read_text(encoding="utf-8").splitlines()}
    for name in ("math_cases.jsonl", "math_cases_2.jsonl"):
        if (SHARED / name).is_file():
            found |= {json.loads(line)["gold"] for line in (SHARED / name).read_text(encoding="utf-8").splitlines()}
    if (SHARED / "gsm8k_test.jsonl").is_file():
        lines = (SHARED / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()
        found |= {json.loads(line)["answer"].rpartition("#### ")[2] for line in lines}
    return tuple(sorted(gold for gold in found if len(gold) <= 2_000))


def is_constant(gold: str, constant: str, policy: Policy) -> bool:
    """Whether the gold says what the constant says; with an optional percent sign, also up to the sign."""
    if canonical_answer(rf"\boxed{{{gold}}}") == canonical_answer(rf"\boxed{{{constant}}}"):
        return True
    return (constant, gold) in SAME or (policy.percent_sign_optional and gold.strip("$") == rf"{constant}\%")


def test_there_are_forty() -> None:
    assert len(set(CONSTANTS)) == 40
    assert len(golds()) > 300


@pytest.mark.parametrize("policy", [Policy(), Policy(percent_sign_optional=True)], ids=["default", "percent"])
@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_constant_pays_only_itself(constant: str, policy: Policy) -> None:
    paid = [gold for gold in golds() if grade(gold, rf"\boxed{{{constant}}}", policy).outcome is Outcome.CORRECT]
    assert [gold for gold in paid if not is_constant(gold, constant, policy)] == []
