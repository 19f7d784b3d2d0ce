"""Tests of functions: what arrives of a call, what a program cannot decide, and what tests may look at."""
# ruff: noqa: E501  (a program and its test stand on one line each)

from typing import Any

import pytest
from code_verdicts import judge

from rewards import Outcome
from rewards.code_tests import CodeTests, run_tests, verdict
from sandbox import Sandbox

# What stands for "cannot be carried" in the text of a value, written by the program: it is data like any other.
WRITTEN_MARKS = [
    "['o', 'Anything']",
    "('o', 'Anything')",
    "{'o': 'Anything'}",
    "['o', 'Anything', 0]",
    "['d', [['o', 'Anything']]]",
    "['x', 'iterator', [1, 2]]",
    "['o', 'Opaque']",
    '\'["o","Anything"]\'',
    "['v', [3, 4], '', None]",
]


@pytest.mark.parametrize("value", WRITTEN_MARKS)
def test_a_value_that_looks_like_a_mark_is_a_value(sandbox: Sandbox, value: str) -> None:
    fed_back = ["once = f([3, 4])\nassert f(once) == [3, 4]"]
    found = judge(f"def f(x): return {value}", fed_back, sandbox)
    assert (found.score, found.outcome) == (0.0, Outcome.WRONG)
    assert judge("def f(x): return x", [f"assert f({value}) == {value}"], sandbox).outcome is Outcome.CORRECT


VALUES = [
    ("def f(n):\n    while n: yield n; n //= 2", "assert [*f(6)] == [6, 3, 1]"),
    (
        "def f(n):\n    k = n\n    while True:\n        yield k\n        k += n",
        "assert [next(f(4)), *zip(f(2), 'ab')] == [4, (2, 'a'), (4, 'b')]",
    ),
    ("def f(n):\n    yield n", "import types\nassert isinstance(f(1), types.GeneratorType)"),
    ("def f(s): return filter(str.isdigit, s)", "assert ''.join(f('a1b2')) == '12'"),
    ("def f(n): return range(n, 0, -2)", "assert f(5) == range(5, 0, -2) and list(f(5)) == [5, 3, 1]"),
    (
        "from collections import deque\ndef f(a): return deque(a, 2)",
        "r = f([1, 2, 3])\nassert list(r) == [2, 3] and r.maxlen == 2",
    ),
    (
        "from decimal import Decimal\ndef f(a): return Decimal(a) / 8",
        "from decimal import Decimal as D\nassert f(1) == D('0.125')",
    ),
    (
        "import datetime\ndef f(y): return datetime.date(y, 2, 28) + datetime.timedelta(2)",
        "import datetime\nassert f(2023) == datetime.date(2023, 3, 2)",
    ),
    (
        "import datetime\ndef f(): return datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)",
        "assert f().year == 2020 and f().utcoffset().seconds == 0",
    ),
    (
        "import numpy as np\ndef f(n): return np.eye(n)",
        "import numpy as np\nassert f(2).shape == (2, 2) and np.array_equal(f(2), [[1, 0], [0, 1]])",
    ),
    (
        "import numpy as np\ndef f(): return np.float32(0.5)",
        "import numpy as np\nassert isinstance(f(), np.floating) and f() == 0.5",
    ),
    ("from collections import Counter\ndef f(s): return Counter(s)", "assert f('aab').most_common(1) == [('a', 2)]"),
    (
        "from collections import OrderedDict\ndef f(s): return OrderedDict.fromkeys(s)",
        "assert list(f('ba').keys()) == ['b', 'a']",
    ),
    ("def f(d): return d.keys()", "assert f({1: 2}) == {1} and sorted(f({3: 0, 2: 0})) == [2, 3]"),
    ("def f(s): return bytearray(s)", "assert f(b'x') == bytearray(b'x')"),
    ("def f(x): return ...", "assert f(0) is ..."),
    ("def f(k): return lambda x: x * k", "assert f(3)(5) == 15"),
    ("class P:\n    def __init__(self, x): self.x = x\ndef f(x): return P(x)", "assert f(4).x == 4"),
    ("def f(t, *rest): return [x for x in rest if isinstance(x, t)]", "assert f(int, 1, 'a', 2.0) == [1]"),
    (
        "def f(d):\n    d['k'] += 1\n    return d['k']",
        "from collections import defaultdict\nassert f(defaultdict(int)) == 1",
    ),
    ("def f(it): return sum(it)", "assert f(x * x for x in range(4)) == 14"),
    (
        "from fractions import Fraction\ndef f(q): return q * 2",
        "from fractions import Fraction\nassert f(Fraction(1, 3)) == Fraction(2, 3)",
    ),
]


@pytest.mark.parametrize(("code", "test"), VALUES)
def test_values_of_the_library_arrive_as_they_are(sandbox: Sandbox, code: str, test: str) -> None:
    found = judge(code, [test], sandbox)
    assert found.outcome is Outcome.CORRECT, found
    assert judge("def f(*args, **kwargs): return 17", [test], sandbox).score == 0.0


SEEN = [
    (
        "def f(n):\n    if n > 9: raise OverflowError('%d is too many' % n)",
        "try:\n    f(10)\nexcept OverflowError as e:\n    assert '10 is too many' == str(e)\nelse:\n    assert False",
    ),
    (
        "class Bad(ValueError): pass\ndef f(n): raise Bad('bad value')",
        "import pytest\nwith pytest.raises(ValueError, match='bad'):\n    f(1)",
    ),
    (
        "def f(rows):\n    for row in rows: row.reverse()",
        "grid = [[1, 2], [3, 4]]\nfirst = grid[0]\nf(grid)\nassert grid == [[2, 1], [4, 3]] and grid[0] is first",
    ),
    ("def f(d, k): d.pop(k)", "d = {'a': 1, 'b': 2}\nf(d, 'a')\nassert d == {'b': 2}"),
    (
        "def f(name): print('Hello,', name)",
        "import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    f('you')\nassert out.getvalue().strip() == 'Hello, you'",
    ),
    ("count = 0\ndef f():\n    global count\n    count += 1\n    return count", "assert [f(), f(), f()] == [1, 2, 3]"),
    (
        "def f(n): return n - 3",
        "n, steps = 10, 0\nwhile n > 0:\n    n = f(n)\n    steps += 1\nassert (n, steps) == (-2, 4)",
    ),
    ("def f(x): return math.floor(x)", "assert f(2.5) == math.floor(2.5) == 2"),
    ("def g(x): return x + 1\ndef f(x): return g(x)", "from solution import f, g\nassert f(1) == g(1) == 2"),
    (
        "class f:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n    def top(self): return self.items[-1]",
        "s = f()\ns.push(4)\ns.push(5)\nassert s.top() == 5",
    ),
    ("def f(x): return x / 3", "import pytest\nassert f(1) == pytest.approx(0.3333333)"),
    ("def f(n): return [*range(n)]", "assert sum(f(1_200_000)) == 1_200_000 * 1_199_999 // 2"),
    (
        "def f(n): return n % 7",
        "def check(candidate):\n    for n in range(5000):\n        assert candidate(n) == n % 7\ncheck(f)",
    ),
]


@pytest.mark.parametrize(("code", "test"), SEEN)
def test_what_a_test_may_look_at(sandbox: Sandbox, code: str, test: str) -> None:
    found = judge(code, [test], sandbox)
    assert found.outcome is Outcome.CORRECT, found
    wrong = judge("def f(*args, **kwargs): return None", [test], sandbox)
    assert (wrong.score, wrong.outcome) == (0.0, Outcome.WRONG), wrong


def test_a_function_called_as_the_check_is(sandbox: Sandbox) -> None:
    test = (
        "def check(candidate):\n    assert candidate('aa') is True\n    assert candidate('ab') is False\n\ncheck(check)"
    )
    assert judge("def check(s): return s == s[::-1]", [test], sandbox, entry="check").outcome is Outcome.CORRECT
    assert judge("def check(s): return True", [test], sandbox, entry="check").outcome is Outcome.WRONG


UNDECIDED = {
    "an exit": "import os\ndef f(x): os._exit(0)",
    "an exit that is caught": "def f(x): raise SystemExit",
    "a closed channel": "import os\ndef f(x):\n    for d in range(3, 40):\n        try: os.close(d)\n        except OSError: pass",
    "noise on the channel": "import os\ndef f(x):\n    for d in range(3, 40):\n        try: os.write(d, bytes(64))\n        except OSError: pass",
    "no answer": "import sys\nsys.modules['sandbox.serving'].send = lambda *a: 0\ndef f(x): return 3",
    "an object of its own": "class A:\n    __eq__ = __contains__ = __bool__ = lambda *a: True\n    __hash__ = None\ndef f(x): return A()",
    "a deep list": "def f(x):\n    for _ in range(200): x = [x]\n    return x",
    "one that names itself": "def f(x):\n    x = []\n    x.append(x)\n    return x",
    "too much": "def f(x): return 'x' * (40 << 20)",
    "a coroutine": "async def f(x): return 3",
    "its own exception": "def f(x): raise ValueError(x)",
    "a lie about its class": "class A:\n    __module__ = 'numpy'\n    __class__ = int\n    dtype = None\ndef f(x): return A()",
}


@pytest.mark.parametrize("code", UNDECIDED.values(), ids=UNDECIDED)
def test_a_program_cannot_be_ungradeable_of_its_own_will(sandbox: Sandbox, code: str) -> None:
    for test in (
        "assert f(f(1)) == 3",
        "assert [f(1)] == [3]",
        "try:\n    x = f(1)\nexcept:\n    x = 3\nassert x == 3 and f(x) == 3",
        "try:\n    x = f(1)\nexcept Exception as error:\n    x = error\nassert f(x) == 3",
    ):
        found = judge(code, [test], sandbox)
        assert found.score == 0.0, (test, found)


def test_customary_names_are_there_and_hide_nothing(sandbox: Sandbox) -> None:
    spec: dict[str, Any] = {"type": "function", "entry": "f", "tests": [{"args": [[3, 1, 2]], "expected": 1}]}
    starter = "class Solution:\n    def f(self, nums: List[int], k: Optional[int] = None) -> int:\n        {}\n"
    bodies = [
        "heapify(nums); return heappop(nums)",
        "return nums[bisect_left(sorted(nums), 2)] and 1 or inf",
        "return min(deque(nums))",
    ]
    for code in (
        *map(starter.format, bodies),
        "def gcd(a): return 1\ndef f(a): return gcd(a)",
        "def f(a): return pow(a[0], -1, 2)",
    ):
        report = run_tests(code, CodeTests.parse(spec), sandbox, 20, 512)
        assert report.status == "accepted", (code, report)
    gcd = CodeTests.parse({"type": "function", "entry": "gcd", "tests": [{"args": [4, 6], "expected": 2}]})
    assert run_tests("x = 1", gcd, sandbox, 20, 512).status == "wrong_answer"  # not the program's own
    assert (
        run_tests(
            "print(List)", CodeTests.parse({"type": "stdin", "tests": [{"stdin": "", "expected": ""}]}), sandbox
        ).status
        == "runtime_error"
    )


@pytest.mark.parametrize(
    ("code", "test", "more", "accepted"),
    [
        ("def f(x): return x / 3", {"args": [1], "expected": 0.33333333}, {"tolerance": 1e-5}, True),
        ("def f(x): return x + 1", {"args": [10**9], "expected": 10**9}, {"tolerance": 1e-5}, False),
        ("def f(x): return x", {"args": [[4]], "expected": [[4]]}, {"list_of_one": True}, True),
        ("def f(x): return [x]", {"args": [[4]], "expected": [[4]]}, {"list_of_one": True}, True),
        ("def f(x): return x", {"args": [[4]], "expected": [[4]]}, {}, False),
        ("def f(d): return max(d) + 1", {"args": [{"2": 0, "10": 0}], "expected": 11}, {"integer_keys": True}, True),
        ("def f(d): return {1: 2}", {"args": [0], "expected": {"1": 2}}, {}, True),
        ("def f(n): return range(n)", {"args": [2], "expected": [0, 1]}, {}, True),
        ("def f(n): return (x for x in range(n))", {"args": [2], "expected": [0, 1]}, {}, True),
        ("import itertools\ndef f(n): return itertools.count()", {"args": [2], "expected": [0, 1]}, {}, False),
    ],
)
def test_values_for_arguments(
    sandbox: Sandbox, code: str, test: dict[str, Any], more: dict[str, Any], accepted: bool
) -> None:
    spec = CodeTests.parse({"type": "function", "entry": "f", "tests": [test], **more})
    assert (run_tests(code, spec, sandbox, 20, 512).status == "accepted") is accepted


def test_a_program_that_ends_is_started_again_for_the_share(sandbox: Sandbox) -> None:
    """Of five tests, the third ends the process."""
    tests = [{"args": [n], "expected": n} for n in range(5)]
    spec = CodeTests.parse({"type": "function", "entry": "f", "tests": tests})
    code = "import os\ndef f(n): return os._exit(0) if n == 2 else n"
    report = run_tests(code, spec, sandbox, 20, 512, stop_early=False)
    assert verdict(report, "fraction").score == pytest.approx(4 / 5)
