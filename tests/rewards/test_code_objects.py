"""Objects that stay in the program's process: what a test may do with them, and what they cannot decide."""
# ruff: noqa: E501  (a program and its test stand on one line each)

import pytest
from code_verdicts import judge

from rewards import Outcome
from sandbox import Sandbox

LIES = """
class A:
    def __init__(self, x=None): pass
    def __getattr__(self, name): return lambda *given: {answer}
    {names} = lambda *given: {answer}
{function}
"""
DECIDED = [
    ("assert f('ab').startswith('a')", "True"),
    ("assert f([1]).issubset({1, 2})", "True"),
    ("assert f(2).count(5) == f(3).index(7)", "0"),
    ("assert abs(f(2) - 1.41421) < 1e-3", "0.0"),
    ("assert 3 in f(2)", "True"),
    ("assert f(2) < 7", "True"),
    ("assert f(2) == f(3)", "True"),
    ("assert f(2).equals([1, 2])", "True"),
    ("assert f('x').strip('y').isupper()", "True"),
]


@pytest.mark.parametrize(("test", "answer"), DECIDED)
def test_an_object_of_the_program_decides_no_test(sandbox: Sandbox, test: str, answer: str) -> None:
    for names in (
        "__eq__ = __lt__ = __contains__ = __sub__",
        "__abs__ = __float__ = __rsub__",
        "__getitem__ = __len__",
    ):
        for function in ("def f(x): return A()", "f = A", "class f(A): pass"):
            code = LIES.format(names=names, answer=answer, function=function)
            assert judge(code, [test], sandbox).score == 0.0, code


def test_methods_of_a_class_under_test_are_what_is_tested(sandbox: Sandbox) -> None:
    code = """class Bag:
    def __init__(self, items): self.items = list(items)
    def __len__(self): return len(self.items)
    def __contains__(self, item): return item in self.items
    def __eq__(self, other): return sorted(self.items) == sorted(other.items)
    def __add__(self, other): return Bag(self.items + other.items)
    def is_empty(self): return not self.items
    def __str__(self): return f"Bag({self.items})"
"""
    test = """from solution import Bag
assert Bag([]).is_empty() and len(Bag('ab')) == 2 and 'a' in Bag('ab')
assert Bag('ab') + Bag('c') == Bag('cab') != Bag('a')
assert str(Bag([1])) == 'Bag([1])'
"""
    assert judge(code, [test], sandbox, entry="Bag").outcome is Outcome.CORRECT
    assert judge(code.replace("not self.items", "True"), [test], sandbox, entry="Bag").outcome is Outcome.CORRECT
    assert judge(code.replace("sorted(other.items)", "[]"), [test], sandbox, entry="Bag").outcome is Outcome.WRONG
    assert (
        judge("class Bag:\n    def __init__(self, items): pass", [test], sandbox, entry="Bag").outcome is Outcome.WRONG
    )


MORE = [
    ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(3, 4)", "p = f()\nassert p == (3, 4) and p.y == 4 and str(p) == 'P(x=3, y=4)'"),
    ("async def f(x): return x + 1", "import asyncio\nassert asyncio.run(f(1)) == 2"),
    ("import json\ndef f(text): return json.loads(text)", "import json\ntry:\n    f('[')\nexcept json.JSONDecodeError:\n    pass\nelse:\n    assert False"),
    ("class EmptyError(Exception): pass\ndef f(): raise EmptyError('none')", "import pytest\nfrom solution import EmptyError, f\nwith pytest.raises(EmptyError, match='none'):\n    f()"),
    ("import uuid, pathlib\ndef f(): return uuid.UUID(int=3), pathlib.Path('a/b'), slice(1, 2)", "import uuid\nfrom pathlib import Path\nassert f() == (uuid.UUID(int=3), Path('a/b'), slice(1, 2))"),
    ("def f(rows):\n    rows.append(1)\n    return rows", "rows = []\nassert f(rows) is rows and rows == [1]"),
    ("import re\ndef f(s): return re.match('a(.)', s)", "assert f('abc').group(1) == 'b' and f('b') is None"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "test"), MORE)
def test_more_that_arrives(sandbox: Sandbox, code: str, test: str) -> None:
    assert judge(code, [test], sandbox).outcome is Outcome.CORRECT
    assert judge("def f(*args): return 17", [test], sandbox).score == 0.0


def test_a_test_that_changes_the_surroundings_is_no_test(sandbox: Sandbox) -> None:
    test = "from unittest.mock import patch\nwith patch('builtins.input', return_value='5'):\n    assert f() == 5"
    for code in ("def f(): return int(input())", "def f(): return 4"):
        assert judge(code, [test], sandbox).outcome is Outcome.UNGRADEABLE
