"""The judge of programs: what passes, what does not, and what is nobody's fault."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rewards import Outcome, Verdict
from rewards.code_tests import CodeTests, JudgeUnavailableError, Ledger, Runner, Score, TestReport, run_tests, verdict
from sandbox import Result, Sandbox, Status

ADD = {"type": "stdin", "tests": [{"stdin": "1 2\n", "expected": "3\n"}, {"stdin": "5 6\n", "expected": "11"}]}
TWICE = {
    "type": "function",
    "entry": "f",
    "tests": [{"args": [7], "expected": 14}, {"args": [[1]], "expected": [1, 1]}],
}
INC = {
    "type": "assert",
    "entry": "f",
    "tests": ["assert f(1) == 2", "assert f(f(1)) == 3", "assert [f(x) for x in (5, 7)] == [6, 8]"],
}
CHECK = {
    "type": "assert",
    "entry": "root",
    "setup": "import math\ndef poly(xs, x):\n    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\ndef root(xs):\n    ...",
    "tests": [
        "import random\ndef check(candidate):\n    for _ in range(20):\n"
        "        xs = [random.randint(1, 9), random.randint(1, 9)]\n        assert math.fabs(poly(xs, candidate(xs))) < 1e-4\n"
        "check(root)"
    ],
}
RAISES = {"type": "assert", "entry": "f", "tests": ["try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass"]}


def judge(
    code: str, spec: dict[str, Any], sandbox: Runner, score: Score = "all", timeout_s: float | None = None
) -> Verdict:
    """The verdict as the code task asks for it."""
    report = run_tests(code, CodeTests.parse(spec), sandbox, timeout_s, stop_early=score == "all")
    return verdict(report, score)


ACCEPTED = [
    ("print(sum(map(int, input().split())))", ADD),
    ("def f(x): return x * 2\nprint('noise')", TWICE),
    ("class Solution:\n    def f(self, x): return (1, 1) if x == [1] else 14", TWICE),
    ("import numpy\ndef f(x): return numpy.int64(14) if x == 7 else numpy.array([1, 1])", TWICE),
    ("def f(x): return x + 1", INC),
    ("def root(xs): return -xs[0] / xs[1]", CHECK),
    ("def f(x):\n    raise ValueError(x)", RAISES),
]


@pytest.mark.parametrize(("code", "tests"), ACCEPTED)
def test_right_programs_are_accepted(sandbox: Sandbox, code: str, tests: dict) -> None:
    found = judge(code, tests, sandbox, timeout_s=20)
    assert (found.score, found.outcome) == (1.0, Outcome.CORRECT), found


ALWAYS = (
    "class E(int):\n    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = lambda s, o: True\n"
    "    __hash__ = int.__hash__\n    __abs__ = __float__ = lambda s: 0.0\n"
)
HACKS = {
    "os._exit": "import os\ndef {f}(x): os._exit(0)\nos._exit(0)",
    "sys.exit": "import sys\ndef {f}(x): sys.exit(0)\nprint(3)",
    "always equal": ALWAYS + "def {f}(x): return E(0)\nprint(E(0))",
    "opaque": "class A:\n    __eq__ = lambda s, o: True\ndef {f}(x): return A()\nprint(A())",
    "nan": "def {f}(x): return float('nan')\nprint('nan')",
    "None": "def {f}(x): pass",
    "a class": "class {f}(int):\n    __eq__ = lambda s, o: True\n    __hash__ = None",
    "patched builtins": "import builtins, json, math, operator\nfor n in ('all', 'any', 'isinstance', 'abs', 'repr', 'type'):\n"
    '    setattr(builtins, n, lambda *a: True)\njson.dumps = lambda *a, **k: \'["l",["v",14]]\'\ndef {f}(x): return 0',
    "patched codec": "import sys\ncodec = sys.modules['sandbox.codec']\ncodec.encode = lambda v: 1 / 0\n"
    "codec._pack = lambda v, d: True\ndef {f}(x): return 0",
    "forged channel": 'import os\nfor d in range(3, 40):\n    try: os.write(d, b\'["l",["v",true]]\')\n    except OSError: pass\n'
    "def {f}(x): os._exit(0)",
    "frames": "import gc, sys\ndef {f}(x):\n    for o in gc.get_objects():\n        if type(o) is dict and 'expected' in o: return o['expected']\n"
    "    g = sys._getframe()\n    while g:\n        for n in ('expected', 'known', 'tests'):\n            if n in g.f_locals: return g.f_locals[n]\n        g = g.f_back",
    "AssertionError": "def {f}(x): raise AssertionError",
    "first line only": "print(3)\ndef {f}(x): return 2",
    "deep": "def {f}(x):\n    for _ in range(10**5): x = [x]\n    return x",
    "mock.ANY": "from unittest.mock import ANY\ndef {f}(x): return ANY\nprint(ANY)",
    "an endless iterator": "import itertools\ndef {f}(x): return itertools.repeat(14)\nprint('3\\n' * 5)",
    "an array that equals all": "import numpy\nclass A(numpy.ndarray):\n    __eq__ = lambda s, o: True\n    tolist = lambda s: 14\n"
    "def {f}(x): return numpy.zeros(1).view(A)\nprint('3\\r')\nprint('\\x1b[2K3\\x00')",
    "an answer at exit": 'import atexit, os\ndef forge():\n    for d in range(3, 40):\n        try: os.pwrite(d, b\'["l",["v",true]]\', 0)\n'
    "        except OSError: pass\n    os._exit(0)\natexit.register(forge)\ndef {f}(x): return 0",
    "a thread that answers": "import os, threading\ndef forge():\n    while True:\n        for d in range(3, 40):\n"
    '            try: os.pwrite(d, b\'["l",["e","StopIteration"]]\', 0)\n            except OSError: pass\n'
    "threading.Thread(target=forge, daemon=True).start()\ndef {f}(x): return 0",
    "endless repr": "class L(list):\n    def __iter__(s):\n        while True: yield 1\n    __repr__ = __len__ = __iter__\ndef {f}(x): return L()",
}


@pytest.mark.parametrize("tests", [ADD, TWICE, INC, CHECK], ids=["stdin", "function", "assert", "check"])
def test_hacks_are_wrong(sandbox: Sandbox, tests: dict) -> None:
    def score(item: tuple[str, str]) -> tuple[str, float | None]:
        return item[0], judge(item[1].replace("{f}", tests.get("entry", "f")), tests, sandbox, timeout_s=5).score

    with ThreadPoolExecutor(2) as threads:
        assert {name: found for name, found in threads.map(score, HACKS.items()) if found != 0.0} == {}


def test_an_expected_value_is_never_in_the_process(sandbox: Sandbox) -> None:
    """The number to print, looked for in all of the heap that Python can see."""
    code = "import gc\nn = int(''.join(['987654', '321987']))\nprint(any(n == v for o in gc.get_objects() if type(o) in (list, tuple) for v in o))"
    tests = CodeTests.parse({"type": "stdin", "tests": [{"stdin": "", "expected": "987654321987"}]})
    assert run_tests(code, tests, sandbox).detail == "test 0: printed 'False\\n'"


def test_fraction_pays_the_share_and_all_pays_nothing(sandbox: Sandbox) -> None:
    assert judge("print(3)", ADD, sandbox, "fraction").score == 0.5
    assert judge("print(3)", ADD, sandbox, "all").score == 0.0


def test_a_timeout_says_so(sandbox: Sandbox) -> None:
    for tests, code in ((ADD, "while True: pass"), (INC, "def f(x):\n    while True: pass")):
        found = judge(code, tests, sandbox, timeout_s=0.5)
        assert (found.score, found.outcome) == (0.0, Outcome.TIMEOUT)


UNFIT_TESTS = [
    (["assert f(1) =="], "not Python"),
    (["assert f(1) == 2", "("], "one of them is not Python"),
    (["assert True"], "never calls the function"),
    (["if nothing: assert f(1) == 2"], "fails before it calls the function"),
    (["assert f(lambda x: x) == 3"], "an argument that cannot be carried"),
    (["import abc\nassert f(1) == 1\nassert f(abc.ABC) == 3"], "one such argument among others"),
    (["assert f(1) == Point(1)"], "a class that only the solution has"),
]


@pytest.mark.parametrize(("tests", "why"), UNFIT_TESTS, ids=[why for _, why in UNFIT_TESTS])
def test_tests_that_do_not_run_are_ungradeable(sandbox: Sandbox, tests: list[str], why: str) -> None:
    spec = {"type": "assert", "entry": "f", "tests": tests}
    assert judge("def f(x): return x", spec, sandbox).outcome is Outcome.UNGRADEABLE, why
    spec = {"type": "assert", "entry": "f", "setup": "1 / 0", "tests": ["assert f(1)"]}
    assert judge("def f(x): return x", spec, sandbox).outcome is Outcome.UNGRADEABLE


def test_a_loop_of_the_test_does_not_end_early(sandbox: Sandbox) -> None:
    tests = {"type": "assert", "entry": "f", "tests": ["assert all(map(f, [1, 2, 3]))"]}
    assert judge("def f(x): raise StopIteration", tests, sandbox).score == 0.0
    assert judge("def f(x): return x > 0", tests, sandbox).score == 1.0


NESTED = {"type": "assert", "entry": "f", "tests": ["assert f(f(1)) == 3"]}
FED_BACK = {
    "an object": "def f(x): return object()",
    "a deep list": "def f(x):\n    for _ in range(150): x = [x]\n    return x",
    "an argument made of it": "def f(x): return [open, x]",
    "its own exception": "def f(x): raise StopIteration",
}


@pytest.mark.parametrize("code", FED_BACK.values(), ids=FED_BACK)
def test_a_value_that_cannot_be_passed_back_is_wrong_and_not_ungradeable(sandbox: Sandbox, code: str) -> None:
    found = judge(code, NESTED, sandbox)
    assert (found.score, found.outcome) == (0.0, Outcome.WRONG), found


def test_sets_are_arguments_like_others(sandbox: Sandbox) -> None:
    """Their order differs between processes."""
    words = {"type": "assert", "entry": "f", "tests": ["assert f({'a', 'bc', 'def', 'ghij', 'klmno'}) == 5"]}
    assert judge("def f(x): return len(x)", words, sandbox).score == 1.0


def test_each_call_has_its_time_and_not_the_check(sandbox: Sandbox) -> None:
    """Eight calls of 0.4 s, where one may take 1.5."""
    tests = {"type": "assert", "entry": "f", "tests": [f"assert f({n}) == {n}" for n in range(8)]}
    slow = "import time\ndef f(x):\n    time.sleep({})\n    return x"
    assert judge(slow.format(0.4), tests, sandbox, timeout_s=1.5).score == 1.0
    assert judge(slow.format(8), tests, sandbox, timeout_s=1.5).outcome is Outcome.TIMEOUT


def test_details_are_printable(sandbox: Sandbox) -> None:
    code = "raise ValueError('\\x1b[2J\\x07')"
    detail = judge(code, ADD, sandbox).detail
    assert "ValueError" in detail
    assert detail.isprintable()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "'type'"),
        ({"type": "nose", "tests": []}, "nose"),
        ({"type": "stdin", "tests": []}, "one or more"),
        ({"type": "stdin", "tests": [{"stdin": 1, "expected": "1"}]}, "must be text"),
        ({"type": "function", "tests": [{"args": [], "expected": 1}]}, "entry"),
        ({"type": "function", "entry": "f", "tests": [{"args": 1, "expected": 1}]}, "args must be a list"),
        ({"type": "assert", "entry": "f", "tests": [1]}, "not source text"),
        ({"type": "stdin", "tolerance": "x", "tests": [{"stdin": "", "expected": ""}]}, "tolerance"),
        ("[", "Expecting"),
    ],
)
def test_bad_tests_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodeTests.parse(spec)


class Flaky:
    """A sandbox that fails ``failures`` times before it works."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def run(self, code: str, stdin: str = "", **_: Any) -> Result:
        self.failures -= 1
        return (
            Result(Status.INFRASTRUCTURE_ERROR, error="gone") if self.failures >= 0 else Result(Status.OK, stdout="3")
        )

    def call(self, *args: Any, **kwargs: Any) -> tuple[Result, None]:
        return self.run(""), None


def test_infrastructure_errors_are_retried_twice_and_then_ungradeable() -> None:
    tests = {"type": "stdin", "tests": [{"stdin": "", "expected": "3"}]}
    assert judge("", tests, Flaky(2)).score == 1.0
    found = judge("", tests, Flaky(3))
    assert (found.score, found.outcome) == (None, Outcome.UNGRADEABLE)
    assert "gone" in found.detail


def test_more_than_one_percent_of_them_stops_the_run() -> None:
    ledger = Ledger()
    good, bad = TestReport("accepted", 1, 1), TestReport(Status.INFRASTRUCTURE_ERROR, 0, 1, "gone")
    for report in [bad] * 2 + [good] * 298 + [bad]:
        ledger.record(report)
        ledger.check()  # 2 of 2 are forgiven; 3 of 301 are less than 1%
    ledger.record(bad)
    with pytest.raises(JudgeUnavailableError, match=r"4 of 302 .* gone"):
        ledger.check()
