"""Plain Python values as text, for results that leave a process we do not trust.

`encode` runs in the process of model code: it looks at real types only and calls builtin methods unbound, so that the
methods of a class that the model wrote are never called. `decode` runs outside: whatever the bytes are, it returns
plain values of exact builtin types or raises `CodecError`, in bounded time and depth. Equal values are the same text
in any process.

It does not carry identity, cycles or types beyond those listed: the rest arrives as `Opaque`, which equals nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100
MAX_ITEMS = 1_000_000
MAX_BYTES = 32 << 20
# Keys of one hash make a set or dict slow to build: its time is the square of their number.
MAX_SAME_HASH = 100
SAFE_INTEGER = 1 << 53


class CodecError(ValueError):
    """The bytes are not an encoded value, or one beyond the limits."""


class Opaque:
    """A value of a type that is not carried. It is equal to nothing, itself included."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<a value of type {self.type_name}>"


def encode(value: Any) -> str:
    """The value as JSON text."""
    return json.dumps(_pack(value, MAX_DEPTH), separators=(",", ":"))


def _pack(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if depth == 0:
        return ["o", "nested too deep"]
    bases = kind.__mro__
    if int in bases:
        number = int.__int__(value)
        return number if -SAFE_INTEGER < number < SAFE_INTEGER else ["i", hex(number)]
    if float in bases:
        return ["f", float.hex(float.__float__(value))]
    if str in bases:
        return str.__str__(value)
    if list in bases:
        return ["l", [_pack(item, depth - 1) for item in list.__iter__(value)]]
    if tuple in bases:
        return ["t", [_pack(item, depth - 1) for item in tuple.__iter__(value)]]
    if dict in bases:
        return ["d", [[_pack(key, depth - 1), _pack(item, depth - 1)] for key, item in dict.items(value)]]
    if set in bases or frozenset in bases:
        items = set.__iter__(value) if set in bases else frozenset.__iter__(value)
        return ["s" if set in bases else "z", sorted((_pack(item, depth - 1) for item in items), key=json.dumps)]
    if bytes in bases:
        return ["b", bytes.hex(value)]
    if complex in bases:
        return ["c", float.hex(complex.real.__get__(value)), float.hex(complex.imag.__get__(value))]
    return _pack_array(value, bases, depth) or ["o", type.__dict__["__name__"].__get__(kind)[:100]]


def _pack_array(value: Any, bases: tuple[type, ...], depth: int) -> Any:
    """NumPy arrays and scalars as the Python values that they hold; None for other types."""
    base: Any
    for base in bases:
        if base.__module__ == "numpy" and base.__name__ == "ndarray":
            return _pack(base.tolist(value), depth - 1)
        if base.__module__ == "numpy" and base.__name__ == "generic":
            plain = base.item(value)
            return None if type(plain) is type(value) else _pack(plain, depth - 1)
    return None


def decode(data: bytes | str) -> Any:
    """The value that `encode` wrote.

    Raises:
        CodecError: The data is something else, or beyond the limits.
    """
    if len(data) > MAX_BYTES:
        raise CodecError(f"{len(data)} bytes, limit {MAX_BYTES}")
    try:
        return _Unpacker().unpack(json.loads(data), MAX_DEPTH + 1)
    except CodecError:
        raise
    except (ValueError, RecursionError, OverflowError, TypeError) as error:
        raise CodecError(f"not an encoded value ({type(error).__name__})") from error


class _Unpacker:
    """Counts the items of one value."""

    def __init__(self) -> None:
        self.num_items = 0

    def unpack(self, packed: Any, depth: int) -> Any:
        self.num_items += 1
        if depth == 0 or self.num_items > MAX_ITEMS:
            raise CodecError("nested too deep" if depth == 0 else f"more than {MAX_ITEMS} items")
        if packed is None or type(packed) in (bool, int, str):
            return packed
        if type(packed) is not list:
            raise CodecError(f"a bare {type(packed).__name__}")
        match packed:
            case ["i", str(digits)]:
                return int(digits, 16)
            case ["f", str(digits)]:
                return float.fromhex(digits)
            case ["c", str(real), str(imaginary)]:
                return complex(float.fromhex(real), float.fromhex(imaginary))
            case ["b", str(digits)]:
                return bytes.fromhex(digits)
            case ["o", str(name)]:
                return Opaque(name)
            case ["d", list(pairs)]:
                unpacked = [(self.unpack(key, depth - 1), self.unpack(value, depth - 1)) for key, value in pairs]
                check_hashes(key for key, _ in unpacked)
                return dict(unpacked)
            case ["l" | "t" | "s" | "z" as tag, list(items)]:
                values = [self.unpack(item, depth - 1) for item in items]
                if tag in ("s", "z"):
                    check_hashes(values)
                build: Any = {"l": list, "t": tuple, "s": set, "z": frozenset}[tag]
                return build(values)
        raise CodecError("no such tag")


def check_hashes(keys: Iterable[Any]) -> None:
    """Refuse keys that were chosen to collide."""
    counts = Counter(map(hash, keys))
    if counts and max(counts.values()) > MAX_SAME_HASH:
        raise CodecError(f"more than {MAX_SAME_HASH} keys of one hash")


def read_answer(data: bytes) -> tuple[str, Any] | None:
    """What a call left: ``("value", v)``, ``("raised", builtin exception's name)``, or None for anything else."""
    try:
        answer = decode(data)
    except CodecError:
        return None
    match answer:
        case ["v", value]:
            return "value", value
        case ["e", str(name)]:
            return "raised", name
    return None
