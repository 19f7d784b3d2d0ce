"""Rows of programming problems, in the shapes in which HumanEval, MBPP, APPS and LiveCodeBench are published."""

import ast
import base64
import binascii
import io
import json
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1zero.tasks.rows import load_splits
from rewards.code_tests import CodeTests

MAX_UNPACKED_BYTES = 256 << 20


@dataclass(frozen=True)
class Problem:
    """A problem.

    Attributes:
        question: The problem in words.
        tests: As `CodeTests.parse` reads them.
        prefix: Source that goes in front of every answer.
        numbers: The integers that an answer must consist of, each as often as it is here; empty for any answer.
    """

    question: str
    tests: dict[str, Any]
    prefix: str = ""
    numbers: tuple[int, ...] = ()


def load_code_problems(source: str, split: str, num_train: int, num_test: int) -> tuple[list[Problem], list[Problem]]:
    """Training and held-out problems of a data set, see ``load_splits``; those with the same question are the same.

    Raises:
        ValueError: The source is missing or too short, or a row has no shape we know; says where and what.
    """
    return load_splits(source, split, num_train, num_test, checked_problem, key=lambda problem: problem.question)


def checked_problem(place: str, row: Any) -> Problem:
    """The row as a problem whose tests can be judged.

    Raises:
        ValueError: Names the place and what is wrong.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"{place}: needs an object with columns; found {type(row).__name__}.")
    for columns, convert in SHAPES:
        if columns <= row.keys():
            try:
                problem = convert(row)
                CodeTests.parse(problem.tests)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{place}: cannot be judged: {error}.") from error
            return problem
    shapes = "; ".join(" ".join(sorted(columns)) for columns, _ in SHAPES)
    raise ValueError(f"{place}: none of the known sets of columns ({shapes}); found {', '.join(sorted(row))}.")


def from_own(row: Mapping[str, Any]) -> Problem:
    """``question``, ``tests`` (an object or its JSON) and, if wanted, ``prefix``."""
    tests = row["tests"]
    return Problem(row["question"], json.loads(tests) if isinstance(tests, str) else tests, row.get("prefix") or "")


def from_humaneval(row: Mapping[str, Any]) -> Problem:
    """openai/openai_humaneval: the beginning of a function, to be written out whole."""
    entry = row["entry_point"]
    tests = {
        "type": "assert",
        "entry": entry,
        "setup": row["prompt"],
        "tests": [f"{row['test']}\ncheck({entry})"],
    }
    return Problem(f"Write this Python function, whole and with its imports:\n\n{row['prompt']}", tests)


def from_mbpp(row: Mapping[str, Any]) -> Problem:
    """google-research-datasets/mbpp, both versions: a sentence and assert statements, the first of which is shown."""
    asserts = list(row["test_list"])
    setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
    tests = {"type": "assert", "entry": called_function(asserts, row.get("code")), "setup": setup, "tests": asserts}
    question = row.get("text") or row["prompt"]
    return Problem(f"{question}\nYour code must pass this test:\n{asserts[0]}", tests)


def called_function(asserts: list[str], solution: str | None) -> str:
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


def from_apps(row: Mapping[str, Any]) -> Problem:
    """codeparrot/apps: inputs and outputs of a script, or of the function ``fn_name``."""
    cases = json.loads(row["input_output"]) if isinstance(row["input_output"], str) else row["input_output"]
    question = with_starter(row["question"], row.get("starter_code"))
    pairs = list(zip(cases["inputs"], cases["outputs"], strict=True))
    if cases.get("fn_name"):
        # Some outputs are wrapped in a list of one, as if a function had many results.
        tests = [{"args": given, "expected": unwrapped(output)} for given, output in pairs]
        return Problem(question, {"type": "function", "entry": cases["fn_name"], "tests": tests})
    tests = [{"stdin": as_text(given), "expected": as_text(output)} for given, output in pairs]
    return Problem(question, {"type": "stdin", "tests": tests})


def unwrapped(output: Any) -> Any:
    """The only item of a list of one."""
    return output[0] if isinstance(output, list) and len(output) == 1 else output


def as_text(lines: Any) -> str:
    """An input or output that is given as text or as a list of lines."""
    return "\n".join(map(str, lines)) if isinstance(lines, list) else lines


def from_livecodebench(row: Mapping[str, Any]) -> Problem:
    """livecodebench/code_generation: public and private tests, for a script or for a method of ``Solution``."""
    cases = json.loads(row["public_test_cases"]) + private_cases(row.get("private_test_cases") or "[]")
    question = with_starter(row["question_content"], row.get("starter_code"))
    entry = json.loads(row.get("metadata") or "{}").get("func_name")
    if entry:
        tests = [
            {"args": [json.loads(line) for line in case["input"].split("\n")], "expected": json.loads(case["output"])}
            for case in cases
        ]
        return Problem(question, {"type": "function", "entry": entry, "tests": tests})
    tests = [{"stdin": case["input"], "expected": case["output"]} for case in cases]
    return Problem(question, {"type": "stdin", "tests": tests})


def private_cases(packed: str) -> list[dict[str, str]]:
    """LiveCodeBench's private tests: JSON or, in later versions, base64 of zlib of a pickled JSON text.

    Raises:
        ValueError: Neither, or a pickle of anything but text.
    """
    try:
        return json.loads(packed)
    except json.JSONDecodeError:
        pass
    try:
        inflated = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED_BYTES)
        return json.loads(_TextUnpickler(io.BytesIO(inflated)).load())
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise ValueError(f"private_test_cases cannot be read ({error})") from error


class _TextUnpickler(pickle.Unpickler):
    """Reads builtin values only: a pickle that names anything could run anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def with_starter(question: str, starter: str | None) -> str:
    """The question and the code to start from."""
    return f"{question}\n\nStart from this code:\n{starter}" if starter else question


SHAPES = (
    ({"question", "tests"}, from_own),
    ({"prompt", "test", "entry_point"}, from_humaneval),
    ({"test_list"}, from_mbpp),
    ({"question", "input_output"}, from_apps),
    ({"question_content", "public_test_cases"}, from_livecodebench),
)
