"""The few parts of pytest that tests of functions use, where the checker has no pytest: raises, approx, parametrize."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any


@contextlib.contextmanager
def raises(expected: Any, match: str | None = None) -> Iterator[Any]:
    """Fails unless the block raises ``expected``, with a text that ``match`` is found in."""
    caught = SimpleNamespace(value=None, type=None)
    try:
        yield caught
    except expected as error:
        caught.value, caught.type = error, type(error)
        if match is not None and not re.search(match, str(error)):
            raise AssertionError(f"{match!r} not in {str(error)!r}") from error
        return
    raise AssertionError(f"did not raise {expected}")


def approx(expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> Any:
    """Equal to numbers within a millionth, or 1e-12; to lists and dicts of such."""
    if isinstance(expected, list | tuple):
        return type(expected)(approx(item, rel, abs, nan_ok) for item in expected)
    if isinstance(expected, dict):
        return {key: approx(item, rel, abs, nan_ok) for key, item in expected.items()}
    return expected if isinstance(expected, str) or expected is None else _Near(expected, rel, abs, nan_ok)


class _Near:
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: float | None, absolute: float | None, nan_ok: bool) -> None:
        self.expected, self.nan_ok = expected, nan_ok
        relative = 1e-6 if rel is None and absolute is None else rel or 0.0
        self.tolerance = max(relative * math.fabs(expected), 1e-12 if absolute is None else absolute)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not hasattr(other, "__float__"):
            return False
        if math.isnan(self.expected):
            return self.nan_ok and math.isnan(other)
        return other == self.expected or math.fabs(other - self.expected) <= self.tolerance


def fail(reason: str = "") -> None:
    """Fails."""
    raise AssertionError(reason)


def parametrize(names: Any, rows: Any, **_: Any) -> Callable[[Any], Any]:
    """Calls the test once for each row."""
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)

    def decorate(test: Any) -> Any:
        def every() -> None:
            for row in rows:
                given = [row] if len(keys) == 1 else row
                test(**dict(zip(keys, given, strict=True)))

        return every

    return decorate


mark = SimpleNamespace(parametrize=parametrize)
