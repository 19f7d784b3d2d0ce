"""Whether two expressions have the same value: exact arithmetic, then values at fixed points, then sympy.

The points are positive and the branches principal, so ``\\sqrt{x^2}`` and ``x`` count as equal; where ``|..|`` occurs,
negative points are looked at too. Equality means 40 digits at two points, for constants 120, and more where numbers
of very different size meet, so that a small difference is not lost beside a large term.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction

from rewards.math_answer.evaluate import (
    PRIMES,
    NotExactError,
    NoValueError,
    canonical,
    exact,
    holds,
    modular,
    symbols,
    undone,
)
from rewards.math_answer.nodes import Node
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.policy import Reason
from rewards.math_answer.probe import in_double, point, with_digits

# Asks sympy whether two trees are equal, in another process: SYMPY, DIFFERS, or why there is no answer.
Prove = Callable[[Node, Node], Reason]

CLEAR_DIFFERENCE = 1e-8
MAX_DIGITS = 1_500
_STRUCTURE = frozenset(
    """list set bracket matrix cases ratio clock base rel alts cup cap setminus builder reals empty unit name pm
    mp""".split()
)


def is_scalar(node: Node) -> bool:
    """Whether the tree is one value, with or without symbols."""
    if node.op in ("call", "big"):
        return True
    return node.op not in _STRUCTURE and all(map(is_scalar, node.args))


def is_plain_arithmetic(node: Node) -> bool:
    r"""Whether it is a sum or product of written numbers: ``17\times24``; not ``2^{10}``, not 3/4, not 2.5e3."""
    if holds(node, "pow", "root", "fact", "binom", "sym", "const", "fn", "abs", "call", "big", "pct"):
        return False
    if node.op == "mul" and node.value == "frac":
        return any(is_plain_arithmetic(arg.args[0] if arg.op == "inv" else arg) for arg in node.args)
    if node.op == "mul":
        plain = [arg for arg in node.args if arg.op != "inv" and arg != Node("num", (), Fraction(-1))]
        divided = [arg.args[0] for arg in node.args if arg.op == "inv"]
        if len(plain) == 1 and len(divided) <= 1:
            return any(map(is_plain_arithmetic, plain + divided))
        return True
    return node.op == "add" or any(map(is_plain_arithmetic, node.args))


def equal(gold: Node, pred: Node, prove: Prove) -> Reason:
    """STRING, EXACT, PROBE or SYMPY when the two are equal, otherwise why not."""
    if gold == pred or canonical(gold) == canonical(pred):
        return Reason.STRING
    if _infinite(gold) or _infinite(pred):
        return Reason.EXACT if _infinite(gold) == _infinite(pred) else Reason.DIFFERS
    if _INFINITY in canonical(gold) + canonical(pred):
        return Reason.DIFFERS  # 1^\infty and the like are limits to take, not values
    if undone(pred) - undone(gold):
        return Reason.UNEVALUATED
    gold_names, pred_names = symbols(gold), symbols(pred)
    if pred_names - gold_names:
        return Reason.DIFFERS
    if not gold_names and not pred_names:
        reason = _exactly(gold, pred)
        if reason is not None:
            return reason
    return _probe(gold, pred, gold_names | pred_names, prove)


def _infinite(node: Node) -> int:
    """1 or -1 for plus or minus infinity, else 0."""
    if node.op == "neg":
        return -_infinite(node.args[0])
    return int(node == Node("const", (), "inf"))


_INFINITY = canonical(Node("const", (), "inf"))


def _exactly(gold: Node, pred: Node) -> Reason | None:
    """What rational arithmetic decides; None when a value is irrational."""
    values: list[Fraction | None] = []
    big = 0
    for node in (gold, pred):
        try:
            values.append(exact(node))
        except NotExactError:
            values.append(None)
        except NoValueError:
            return Reason.DIFFERS
        except TooBigError:
            values.append(None)
            big += 1
    if None not in values:
        return Reason.EXACT if values[0] == values[1] else Reason.DIFFERS
    if big == 2:
        try:
            same = all(modular(gold, prime) == modular(pred, prime) for prime in PRIMES)
        except (NotExactError, NoValueError, TooBigError):
            return Reason.TOO_BIG
        return Reason.PROBE if same else Reason.DIFFERS
    return Reason.TOO_BIG if big else None


def _probe(gold: Node, pred: Node, names: frozenset[str], prove: Prove) -> Reason:
    """What values at fixed points decide, first in double precision, then to many digits; else what sympy says."""
    both = (gold, pred)
    decided = False
    for index in range(3 if names else 1):
        try:
            (left, right), largest = in_double(point(names, index), both)
        except NoValueError:
            continue
        if abs(left - right) > CLEAR_DIFFERENCE * max(abs(left), abs(right), largest):
            return Reason.DIFFERS
    points = [point(names, 10), point(names, 11)] if names else [{}]
    if names and (holds(gold, "abs") or holds(pred, "abs")):
        points.append(point(names, 12, negative=True))
    try:
        for at in points:
            if not _same_digits(both, at, 40 if names else 120):
                return Reason.DIFFERS
            decided = True
    except TooBigError:
        return Reason.TOO_BIG
    except NoValueError:
        decided = False
    return Reason.PROBE if decided else prove(gold, pred)


def _same_digits(both: tuple[Node, Node], at: Mapping[str, Fraction], digits: int) -> bool:
    """Whether two values agree to ``digits`` digits beyond the spread of the numbers that were met on the way."""
    (left, right), largest, spread = with_digits(40, at, both)
    if abs(left - right) > max(abs(left), abs(right), largest) * 1e-30:
        return False
    needed = digits + int(2 * spread)
    if needed > 45:
        if needed > MAX_DIGITS:
            raise TooBigError
        (left, right), largest, spread = with_digits(needed, at, both)
    scale = max(abs(left), abs(right), largest)
    return bool(abs(left - right) <= scale * left.context.mpf(10) ** -(needed - 10 - int(spread)))
