"""The last step: sympy decides what values at points cannot. It runs in worker processes (`rewards.pool`) only.

A sympy object is built from our tree, node by node; no text of a model or a data set ever reaches a sympy parser.
sympy is imported when the first object is built, so that importing the judge stays cheap.
"""

from fractions import Fraction
from typing import Any

from rewards.math_answer.nodes import Node
from rewards.math_answer.policy import Reason
from rewards.pool import Pool, Status

WORKERS = 2
MEMORY_MB = 2048
_POOL = Pool("rewards.math_answer.symbolic:prove_encoded", preload=("sympy",), size=WORKERS, memory_mb=MEMORY_MB)

Encoded = list[Any]


def prove(gold: Node, pred: Node, deadline_s: float) -> Reason:
    """SYMPY when the two are provably equal, DIFFERS when they are not; otherwise why there is no answer."""
    result = _POOL.call([encode(gold), encode(pred)], deadline_s)
    if result.status is Status.OK:
        return Reason.SYMPY if result.value is True else Reason.DIFFERS
    if result.status is Status.TIMEOUT:
        return Reason.TIMEOUT
    if result.status is Status.CRASH:
        return Reason.TOO_BIG
    if result.status is Status.ERROR:
        return Reason.DIFFERS  # sympy cannot work with this input, so nothing shows that it is equal
    return Reason.NO_WORKER


def warm_up(deadline_s: float = 30.0) -> bool:
    """Start a worker ahead of the first question; whether one answered."""
    one = encode(Node("num", (), Fraction(1)))
    return _POOL.call([one, one], deadline_s).status is Status.OK


def encode(node: Node) -> Encoded:
    """The tree as JSON can carry it; numbers in hexadecimal, which has no limit on digits and is linear to read."""
    value: Any = node.value
    if isinstance(value, Fraction):
        value = [hex(value.numerator), hex(value.denominator)]
    return [node.op, [encode(arg) for arg in node.args], value]


def prove_encoded(pair: list[Encoded]) -> bool:
    """Whether sympy finds the difference of the two trees to be zero. Called in a worker."""
    import sympy

    left, right = (build(encoded) for encoded in pair)
    if sympy.nan in (left, right) or sympy.zoo in (left, right):
        return False
    difference = left - right
    return bool(difference == 0 or sympy.simplify(difference) == 0 or difference.equals(0) is True)


def build(encoded: Encoded) -> Any:
    """The sympy object of an encoded tree."""
    import sympy

    op, children, value = encoded
    if op == "num":
        return sympy.Rational(int(value[0], 16), int(value[1], 16))
    if op == "const":
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}[value]
    if op == "sym":
        return sympy.Symbol(value)
    args = [build(child) for child in children]
    simple: dict[str, Any] = {
        "add": sympy.Add,
        "mul": sympy.Mul,
        "pow": sympy.Pow,
        "root": sympy.root,
        "neg": lambda x: -x,
        "inv": lambda x: 1 / x,
        "abs": sympy.Abs,
        "fact": sympy.factorial,
        "binom": sympy.binomial,
        "deg": lambda x: x * sympy.pi / 180,
        "pct": lambda x: x / 100,
    }
    if op in simple:
        return simple[op](*args)
    if op in ("call", "big", "name"):
        return sympy.Function(f"{op}:{value}")(*args) if args else sympy.Symbol(f"{op}:{value}")
    if op == "fn":
        return function(value, args)
    raise ValueError(f"{op}: not a value")


def function(name: str, args: list[Any]) -> Any:
    """A named function of sympy; ``\\log`` without a base has one that is not known."""
    import sympy

    if name in ("log", "lg"):
        base = args[1] if len(args) == 2 else sympy.Integer(10) if name == "lg" else sympy.Symbol("log-base")
        return sympy.log(args[0]) / sympy.log(base)
    names = {"ln": "log", "floor": "floor", "ceil": "ceiling"}
    return getattr(sympy, names.get(name, name.replace("arc", "a")))(args[0])
