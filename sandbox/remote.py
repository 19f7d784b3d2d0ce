"""What stands for a value that stays in the program's process: it can be called, iterated over, asked for attributes.

Tests compare; the program must not do it for them. So a remote value equals no value of a test, and what its methods
answer counts only where it cannot be a comparison. Where a class is under test, whose name begins with a capital letter
by custom, its methods and operators are what is tested, and their answers count.
"""

import types
from typing import Any

from sandbox import codec

# Answers that a method may give to arguments, which may be what the test expects.
NO_DECISION = (str, bytes, list, tuple, dict, set, type(None))


class Died(BaseException):
    """The program ended, or answered with something that is no answer."""


class Remote(codec.Opaque):
    """One value.

    Args:
        program: The `sandbox.conversation.Program` that it belongs to.
        type_name, number: As the codec carries them.
    """

    def __init__(self, program: Any, type_name: str, number: int | None) -> None:
        super().__init__(type_name, number)
        self.program, self.free, self.is_method = program, program.free, False

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` asks for."""
        return types.GeneratorType if self.type_name == "generator" else Remote

    def counted(self, value: Any, given: Any) -> Any:
        """An answer of this value's, unless it may be a comparison.

        Raises:
            Died: It may be.
        """
        if self.free or type(value) is Remote:
            return value
        if isinstance(value, bool) or (given and not isinstance(value, NO_DECISION)):
            self.program.num_died += 1
            raise Died
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it where it is."""
        value = self.program.ask("call", self, args, kwargs)
        return self.counted(value, args or kwargs) if self.is_method else value

    def __getattr__(self, name: str) -> Any:
        """An attribute of the value, or a method."""
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.program.ask("attribute", self, (name,), {})
        if type(value) is Remote:
            value.is_method = True
        return self.counted(value, ())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("program", "free", "is_method", "type_name", "number"):
            object.__setattr__(self, name, value)
        else:
            self.program.ask("set attribute", self, (name, value), {})

    def __iter__(self) -> Any:
        return self.program.ask("iterator", self, (), {})

    def __next__(self) -> Any:
        value = self.program.ask("next", self, (), {})
        if not value:
            raise StopIteration
        return value[0]

    def awaited(self) -> Any:
        """A coroutine that waits for this one."""

        async def wait() -> Any:
            return self.program.ask("await", self, (), {})

        return wait()

    def operate(self, name: str, *args: Any) -> Any:
        """An operator of a class under test.

        Raises:
            TypeError: It is not one.
        """
        if not self.free:
            raise TypeError(f"{self!r} has no {name} that a test could trust")
        return self.program.ask(f"operator {name}", self, args, {})

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is Remote and self.free and bool(self.operate("eq", other)))

    __hash__ = None

    def __bool__(self) -> bool:
        return not self.free or bool(self.operate("truth"))

    def __len__(self) -> int:
        return self.operate("len")

    def __str__(self) -> str:
        return str(self.operate("str")) if self.free else repr(self)

    def __lt__(self, other: Any) -> Any:
        return self.operate("lt", other)

    def __gt__(self, other: Any) -> Any:
        return self.operate("gt", other)

    def __le__(self, other: Any) -> Any:
        return self.operate("le", other)

    def __ge__(self, other: Any) -> Any:
        return self.operate("ge", other)

    def __contains__(self, item: Any) -> Any:
        return self.operate("contains", item)

    def __getitem__(self, place: Any) -> Any:
        return self.operate("getitem", place)

    def __setitem__(self, place: Any, value: Any) -> None:
        self.operate("setitem", place, value)

    def __add__(self, other: Any) -> Any:
        return self.operate("add", other)

    def __sub__(self, other: Any) -> Any:
        return self.operate("sub", other)

    def __mul__(self, other: Any) -> Any:
        return self.operate("mul", other)

    def __neg__(self) -> Any:
        return self.operate("neg")
