"""Runs tests of a function in a sandbox without model code; the function itself runs in another, and is asked.

`program` is how it is asked, a `sandbox.conversation.Program` or a `Replay`. What a test is told by it are values, not
objects of the program's making, so no comparison is the program's to decide.

A test must not evaluate text that the program returns (`eval(f(x))`): that would run the program in this process, where
it could make every test pass.
"""

import ast
import builtins
import re
import symtable
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from rewards import code_pytest
from rewards.code_compare import same_value
from sandbox.codec import Opaque, encode
from sandbox.conversation import CannotBePassedError, exception
from sandbox.remote import Died

# What a test may exchange in its own process, and the program in another does not see.
SURROUNDINGS = re.compile(r"\bpatch(?:\.\w+)?\(|\bmonkeypatch\b|\bsys\.stdin\s*=|\bbuiltins\.\w+\s*=")
# The outcome of one test, with a detail. "broken": the test cannot be run, whatever the program is.
Found = tuple[str, str]


def check(program: Any, spec: dict[str, Any]) -> tuple[list[Found], list[Any]]:
    """An outcome for each test of `CodeTests`, as far as they were run; the questions that a `Replay` cannot answer."""
    found = list(values(program, spec) if spec["kind"] == "function" else asserts(program, spec))
    if not program.num_asked and all(outcome != "broken" for outcome, _ in found):
        found = [("broken", f"no test calls {spec['entry']}: {found[0][1] or 'they pass without'}")]
    return found, getattr(program, "wanted", [])


def values(program: Any, spec: dict[str, Any]) -> Iterator[Found]:
    """Compare the function's values with the expected ones."""
    for program.test, test in enumerate(spec["tests"]):
        try:
            value = program.ask("call", spec["entry"], test["args"], {})
            expected, tolerance = test["expected"], spec["tolerance"]
            good = same_value(value, expected, tolerance)
            if not good and spec["list_of_one"] and type(expected) is list and len(expected) == 1:
                good = same_value(value, expected[0], tolerance)
            found = ("pass", "") if good else ("fail", f"returned {show(value)}")
        except BaseException as error:
            found = failure(error)
        yield "died" if program.lost else found[0], found[1]
        if program.lost or (spec["stop_early"] and found[0] == "fail"):
            return


def asserts(program: Any, spec: dict[str, Any]) -> Iterator[Found]:
    """Run each test's text."""
    entry, texts = spec["entry"], spec["tests"]
    try:
        codes = [compiled(text, entry) for text in texts]
        setup = compile(spec["setup"], "setup", "exec")
    except (SyntaxError, ValueError) as error:
        yield "broken", f"a test does not compile: {error}"
        return
    surroundings = next(filter(None, map(SURROUNDINGS.search, texts)), None)
    if surroundings:
        yield "broken", f"a test changes what the program runs in ({surroundings[0]}), which is another process"
        return
    function = stub(program, entry)
    solution = Solution("solution", program)
    sys.modules["solution"] = solution
    sys.modules.setdefault("pytest", code_pytest)  # the real one is no part of this machine's standard library
    missing = undefined([spec["setup"], *texts], {*program.names, entry, "candidate", "__name__", "__file__"})
    if missing:
        yield "broken", f"a test needs {', '.join(missing)}, which it does not define"
        return
    namespace = {"__name__": "tests", "__builtins__": program.names}
    exec(setup, namespace)
    for program.test, code in enumerate(codes):
        namespace[entry.rpartition(".")[2]] = namespace["candidate"] = function
        died = program.num_died
        try:
            exec(code, namespace)
            found = ("pass", "")
        except BaseException as error:
            found = failure(error)
            if isinstance(error, NameError | ImportError) and error is not program.raised:
                found = ("broken", found[1])
        if found[0] == "pass" and program.num_died > died:  # whatever the test caught
            found = ("fail", "it ended without a value")
        yield found


def failure(error: BaseException) -> Found:
    """How a test that raised is counted."""
    if isinstance(error, PendingError):
        return "pending", ""
    if isinstance(error, CannotBePassedError):
        return "broken", f"a test passes a value of type {error}, and only data can be passed"
    try:
        return "fail", f"{type(error).__name__}: {error}"[:200]
    except Exception:  # of the error's own __str__, which the program may have written
        return "fail", type(error).__name__


def show(value: Any) -> str:
    """A short form of a value."""
    try:
        return repr(value)[:100] if not isinstance(value, int) or abs(value) < 10**100 else "a large number"
    except Exception:  # of the value's own __repr__, which the program may have written
        return f"a {type(value).__name__}"


def stub(program: Any, name: str) -> Callable[..., Any]:
    """What stands for the program's function ``name``."""

    def function(*args: Any, **kwargs: Any) -> Any:
        return program.ask("call", name, args, kwargs)

    function.__name__ = function.__qualname__ = name
    return function


class Solution(types.ModuleType):
    """The module that tests import the program's functions from."""

    def __init__(self, name: str, program: Any) -> None:
        super().__init__(name)
        self.__dict__["_program"] = program

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.endswith(("Error", "Exception")):
            return self._program.errors.setdefault(name, type(name, (Exception,), {}))
        return stub(self._program, name)


def compiled(text: str, entry: str) -> types.CodeType:
    """The test as code."""
    if not re.search(rf"^def[ \t]+{re.escape(entry)}\b", text, re.MULTILINE):
        return compile(text, "test", "exec")
    return compile(ast.fix_missing_locations(Renamed(entry).visit(ast.parse(text))), "test", "exec")


class Renamed(ast.NodeTransformer):
    """Keeps apart a function under test and a test's own function of the same name, as in ``check(check)``."""

    def __init__(self, entry: str) -> None:
        self.entry = entry

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """``check(check)`` passes the function under test."""
        self.generic_visit(node)
        for place, argument in enumerate(node.args):
            if isinstance(argument, ast.Name) and argument.id == self.entry:
                node.args[place] = ast.copy_location(ast.Name("candidate", ast.Load()), argument)
        return node


def undefined(texts: list[str], known: set[str]) -> list[str]:
    """Global names that the tests use and nowhere make; none where names may come from anywhere."""
    if any(re.search(r"\bimport[ \t]*\*|\b(?:exec|globals|setattr)\(", text) for text in texts):
        return []
    used, made = set[str](), set(known) | set(vars(builtins))
    tables = [symtable.symtable(text, "test", "exec") for text in texts]
    for table in tables:  # grows with the scopes within
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if top or symbol.is_global():
                bound = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
                (made if bound else used).add(symbol.get_name())
        tables += table.get_children()
    return sorted(used - made)


class PendingError(BaseException):
    """A test needs an answer that is not known yet."""


class Replay:
    """A program that cannot be asked while tests run: its answers so far are known, and one more ends a test.

    Args:
        known: For each test, the answers to its questions in order: ("value", v), ("raised", builtin's name) or None.
        names: As `sandbox.conversation.Program` has them.
    """

    def __init__(self, known: list[list[Any]], names: dict[str, Any]) -> None:
        self.known, self.names = [list(answers) for answers in known], names
        self.test, self.num_died, self.num_asked = 0, 0, 0
        self.errors: dict[str, type[Exception]] = {}
        self.lost = False
        self.raised: BaseException | None = None
        self.wanted: list[list[Any]] = []

    def ask(self, _: str, target: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """The answer, as `sandbox.conversation.Program.ask`; raises `PendingError` when it is not known."""
        self.num_asked += 1
        if not self.known[self.test]:
            encode([list(args), kwargs], self.number)
            if all(test != self.test for test, *_ in self.wanted):
                self.wanted.append([self.test, target, list(args), kwargs])
            raise PendingError
        answer = self.known[self.test].pop(0)
        if answer is not None and answer[0] == "value":
            return answer[1]
        self.raised = exception([answer[1], [], []] if answer else None, {})
        self.num_died += type(self.raised) is Died
        raise self.raised

    def number(self, value: Any) -> int | None:
        """Refuses what cannot be carried: the program's own value, passed back to it, is the program's fault."""
        if isinstance(value, Opaque | list | tuple | dict):
            self.num_died += 1
            raise Died
        if hasattr(type(value), "__next__"):
            return None
        raise CannotBePassedError(type(value).__name__)
