"""The tests of a programming problem: read from a row of data, and refused there when they cannot be tests."""

import enum
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ENTRY = re.compile(r"(?:[^\W\d]\w*\(\)\.)?[^\W\d]\w*")


def _tests(spec: Mapping[str, Any]) -> Any:
    """The tests; with the key ``integer_keys``, arguments have the integer keys that JSON cannot write."""
    tests = spec["tests"]
    if not spec.get("integer_keys") or not isinstance(tests, list):
        return tests
    return [{**test, "args": with_integer_keys(test["args"])} for test in tests]


class Kind(enum.StrEnum):
    """What a test compares."""

    STDIN = "stdin"
    FUNCTION = "function"
    ASSERT = "assert"


@dataclass(frozen=True)
class CodeTests:
    """The tests of one problem.

    Attributes:
        kind: Which.
        tests: STDIN: {"stdin", "expected"} each. FUNCTION: {"args", "expected"} each. ASSERT: source text each, which
            calls the function by its name or as ``candidate`` and raises when it is wrong.
        entry: Name of the function under test, or ``Class().method``.
        tolerance: Numbers are compared as numbers, and those that are not whole may differ by this much, absolutely or
            relatively; None compares text or values exactly.
        list_of_one: FUNCTION: an expected list of one may also stand for its item.
        setup: ASSERT: trusted source that the tests need, such as imports or the problem's own helper functions.
    """

    kind: Kind
    tests: Sequence[Any]
    entry: str = ""
    tolerance: float | None = None
    setup: str = ""
    list_of_one: bool = False

    @classmethod
    def parse(cls, given: str | Mapping[str, Any]) -> "CodeTests":
        """From a mapping, or its JSON text, with the key ``type`` for the kind and the others as above.

        Raises:
            ValueError: Something is missing or of the wrong type.
        """
        try:
            spec = json.loads(given) if isinstance(given, str) else given
            if not isinstance(spec, Mapping):
                raise ValueError(f"tests are a mapping, not {type(spec).__name__}")
            found = cls(
                Kind(spec["type"]),
                _tests(spec),
                spec.get("entry") or "",
                spec.get("tolerance"),
                spec.get("setup") or "",
                bool(spec.get("list_of_one")),
            )
        except KeyError as error:
            raise ValueError(f"tests have no {error}") from error
        except RecursionError as error:
            raise ValueError("tests are nested too deep") from error
        fault = found.fault()
        if fault is not None:
            raise ValueError(fault)
        return found

    def fault(self) -> str | None:
        """Why these cannot be tests, or None."""
        if not isinstance(self.tests, Sequence) or isinstance(self.tests, str) or not self.tests:
            return "tests are not a list of one or more"
        keys = {Kind.STDIN: {"stdin", "expected"}, Kind.FUNCTION: {"args", "expected"}, Kind.ASSERT: None}[self.kind]
        for number, test in enumerate(self.tests):
            if keys is None:
                if not isinstance(test, str):
                    return f"test {number} is not source text"
            elif not isinstance(test, Mapping) or not keys <= test.keys():
                return f"test {number} lacks one of {', '.join(sorted(keys))}"
            elif self.kind is Kind.STDIN and not (isinstance(test["stdin"], str) and isinstance(test["expected"], str)):
                return f"test {number}: stdin and expected must be text"
            elif self.kind is Kind.FUNCTION and not isinstance(test["args"], list):
                return f"test {number}: args must be a list"
        if self.kind is not Kind.STDIN and not _ENTRY.fullmatch(self.entry):
            return f"entry = {self.entry!r}: must name the function under test"
        if self.tolerance is not None and not (type(self.tolerance) in (int, float) and 0 <= self.tolerance < math.inf):
            return f"tolerance = {self.tolerance!r}: must be a number from 0 up"
        return None


def with_integer_keys(value: Any) -> Any:
    """The value with the keys of its dicts as integers where all of them are: JSON has none."""
    if isinstance(value, list):
        return [with_integer_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    whole = bool(value) and all(
        isinstance(key, str) and re.fullmatch(r"-?(?:0|[1-9][0-9]{0,17})", key) for key in value
    )
    return {int(key) if whole else key: with_integer_keys(item) for key, item in value.items()}
