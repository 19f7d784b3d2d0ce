"""Rows as data sets publish them: each is read, its own solution passes, another program does not."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from r1zero.tasks.code_data import Problem, checked_problem, load_code_problems
from rewards.code_tests import CodeTests, run_tests
from sandbox import Sandbox, SandboxUnavailableError

SCRIPT = "print(3 * int(input()))"
FUNCTION = "def triple(n):\n    return 3 * n"
METHOD = "class Solution:\n    def triple(self, n: int) -> List[int]:\n        return [3 * n]"
PAIRS = {"input": ["4\n"], "output": ["12\n"]}
CASE = {"input": "5\n", "output": "15\n"}
PLUS = (
    "import numpy as np\ninputs = [[0], [7]]\nfor inp, exp in zip(inputs, [0, 21]):\n    assert triple(*inp) == exp\n"
)
UNITTEST = """import unittest
class TestCases(unittest.TestCase):
    def setUp(self): self.n = 6
    def test_it(self): self.assertEqual(task_func(self.n), 18)
    def test_error(self):
        with self.assertRaises(TypeError): task_func(None)
"""
PYTEST = """import pytest
from solution import triple

def test_some():
    assert triple(2) == 6

@pytest.mark.parametrize('n, out', [(1, 3), (5, 15)])
def test_more(n, out):
    assert triple(n) == out
"""

ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "code_contests": (
        {
            "description": "Triple it.",
            "public_tests": PAIRS,
            "private_tests": {"input": [], "output": []},
            "generated_tests": PAIRS,
            "solutions": {"language": [2, 3], "solution": ["int main(){}", SCRIPT]},
            "input_file": "",
        },
        SCRIPT,
    ),
    "codeforces": (
        {
            "title": "Triple",
            "description": "Triple it.",
            "official_tests": [CASE],
            "examples": [CASE],
            "input_mode": "stdio",
            "generated_checker": None,
            "interaction_format": None,
        },
        SCRIPT,
    ),
    "verifiable-coding-problems": (
        {
            "problem_statement": "Triple it.",
            "gold_standard_solution": f"```python\n{SCRIPT}\n```",
            "verification_info": {
                "language": "python",
                "test_cases": [{**CASE, "fn_name": None, "type": "stdin_stdout"}],
            },
        },
        SCRIPT,
    ),
    "SYNTHETIC-1": (
        {
            "prompt": "Triple it.",
            "gold_standard_solution": FUNCTION,
            "verification_info": json.dumps(
                {
                    "language": "python",
                    "test_cases": [{"fn_name": "triple", "input": [4], "output": [12], "type": "function_call"}],
                }
            ),
        },
        FUNCTION,
    ),
    "SYNTHETIC-2, as Python writes it": (
        {
            "prompt": "Triple it.",
            "verification_info": repr({"language": "python", "test_cases": [{**CASE, "type": "stdin_stdout"}]}),
        },
        SCRIPT,
    ),
    "Eurus-2-RL": (
        {
            "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": "Triple it."}],
            "ability": "code",
            "reward_model": {"ground_truth": json.dumps({"inputs": ["4\n"], "outputs": ["12\n"]}), "style": "rule"},
        },
        SCRIPT,
    ),
    "DeepCoder, primeintellect": (
        {
            "problem": "Triple it.",
            "solutions": [FUNCTION],
            "tests": json.dumps([{"type": "function_call", "fn_name": "triple", "input": [4], "output": [12]}]),
        },
        FUNCTION,
    ),
    "DeepCoder, taco": (
        {
            "problem": "Triple it.",
            "tests": json.dumps({"fn_name": "triple", "inputs": [[4]], "outputs": [12]}),
            "starter_code": "def triple(n):",
        },
        FUNCTION,
    ),
    "DeepCoder, lcbv5": (
        {
            "problem": "Triple it.",
            "tests": json.dumps(
                [{"input": "4", "output": "[12]", "testtype": "functional", "metadata": {"func_name": "triple"}}]
            ),
            "starter_code": "class Solution:",
        },
        METHOD,
    ),
    "KodCode": (
        {
            "question": "Triple it.",
            "solution": FUNCTION,
            "test": PYTEST,
            "test_info": [{"function_name": "triple", "function_declaration": "def triple(n):"}],
        },
        FUNCTION,
    ),
    "BigCodeBench": (
        {
            "complete_prompt": "import math\ndef task_func(n):\n    '''Triple it.'''\n",
            "instruct_prompt": "Triple it.",
            "canonical_solution": "    return 3 * math.floor(n)\n",
            "entry_point": "task_func",
            "test": UNITTEST,
            "libs": "['math']",
        },
        "import math\ndef task_func(n):\n    return 3 * math.floor(n)",
    ),
    "LeetCodeDataset": (
        {
            "problem_description": "Triple it.",
            "starter_code": "class Solution:\n    def triple(self, n: int) -> List[int]:\n        ",
            "prompt": "import math\nfrom typing import *\n",
            "entry_point": "Solution().triple",
            "test": "def check(candidate):\n    assert candidate(n = 4) == [12]\n    assert candidate(n = 1) == [3]\n",
            "completion": METHOD,
        },
        METHOD,
    ),
    "MBPP+": (
        {
            "prompt": "Triple it.",
            "code": FUNCTION,
            "test_list": ["assert triple(4) == 12"],
            "test_imports": [],
            "test": PLUS,
        },
        FUNCTION,
    ),
    "HumanEval with a function called check": (
        {
            "prompt": "def check(n):\n    '''Whether it is even.'''\n",
            "canonical_solution": "    return n % 2 == 0\n",
            "entry_point": "check",
            "test": "def check(candidate):\n    assert candidate(4) == True\n    assert candidate(3) == False\n",
        },
        "def check(n): return n % 2 == 0",
    ),
    "TACO with a list of one": (
        {
            "question": "Triple it.",
            "input_output": json.dumps({"fn_name": "triple", "inputs": [[4]], "outputs": [[12]]}),
        },
        FUNCTION,
    ),
}


@pytest.fixture(scope="module")
def sandbox() -> Any:
    try:
        made = Sandbox(workers=2)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    yield made
    made.close()


def status(problem: Problem, program: str, sandbox: Sandbox) -> str:
    """What the tests of a row say, as they are kept in a table."""
    tests = CodeTests.parse(json.dumps(problem.tests))
    return run_tests(problem.prefix + program, tests, sandbox, 20, 1024).status


@pytest.mark.parametrize("name", ROWS)
def test_a_published_row_is_judged(name: str, sandbox: Sandbox) -> None:
    row, program = ROWS[name]
    problem = checked_problem("row 1", row)
    assert "riple it." in problem.question or "even" in problem.question
    assert status(problem, program, sandbox) == "accepted"
    if problem.solution:
        assert status(problem, problem.solution, sandbox) == "accepted"
    wrong = "def triple(*a): return 13\ntask_func = check = triple\nclass Solution:\n    triple = triple\nprint(2)"
    assert status(problem, wrong, sandbox) in ("wrong_answer", "runtime_error")


UNUSABLE = [
    ({"description": "?", "official_tests": [CASE], "generated_checker": "x"}, "several outputs are right"),
    ({"description": "?", "official_tests": [CASE], "interaction_format": "Ask."}, "interactive"),
    ({"description": "?", "official_tests": [], "examples": []}, "one or more"),
    ({"description": "?", "public_tests": PAIRS, "input_file": "in.txt"}, "read or write files"),
    ({"prompt": "?", "verification_info": "{'language': 'cpp', 'test_cases': []}"}, "asks for cpp"),
    ({"prompt": [], "reward_model": {"ground_truth": "\\frac12"}}, "no programming problem"),
    ({"problem": "?", "tests": "[]"}, "no tests"),
    ({"question": "?", "input_output": ""}, "cannot be judged"),
    ({**ROWS["BigCodeBench"][0], "libs": "['no_such_library']"}, "needs no_such_library"),
    ({**ROWS["KodCode"][0], "test": "from solution import f\ndef test_a(tmp_path): assert f(tmp_path)"}, "tmp_path"),
    ({**ROWS["LeetCodeDataset"][0], "test": "def check(candidate): candidate(list_node([1]))"}, "linked lists"),
]


@pytest.mark.parametrize(("row", "message"), UNUSABLE, ids=[message for _, message in UNUSABLE])
def test_a_row_that_cannot_be_used_says_why(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_problem("row 1", row)


def test_it_leaves_the_data_and_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = [
        {"question": f"Number {n}.", "input_output": json.dumps({"inputs": ["1\n"], "outputs": ["1\n"]})}
        for n in range(7)
    ]
    bad = [
        {"question": "Nothing.", "input_output": ""},
        {"question": "Odd.", "input_output": '{"inputs": [1], "outputs": []}'},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [bad[0], *good[:4], bad[1], *good[4:]]))
    with caplog.at_level(logging.WARNING):
        train, test = load_code_problems(str(path), "train", 5, 2)
    assert [problem.question for problem in train + test] == [row["question"] for row in good]
    assert "2 of 9 rows left out" in caplog.text and "rows.jsonl, line 1" in caplog.text
    train, test = load_code_problems(str(path), "train", 6, 3)  # 7 are left for 9
    assert (len(train), len(test)) == (4, 3)
    path.write_text("".join(json.dumps(row) + "\n" for row in bad))
    with pytest.raises(ValueError, match="none of its 2 rows can be used"):
        load_code_problems(str(path), "train", 1, 1)
