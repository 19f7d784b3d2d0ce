"""Two processes in a sandbox that talk: one has the program's functions, the other calls them.

A test that needs many calls, or looks at the state, the output or the changed arguments of one, runs in a process
without model code and asks a process that has nothing else. What comes back is data (`sandbox.codec`); a value that
cannot be carried stays where it is, and a `Remote` stands for it.

A question is [operation, target, args, kwargs], an answer [kind, value, printed, changed]. Nothing here says whether an
answer is right.
"""

import builtins
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sandbox import codec
from sandbox.remote import Died, Remote

LENGTH = struct.Struct("=Q")
# Bytes in the pipe that tells the supervisor of the program when a question was put and when it was answered.
ASKED, ANSWERED = b"?", b"."


class CannotBePassedError(BaseException):
    """A test passes a value that cannot be carried to the program."""


class Program:
    """The program under test, as a process without model code sees it.

    Args:
        channel: A stream to the program's process.
        beats: Where its supervisor is told of each question.
        names: Builtins and the customary names of tests, for who runs them.
    """

    def __init__(self, channel: int, beats: int, names: dict[str, Any]) -> None:
        self.channel, self.beats, self.names = channel, beats, names
        self.lost = False
        self.num_asked = self.num_died = self.test = 0
        self.raised: BaseException | None = None
        self.free = False
        self.errors: dict[str, type[Exception]] = {}

    def ask(self, operation: str, target: Any, args: Any, kwargs: Any) -> Any:
        """The value of the program's answer.

        Raises:
            CannotBePassedError: An argument cannot be carried.
            Died: There is no answer.
            Exception: What the program raised, as the nearest builtin exception.
        """
        self.num_asked += 1
        question = self.pack([operation, target, list(args), kwargs])
        self.free = target.free if type(target) is Remote else target.rpartition(".")[2].lstrip("_")[:1].isupper()
        kind, value, printed, changed = self.exchange(question)
        if type(printed) is str and printed and sys.stdout is not sys.__stdout__:
            sys.stdout.write(printed)
        if type(changed) is list:
            for old, new in zip([*args, *kwargs.values()], changed, strict=False):
                change(old, new)
        if kind == "v":
            return value
        if kind == "same" and type(value) is int and 0 <= value < len(args):
            return args[value]
        self.raised = exception(value, self.errors)
        self.num_died += type(self.raised) is Died
        raise self.raised

    def exchange(self, question: str) -> Any:
        """The parts of the program's answer."""
        try:
            if not self.lost:
                os.write(self.beats, ASKED)
                send(self.channel, question.encode(), os.write)
                answer = codec.decode(receive(self.channel, os.read), self.revive)
                os.write(self.beats, ANSWERED)
                if type(answer) is list and len(answer) == 4:
                    return answer
        except (OSError, EOFError, ValueError, MemoryError):
            pass
        self.lost = True
        self.num_died += 1
        raise Died

    def pack(self, question: list[Any]) -> str:
        """The question's text."""
        try:
            text = codec.encode(question, self.number)
        except RecursionError:
            text = ""
        if text and len(text) <= codec.MAX_BYTES:
            return text
        self.num_died += 1
        raise Died

    def number(self, value: Any) -> int | None:
        """The number of a value of the program's; a value of the test's own has none."""
        # Nested too deep, or of a kind that only the program can have brought here: its own doing.
        if isinstance(value, list | tuple | dict | BaseException) or type(value).__name__ == "coroutine":
            self.num_died += 1
            raise Died
        if hasattr(type(value), "__next__") and type(value) is not Remote:
            return None
        if type(value) is not Remote or value.number is None:
            raise CannotBePassedError(type(value).__name__)
        return value.number

    def revive(self, type_name: str, number: int | None) -> Any:
        """What stands for a value of the program's."""
        remote = Remote(self, type_name, number)
        return remote.awaited() if type_name == "coroutine" else remote


def change(old: Any, new: Any) -> None:
    """Make ``old`` what the program has made of it, if that is of the same type."""
    if type(old) is not type(new):
        return
    if isinstance(old, list):
        for place, item in enumerate(old[: len(new)]):
            if type(item) is type(new[place]) and isinstance(item, list | dict | set | bytearray):
                change(item, new[place])
                new[place] = item
        old[:] = new
    elif isinstance(old, dict):
        kept = {key: old[key] for key in new if key in old and isinstance(old[key], list | dict | set)}
        for key, item in kept.items():
            if type(item) is type(new[key]):
                change(item, new[key])
                new[key] = item
        old.clear()
        old.update(new)
    elif isinstance(old, set):
        old.intersection_update(new)
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif type(old).__name__ == "deque":
        old.clear()
        old.extend(new)
    elif type(old).__name__ == "ndarray" and old.shape == new.shape:
        old[...] = new


def exception(described: Any, own: Mapping[str, type[Exception]]) -> BaseException:
    """The exception of [builtin name, args, names of its classes], where ``own`` are those that the tests have of it.

    `Died` for one that would end a loop of the test's without failing it.
    """
    match described:
        case [str(name), list(args), list(classes)]:
            kind: Any = next((own[word] for word in classes if type(word) is str and word in own), None)
            kind = kind or next(filter(None, map(library_error, classes)), None) or getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, StopIteration):
                error = kind.__new__(kind, *args)
                error.args = tuple(args)
                return error
            if kind in (SystemExit, KeyboardInterrupt):
                return kind(*args[:1])
    return Died()


def library_error(name: Any) -> type[Exception] | None:
    """The exception ``module:class`` of the standard library, if it is loaded here."""
    module, _, word = name.partition(":") if type(name) is str else ("", "", "")
    found = (
        getattr(sys.modules.get(module), word, None) if module.partition(".")[0] in sys.stdlib_module_names else None
    )
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def send(channel: int, data: bytes, write: Callable[[int, Any], int]) -> None:
    """Write one message."""
    view = memoryview(LENGTH.pack(len(data)) + data)
    while view:
        view = view[write(channel, view) :]


def receive(channel: int, read: Callable[[int, int], bytes]) -> bytes:
    """One message.

    Raises:
        EOFError: The other end is closed.
        ValueError: It is longer than any value may be.
    """
    length = LENGTH.unpack(_exactly(channel, LENGTH.size, read))[0]
    if length > codec.MAX_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return _exactly(channel, length, read)


def _exactly(channel: int, count: int, read: Callable[[int, int], bytes]) -> bytes:
    parts, left = [], count
    while left:
        part = read(channel, min(left, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
