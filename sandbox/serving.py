"""The program's end of a conversation: answers questions about the functions of a namespace."""

import contextlib
import operator
import os
import sys
from typing import Any

from sandbox import codec
from sandbox.conversation import receive, send

PRINTED_BYTES = 1 << 20


class Server:
    """The program's end: answers questions about a namespace until the other end closes.

    Args:
        namespace: Of the program, which has run.
        channel: A stream to the process that asks.
    """

    def __init__(self, namespace: dict[str, Any], channel: int) -> None:
        self.namespace, self.channel, self.kept = namespace, channel, []  # type: ignore[var-annotated]
        # Taken before the program could exchange them; what it does to them later concerns its own values alone.
        self.read, self.write, self.pread, self.fstat = os.read, os.write, os.pread, os.fstat
        self.encode, self.decode = codec.encode, codec.decode

    def serve(self, failed: BaseException | None) -> None:
        """Answer; with the program's own failure, if it did not run to its end, for every question."""
        printed = self.fstat(1).st_size
        while True:
            try:
                question = receive(self.channel, self.read)
            except (EOFError, OSError):
                return
            operation, target, args, kwargs = self.decode(question, self.revive)
            before = self.decode(question, self.revive)
            try:
                if failed is not None:
                    raise failed
                answer = self.described(self.answer(operation, target, args, kwargs), args)
            except BaseException as error:
                answer = ["e", describe(error)]
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            size = self.fstat(1).st_size
            text = self.pread(1, min(size - printed, PRINTED_BYTES), printed).decode("utf-8", "replace")
            printed = size
            changed = None
            with contextlib.suppress(Exception):
                changed = [*args, *kwargs.values()]
                if [args, kwargs] == before[2:]:
                    changed = None
            try:
                text = self.encode([*answer, text, changed], self.keep)
            except BaseException:
                text = self.encode(["e", ["BaseException", [], []], "", None])
            send(self.channel, text.encode("utf-8", "surrogatepass"), self.write)

    def revive(self, _: str, number: int | None) -> Any:
        """The value that was kept under a number."""
        return None if number is None else self.kept[number]

    def answer(self, operation: str, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """The value that a question asks for."""
        if operation == "call":
            return (find(self.namespace, target) if type(target) is str else target)(*args, **kwargs)
        if operation == "attribute":
            return getattr(target, args[0])
        if operation == "set attribute":
            return setattr(target, *args)
        if operation == "iterator":
            return iter(target)
        if operation == "next":
            return next_item(target)
        if operation == "await":
            import asyncio  # each fork of a worker that has it takes longer

            return asyncio.run(target)
        name = operation.removeprefix("operator ")
        operate: Any = {"str": str, "len": len}.get(name) or getattr(operator, name)
        return operate(target, *args)

    def described(self, value: Any, args: list[Any]) -> list[Any]:
        """The answer; a value that is one of the arguments is named as that."""
        same = [place for place, argument in enumerate(args) if argument is value and type(value) in (list, dict, set)]
        return ["same", same[0]] if same else ["v", value]

    def keep(self, value: Any) -> int:
        """The number of a value that stays here."""
        self.kept.append(value)
        return len(self.kept) - 1


def next_item(iterator: Any) -> list[Any]:
    """The next item in a list, empty at the end."""
    for item in iterator:
        return [item]
    return []


def find(namespace: dict[str, Any], entry: str) -> Any:
    """The function of that name, or the method of a new ``Solution``; ``Class().method`` names another class.

    Raises:
        NameError: There is none.
    """
    owner, _, method = entry.rpartition(".")
    if owner:
        return getattr(namespace[owner.removesuffix("()")](), method)
    if entry in namespace:
        return namespace[entry]
    if "Solution" in namespace:
        function = getattr(namespace["Solution"](), entry, None)
        if function is not None:
            return function
    raise NameError(f"name {entry!r} is not defined")


def describe(error: BaseException) -> list[Any]:
    """[name of the nearest builtin exception, its arguments or its text, its other classes]."""
    classes = type(error).__mro__
    name = next((base.__name__ for base in classes if base.__module__ == "builtins"), "BaseException")
    named = [base.__name__ for base in classes] + [f"{base.__module__}:{base.__name__}" for base in classes]
    try:
        plain = classes[0].__module__ == "builtins"
        args = list(BaseException.args.__get__(error)) if plain else [str(error)]  # type: ignore[attr-defined]
        return [name, [arg if type(arg) in (int, float, bool, type(None)) else str(arg) for arg in args], named]
    except BaseException:
        return [name, [], named]
