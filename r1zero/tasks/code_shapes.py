"""Rows of programming problems as data sets publish them, turned into a question and tests.

A row that no program could be judged by raises a ValueError that says why; `code_data` leaves it out and counts it.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewards.code_spec import with_integer_keys

# Of NumPy's `allclose`, with which the graders of APPS and TACO compare; CodeContests' own is as wide.
TOLERANCE = 1e-5
PYTHON = ("python", "python3", "py", "")


@dataclass(frozen=True)
class Problem:
    """A problem.

    Attributes:
        question: The problem in words.
        tests: As `CodeTests.parse` reads them.
        prefix: Source that goes in front of every answer.
        numbers: The integers that an answer must consist of, each as often as it is here; empty for any answer.
        solution: A program that the row says is right, to check the row with; empty where it has none.
    """

    question: str
    tests: dict[str, Any]
    prefix: str = ""
    numbers: tuple[int, ...] = ()
    solution: str = field(default="", compare=False)


def from_own(row: Mapping[str, Any]) -> Problem:
    """``question``, ``tests`` (an object or its JSON) and, if wanted, ``prefix``."""
    tests = row["tests"]
    return Problem(row["question"], json.loads(tests) if isinstance(tests, str) else tests, row.get("prefix") or "")


def from_humaneval(row: Mapping[str, Any]) -> Problem:
    """openai/openai_humaneval, evalplus/humanevalplus: the beginning of a function, to be written out whole."""
    entry = row["entry_point"]
    tests = assert_tests(entry, [f"{row['test']}\ncheck(candidate)"], row["prompt"])
    question = f"Write this Python function, whole and with its imports:\n\n{row['prompt']}"
    solution = row["prompt"] + row["canonical_solution"] if row.get("canonical_solution") else ""
    return Problem(question, tests, solution=solution)


def from_leetcode(row: Mapping[str, Any]) -> Problem:
    """newfacade/LeetCodeDataset: ``entry_point`` is ``Solution().method``, ``prompt`` what the tests need.

    Raises:
        ValueError: The tests pass lists or trees of nodes.
    """
    if re.search(r"\b(?:list_node|tree_node|ListNode|TreeNode|Node)\(", row["test"]):
        raise ValueError("its tests pass linked lists or trees, and only data can be passed")
    question = with_starter(row.get("problem_description") or row.get("query") or "", row.get("starter_code"))
    tests = assert_tests(row["entry_point"], [f"{row['test']}\ncheck(candidate)"], row["prompt"])
    return Problem(question, tests, row["prompt"].rstrip() + "\n\n", solution=row.get("completion") or "")


def from_bigcodebench(row: Mapping[str, Any]) -> Problem:
    """bigcode/bigcodebench: unittest cases around ``task_func``.

    Raises:
        ValueError: They need a library that is not installed.
    """
    libraries = ast.literal_eval(row["libs"]) if isinstance(row.get("libs"), str) else row.get("libs") or []
    missing = [name for name in libraries if importlib.util.find_spec(name.partition(".")[0]) is None]
    if missing:
        raise ValueError(f"needs {', '.join(missing)}, not installed here")
    source = row["test"]
    cases = [
        (case.name, method.name)
        for case in ast.parse(source).body
        if isinstance(case, ast.ClassDef)
        for method in case.body
        if isinstance(method, ast.FunctionDef) and method.name.startswith("test")
    ]
    tests = [f"{source}\n{case}.setUpClass()\n{case}({method!r}).debug()" for case, method in cases]
    question = row.get("instruct_prompt") or f"Write this Python function, whole:\n\n{row['complete_prompt']}"
    solution = row["complete_prompt"] + row["canonical_solution"] if row.get("canonical_solution") else ""
    setup = imports_of(row.get("complete_prompt") or "")
    return Problem(question, assert_tests(row["entry_point"], tests, setup), solution=solution)


def imports_of(source: str) -> str:
    """The import statements at the top of some source."""
    return "\n".join(line for line in source.split("\n") if line.startswith(("import ", "from ")))


def from_mbpp(row: Mapping[str, Any]) -> Problem:
    """google-research-datasets/mbpp, both versions, and evalplus/mbppplus: a sentence and assert statements.

    The first assert is shown. MBPP+ has more tests in a column of its own, all of which count.
    """
    asserts = list(row["test_list"])
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
    more = [row["test"]] if isinstance(row.get("test"), str) and row["test"].strip() else []
    tests = assert_tests(called_function(asserts, row.get("code")), [*asserts, *more, *challenge(row)], setup)
    question = row.get("text") or row["prompt"]
    shown = f"{question}\nYour code must pass this test:\n{asserts[0]}"
    return Problem(shown, tests, solution=row.get("code") or "")


def challenge(row: Mapping[str, Any]) -> list[str]:
    """MBPP's further asserts, which a few rows have."""
    return list(row.get("challenge_test_list") or [])


def called_function(asserts: Sequence[str], solution: str | None) -> str:
    """The function that the asserts test: the one the solution defines, else the first called in the first assert."""
    defined = set()
    if solution:
        defined = {node.name for node in ast.walk(ast.parse(solution)) if isinstance(node, ast.FunctionDef)}
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(asserts[0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    builtin = set(dir(__builtins__)) if not isinstance(__builtins__, dict) else set(__builtins__)
    named = [name for name in calls if name in defined] or [name for name in calls if name not in builtin]
    if not named:
        raise ValueError(f"no function is called in {asserts[0]!r}")
    return named[0]


def from_kodcode(row: Mapping[str, Any]) -> Problem:
    """KodCode/KodCode-V1: pytest functions that import what they test from ``solution``.

    Raises:
        ValueError: A test wants fixtures.
    """
    source = row["test"]
    info = json.loads(row["test_info"]) if isinstance(row.get("test_info"), str) else row.get("test_info") or []
    entry = info[0]["function_name"] if len(info) else ""
    tests = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            if node.args.args and not any("parametrize" in ast.dump(item) for item in node.decorator_list):
                raise ValueError(f"{node.name} wants {node.args.args[0].arg}, a fixture of pytest's")
            tests.append(f"{source}\n{node.name}()")
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            tests += [f"{source}\n{node.name}().{name}()" for name in methods if name.startswith("test")]
    names = [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "solution"
        for alias in node.names
    ]
    declared = "\n".join(item.get("function_declaration") or "" for item in info).strip()
    question = row["question"] + (f"\n\nUse these declarations:\n{declared}" if declared else "")
    return Problem(question, assert_tests(entry or names[0], tests), solution=row.get("solution") or "")


def from_apps(row: Mapping[str, Any]) -> Problem:
    """codeparrot/apps, BAAI/TACO: inputs and outputs of a script, or of the function ``fn_name``."""
    cases = json.loads(row["input_output"]) if isinstance(row["input_output"], str) else row["input_output"]
    solutions = row.get("solutions") or []
    try:
        solutions = json.loads(solutions) if isinstance(solutions, str) else solutions
    except ValueError:
        solutions = []
    question = with_starter(row["question"], row.get("starter_code"))
    return Problem(question, paired_tests(cases), solution=solutions[0] if len(solutions) else "")


def paired_tests(cases: Mapping[str, Any]) -> dict[str, Any]:
    """Tests of ``inputs``, ``outputs`` and, for a function, ``fn_name``."""
    pairs = list(zip(cases["inputs"], cases["outputs"], strict=True))
    if cases.get("fn_name"):
        return function_tests(cases["fn_name"], pairs)
    return stdin_tests(pairs)


def stdin_tests(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Tests of a script by (input, output)."""
    tests = [{"stdin": as_text(given), "expected": as_text(output)} for given, output in pairs]
    return {"type": "stdin", "tests": tests, "tolerance": TOLERANCE}


def function_tests(entry: str, pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Tests of a function by (arguments, value), where a value may be wrapped in a list as one of many results."""
    given = [arguments if isinstance(arguments, list) else [arguments] for arguments, _ in pairs]
    tests = [{"args": args, "expected": output} for args, (_, output) in zip(given, pairs, strict=True)]
    wrapped = all(isinstance(output, list) and len(output) == 1 for _, output in pairs)
    readings = {"list_of_one": wrapped, "integer_keys": with_integer_keys(given) != given}
    return {"type": "function", "entry": entry, "tests": tests, "tolerance": TOLERANCE, **readings}


def assert_tests(entry: str, tests: list[str], setup: str = "") -> dict[str, Any]:
    """Tests by their text."""
    return {"type": "assert", "entry": entry, "setup": setup, "tests": tests}


def as_text(lines: Any) -> str:
    """An input or output that is given as text or as a list of lines."""
    return "\n".join(map(str, lines)) if isinstance(lines, list) else lines


def with_starter(question: str, starter: str | None) -> str:
    """The question and the code to start from."""
    return f"{question}\n\nStart from this code:\n{starter}" if starter else question
