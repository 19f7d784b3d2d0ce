"""Rows of contest problems and of collections of them, turned into a question and tests; see `code_shapes`."""

import ast
import base64
import binascii
import io
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from r1zero.tasks.code_shapes import (
    PYTHON,
    TOLERANCE,
    Problem,
    function_tests,
    paired_tests,
    stdin_tests,
    with_starter,
)

MAX_UNPACKED_BYTES = 256 << 20
CODE_CONTESTS_PYTHON3 = 3  # of its enumeration of languages


def from_code_contests(row: Mapping[str, Any]) -> Problem:
    """deepmind/code_contests: public, private and generated tests.

    Raises:
        ValueError: The problem reads or writes files.
    """
    if row.get("input_file") or row.get("output_file"):
        raise ValueError("its programs read or write files")
    pairs: list[tuple[Any, Any]] = []
    for name in ("public_tests", "private_tests", "generated_tests"):
        given = row.get(name) or {}
        pairs += zip(given.get("input") or [], given.get("output") or [], strict=True)
    solutions = row.get("solutions") or {}
    right = [
        text
        for language, text in zip(solutions.get("language") or [], solutions.get("solution") or [], strict=False)
        if language == CODE_CONTESTS_PYTHON3
    ]
    return Problem(row["description"], stdin_tests(pairs), solution=right[0] if right else "")


def from_codeforces(row: Mapping[str, Any]) -> Problem:
    """open-r1/codeforces: official tests; the examples where there are none.

    Raises:
        ValueError: Several answers are right, the problem is interactive, or its programs use files.
    """
    if row.get("generated_checker"):
        raise ValueError("several outputs are right and it needs a checker of its own")
    if row.get("interaction_format"):
        raise ValueError("it is interactive")
    if row.get("input_mode") not in (None, "", "stdio"):
        raise ValueError("its programs read or write files")
    cases = list(row.get("official_tests") or []) or list(row.get("examples") or [])
    parts = [row.get("title"), row["description"]]
    for title, key in (("Input", "input_format"), ("Output", "output_format"), ("Note", "note")):
        parts += [f"{title}\n{row[key]}"] if row.get(key) else []
    parts += [f"Example\n{case['input']}\n->\n{case['output']}" for case in row.get("examples") or []]
    pairs = [(case["input"], case["output"]) for case in cases]
    return Problem("\n\n".join(part for part in parts if part), stdin_tests(pairs))


def from_verifiable(row: Mapping[str, Any]) -> Problem:
    """open-r1/verifiable-coding-problems-python, PrimeIntellect/SYNTHETIC-1 and -2: ``verification_info``.

    Raises:
        ValueError: The row is not about a Python program.
    """
    info = parsed(row["verification_info"])
    if not isinstance(info, Mapping) or not ({"test_cases", "ground_truth", "inputs"} & info.keys()):
        raise ValueError("its verification_info has no test cases")
    if str(info.get("language") or "").lower() not in PYTHON:
        raise ValueError(f"it asks for {info['language']}")
    question = row.get("problem_statement") or row.get("problem") or row.get("prompt") or ""
    cases = parsed(info.get("test_cases") or info.get("ground_truth") or info)
    return Problem(words(question), listed_tests(cases), solution=unfenced(row.get("gold_standard_solution") or ""))


def from_prime_rl(row: Mapping[str, Any]) -> Problem:
    """PRIME-RL/Eurus-2-RL-Data and rows in verl's form: chat turns, and tests in ``reward_model.ground_truth``.

    Raises:
        ValueError: The row is about mathematics.
    """
    truth = parsed(row["reward_model"]["ground_truth"])
    if not isinstance(truth, Mapping | list):
        raise ValueError("its ground truth has no tests: it is no programming problem")
    return Problem(words(row["prompt"]), listed_tests(truth))


def from_deepcoder(row: Mapping[str, Any]) -> Problem:
    """agentica-org/DeepCoder-Preview-Dataset, rllm: ``problem`` and ``tests`` in the form of their sources."""
    metadata = parsed(row.get("metadata") or "{}")
    entry = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    solutions = row.get("solutions")
    first = (
        solutions[0] if isinstance(solutions, Sequence) and not isinstance(solutions, str) and len(solutions) else ""
    )
    question = with_starter(row["problem"], row.get("starter_code"))
    tests = listed_tests(parsed(row["tests"]), entry)
    return Problem(question, tests, solution=unfenced(first) if isinstance(first, str) else "")


def listed_tests(cases: Any, entry: str | None = None) -> dict[str, Any]:
    """Tests of a list of {input, output, type, fn_name or metadata}, or of {inputs, outputs, fn_name}.

    Raises:
        ValueError: There is none, or they are of several kinds.
    """
    if isinstance(cases, Mapping):
        return paired_tests(cases)
    if not isinstance(cases, Sequence) or isinstance(cases, str) or not len(cases):
        raise ValueError("it has no tests")
    names = {name_of(case) for case in cases}
    kinds = {case.get("testtype") or case.get("type") for case in cases}
    if len(names) > 1 or len(kinds) > 1:
        raise ValueError("its tests are of several kinds")
    (name,), (kind,) = names, kinds
    entry = name or (entry if kind in ("functional", "function_call") else None)
    if entry and kind == "functional":  # as LiveCodeBench writes them: a line of JSON for each argument
        return line_tests(entry, cases)
    pairs = [(parsed(case["input"]) if entry else case["input"], case["output"]) for case in cases]
    if entry:
        return function_tests(entry, [(given, parsed(output)) for given, output in pairs])
    if kind in ("functional", "function_call"):
        raise ValueError("it does not name the function under test")
    return stdin_tests(pairs)


def name_of(case: Mapping[str, Any]) -> str | None:
    """The function that a test case calls."""
    metadata = parsed(case.get("metadata") or "{}")
    return case.get("fn_name") or (metadata.get("func_name") if isinstance(metadata, Mapping) else None) or None


def parsed(value: Any) -> Any:
    """A value that may be written as JSON, or as Python writes it; as it is when it is neither."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def words(question: Any) -> str:
    """The question; of chat turns, what the user says."""
    if isinstance(question, str):
        return question
    return "\n".join(str(turn["content"]) for turn in question if turn.get("role") == "user")


def unfenced(solution: str) -> str:
    """A solution without the fence that it may stand in."""
    lines = solution.strip().split("\n")
    return "\n".join(lines[1:-1]) if lines[0].startswith("```") and lines[-1].strip() == "```" else solution


def from_livecodebench(row: Mapping[str, Any]) -> Problem:
    """livecodebench/code_generation: public and private tests, for a script or for a method of ``Solution``."""
    cases = json.loads(row["public_test_cases"]) + private_cases(row.get("private_test_cases") or "[]")
    question = with_starter(row["question_content"], row.get("starter_code"))
    entry = json.loads(row.get("metadata") or "{}").get("func_name")
    if entry:
        return Problem(question, line_tests(entry, cases))
    return Problem(question, stdin_tests([(case["input"], case["output"]) for case in cases]))


def line_tests(entry: str, cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Tests of a function whose arguments are lines of JSON."""
    tests = [
        {
            "args": [json.loads(line) for line in case["input"].split("\n") if line.strip()],
            "expected": json.loads(case["output"]),
        }
        for case in cases
    ]
    return {"type": "function", "entry": entry, "tests": tests, "tolerance": TOLERANCE}


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
