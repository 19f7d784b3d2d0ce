"""What programs find here as on the machines of contests, beyond a bare interpreter. No limit of ours gives way."""

import builtins
import importlib
import os
import resource
import sys
from typing import Any

# As LiveCodeBench's checker imports before a program that is a function; a later one wins.
STARRED = "string re datetime collections heapq bisect copy math random statistics itertools functools operator io json"
STARRED += " sys typing"
MODULES = STARRED + " os time"
FUNCTION_RECURSION = 50_000
FILE_NAME = "solution.py"


def customary_names() -> dict[str, Any]:
    """The names that starter code uses without importing them, and never one of a builtin."""
    found: dict[str, Any] = {}
    for name in STARRED.split():
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None) or [key for key in vars(module) if not key.startswith("_")]
        found |= {key: getattr(module, key) for key in public}
    found |= {name: importlib.import_module(name) for name in MODULES.split()}
    return {key: value for key, value in found.items() if not hasattr(builtins, key)}


def builtins_with(names: dict[str, Any]) -> dict[str, Any]:
    """A ``__builtins__`` in which a name is found only where the program has none of its own."""
    return {**names, **vars(builtins)}


def prepare() -> None:
    """What holds for all programs of this process: a request for a larger stack is content, and numbers may be long."""
    sys.set_int_max_str_digits(0)
    real = resource.setrlimit

    def setrlimit(which: int, limits: Any) -> None:
        try:
            real(which, limits)
        except (OSError, ValueError):
            if which != resource.RLIMIT_STACK:  # it is as large as it can be
                raise

    resource.setrlimit = setrlimit


class Source:
    """The loader of a program, which knows its text: for `inspect` and for tracebacks."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_source(self, _: str) -> str:
        """The text."""
        return self.text


def place(text: str, namespace: dict[str, Any]) -> str:
    """The text to compile; the program finds its own source where a script does."""
    text = text.removeprefix("\ufeff")
    namespace["__file__"] = f"{os.getcwd()}/{FILE_NAME}"
    namespace["__loader__"] = Source(text)
    return text
