"""The tests of a programming problem: read from a row of data, and refused there when they cannot be tests."""

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


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
        entry: Name of the function under test.
        tolerance: Numbers may differ by this much, absolutely or relatively; None compares text or values exactly.
        setup: ASSERT: trusted source that the tests need, such as imports or the problem's own helper functions.
    """

    kind: Kind
    tests: Sequence[Any]
    entry: str = ""
    tolerance: float | None = None
    setup: str = ""

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
                spec["tests"],
                spec.get("entry") or "",
                spec.get("tolerance"),
                spec.get("setup") or "",
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
        if self.kind is not Kind.STDIN and not self.entry.isidentifier():
            return f"entry = {self.entry!r}: must name the function under test"
        if self.tolerance is not None and not (type(self.tolerance) in (int, float) and 0 <= self.tolerance < math.inf):
            return f"tolerance = {self.tolerance!r}: must be a number from 0 up"
        return None
