"""Python values as text, for values that leave a process we do not trust.

`encode` runs in the process of model code: it looks at real types only and calls builtin methods unbound, so that the
methods of a class that the model wrote are never called; only an iterator is asked for its items. `decode` runs
outside: whatever the bytes are, it returns values of builtin types and of those in `sandbox.codec_types`, or raises
`CodecError`, in bounded time and depth. Equal values are the same text in any process.

It does not carry identity, cycles or types beyond those listed: the rest arrives as `Opaque`, which equals nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sandbox import codec_types

MAX_DEPTH = 100
MAX_ITEMS = 4_000_000
MAX_BYTES = 32 << 20
# An iterator is carried as its items, if it has no more than these.
MAX_ITERATED = 10_000
# Keys of one hash make a set or dict slow to build: its time is the square of their number.
MAX_SAME_HASH = 100
SAFE_INTEGER = 1 << 53
_AS_THEY_ARE = frozenset((str, bool, type(None)))

# Given a value of a type that is not carried: the number by which it can be named later, or None.
Keep = Callable[[Any], int | None]
# Given the type's name and that number: what stands for the value.
Revive = Callable[[str, int | None], Any]


class CodecError(ValueError):
    """The bytes are not an encoded value, or one beyond the limits."""


class Opaque:
    """A value of a type that is not carried. It is equal to nothing, itself included."""

    def __init__(self, type_name: str, number: int | None = None) -> None:
        self.type_name, self.number = type_name, number

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<a value of type {self.type_name}>"


def encode(value: Any, keep: Keep | None = None) -> str:
    """The value as JSON text. With ``keep``, what is not carried is numbered, and so are iterators."""
    return json.dumps(_Packer(keep).pack(value, MAX_DEPTH), separators=(",", ":"))


class _Packer:
    """Packs one value."""

    def __init__(self, keep: Keep | None) -> None:
        self.keep = keep

    def pack(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        bases = kind.__mro__
        if depth == 0:
            number = None if self.keep is None else self.keep(value)
            return ["o", "nested too deep"] if number is None else ["o", "nested too deep", number]
        if kind.__module__ == "numpy":  # its scalars derive from the builtin ones
            return self.other(value, bases, depth)
        if int in bases:
            number = int.__int__(value)
            return number if -SAFE_INTEGER < number < SAFE_INTEGER else ["i", hex(number)]
        if float in bases:
            return ["f", float.hex(float.__float__(value))]
        if str in bases:
            return str.__str__(value)
        if list in bases:
            return ["l", self.items(list.copy(value), depth)]
        if tuple in bases:
            values = [*tuple.__iter__(value)]
            record = None if kind is tuple else codec_types.record_parts(value, values)
            return ["t", self.items(values, depth)] if record is None else ["x", "record", self.items(record, depth)]
        if dict in bases:
            return self.mapping(value, bases, depth)
        if set in bases or frozenset in bases:
            items = set.__iter__(value) if set in bases else frozenset.__iter__(value)
            return [
                "s" if set in bases else "z",
                sorted((self.pack(item, depth - 1) for item in items), key=json.dumps),
            ]
        if bytes in bases:
            return ["b", bytes.hex(value)]
        if complex in bases:
            return ["c", float.hex(complex.real.__get__(value)), float.hex(complex.imag.__get__(value))]
        return self.other(value, bases, depth)

    def items(self, items: list[Any], depth: int) -> list[Any]:
        """Each packed; long lists of plain numbers or words are taken whole."""
        kinds = set(map(type, items))
        if kinds <= _AS_THEY_ARE or (
            kinds == {int} and min(items) > -SAFE_INTEGER and max(items) < SAFE_INTEGER and depth > 1
        ):
            return items
        return [self.pack(item, depth - 1) for item in items]

    def mapping(self, value: Any, bases: tuple[type, ...], depth: int) -> list[Any]:
        """A dict, or one of the library's kinds of it."""
        pairs = [[self.pack(key, depth - 1), self.pack(item, depth - 1)] for key, item in dict.items(value)]
        special = codec_types.dict_kind(value, bases)
        return ["d", pairs] if special is None else ["k", *special, pairs]

    def other(self, value: Any, bases: tuple[type, ...], depth: int) -> Any:
        """A value of the library's types, an iterator, or neither."""
        array = codec_types.pack_array(value, bases)
        if array is not None:
            return [*array[:-1], self.pack(array[-1], depth - 1)]
        parts = codec_types.take_apart(value, bases)
        if parts is not None:
            return ["x", parts[0], self.items(parts[1], depth)]
        number = None if self.keep is None else self.keep(value)
        name = type.__dict__["__name__"].__get__(bases[0])[:100]
        if number is None and bases[0].__module__ in ("builtins", "itertools") and hasattr(bases[0], "__next__"):
            items = codec_types.first_items(value, MAX_ITERATED)
            return ["o", name] if items is None else ["x", "iterator", self.items(items, depth)]
        return ["o", name] if number is None else ["o", name, number]


def decode(data: bytes | str, revive: Revive = Opaque) -> Any:
    """The value that `encode` wrote.

    Raises:
        CodecError: The data is something else, or beyond the limits.
    """
    if len(data) > MAX_BYTES:
        raise CodecError(f"{len(data)} bytes, limit {MAX_BYTES}")
    try:
        return _Unpacker(revive).unpack(json.loads(data), MAX_DEPTH + 1)
    except CodecError:
        raise
    except (ValueError, RecursionError, ArithmeticError, TypeError, LookupError, MemoryError) as error:
        raise CodecError(f"not an encoded value ({type(error).__name__})") from error


class _Unpacker:
    """Counts the items of one value."""

    def __init__(self, revive: Revive) -> None:
        self.revive, self.num_items = revive, 0

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
                return self.revive(name, None)
            case ["o", str(name), int(number)]:
                return self.revive(name, number)
            case ["d", list(pairs)]:
                return self.pairs(pairs, depth)
            case ["k", str(kind), str() | None as factory, list(pairs)]:
                return codec_types.build_dict(kind, factory, self.pairs(pairs, depth))
            case ["a", str(dtype), list() | None as shape, items]:
                return codec_types.build_array(dtype, shape, self.unpack(items, depth - 1))
            case ["x", str(name), list(parts)]:
                values = self.items(parts, depth)
                if name in ("dict_keys", "dict_items"):
                    check_hashes(values)
                return codec_types.build(name, values)
            case ["l" | "t" | "s" | "z" as tag, list(items)]:
                values = self.items(items, depth)
                if tag in ("s", "z"):
                    check_hashes(values)
                build: Any = {"l": list, "t": tuple, "s": set, "z": frozenset}[tag]
                return build(values)
        raise CodecError("no such tag")

    def items(self, items: list[Any], depth: int) -> list[Any]:
        """Each unpacked; numbers and words are what they are."""
        if set(map(type, items)) <= _AS_THEY_ARE | {int}:
            self.num_items += len(items)
            if self.num_items > MAX_ITEMS:
                raise CodecError(f"more than {MAX_ITEMS} items")
            return items
        return [self.unpack(item, depth - 1) for item in items]

    def pairs(self, pairs: list[Any], depth: int) -> dict[Any, Any]:
        """A dict of pairs."""
        unpacked = [(self.unpack(key, depth - 1), self.unpack(value, depth - 1)) for key, value in pairs]
        check_hashes(key for key, _ in unpacked)
        return dict(unpacked)


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
