"""The library's types that `sandbox.codec` carries: taken apart into plain parts, and built again from them.

Taking apart happens in the process of model code and calls the types' own methods unbound; building happens outside,
from parts that may be anything, and raises one of the errors that `codec.decode` expects.
"""

import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import itertools
import sys
import types
from typing import Any

MAX_ARRAY_BYTES = 256 << 20
ARRAY_KINDS = "biufcSU"
MAX_DIGITS = 100_000  # arithmetic on longer fractions and decimals takes long
# Builtins that may be passed by name: none that reads text as code or opens anything.
NAMED = frozenset(
    "abs all any ascii bin bool bytearray bytes chr complex dict divmod enumerate filter float frozenset hash hex int"
    " len list map max min object oct ord pow range repr reversed round set sorted str sum tuple zip".split()
)
# Types that are the same again from their text.
WRITTEN = {
    (module, name): name for module, name in (("uuid", "UUID"), ("pathlib", "PosixPath"), ("pathlib", "PurePosixPath"))
}
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class Record(tuple):
    """A named tuple: its values, with names."""

    def __new__(cls, kind: str, fields: list[str], values: list[Any]) -> "Record":
        """A record of as many values as fields."""
        made = super().__new__(cls, values)
        made._kind, made._fields = kind, tuple(fields)  # type: ignore[attr-defined]
        return made

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("_fields", ())
        if name not in fields:
            raise AttributeError(name)
        return self[fields.index(name)]

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self.__dict__["_fields"], self, strict=False))

    def __repr__(self) -> str:
        return f"{self.__dict__['_kind']}({', '.join(f'{key}={value!r}' for key, value in self._asdict().items())})"


def record_parts(value: Any, items: list[Any]) -> list[Any] | None:
    """The parts of a named tuple with these items, or None for another subclass of tuple."""
    fields = getattr(value, "_fields", None)
    if type(fields) is not tuple or len(fields) != len(items) or not all(type(name) is str for name in fields):
        return None
    return [str(getattr(value, "_kind", type(value).__name__)), list(fields), items]


def take_apart(value: Any, bases: tuple[type, ...]) -> tuple[str, list[Any]] | None:
    """(name of the type, parts), or None for a type that is not carried."""
    kind = bases[0]
    if kind is range:
        return "range", [value.start, value.stop, value.step]
    if bytearray in bases:
        return "bytearray", [bytes(bytearray.__getitem__(value, slice(None)))]
    if kind in VIEWS:
        return kind.__name__, list(value)
    if collections.deque in bases:
        return "deque", [list(collections.deque.__iter__(value)), collections.deque.maxlen.__get__(value)]
    if decimal.Decimal in bases:
        return "Decimal", [decimal.Decimal.__str__(value)]
    if kind is fractions.Fraction:
        return "Fraction", [value.numerator, value.denominator]
    if kind is datetime.datetime or kind is datetime.time:
        zone = value.tzinfo
        if zone is None or type(zone) is datetime.timezone:
            offset = None if zone is None else zone.utcoffset(None).total_seconds()
            return kind.__name__, [value.replace(tzinfo=None).isoformat(), value.fold, offset]
    if kind is datetime.date:
        return "date", [value.isoformat()]
    if kind is slice:
        return "slice", [value.start, value.stop, value.step]
    if (kind.__module__, kind.__name__) in WRITTEN:
        return kind.__name__, [str(value)]
    if kind is datetime.timedelta:
        return "timedelta", [value.days, value.seconds, value.microseconds]
    name = getattr(value, "__name__", None) if kind in (type, types.BuiltinFunctionType) else None
    if type(name) is str and name in NAMED and getattr(builtins, name) is value:
        return "named", [name]
    if value is Ellipsis or value is NotImplemented:
        return "named", [str(value)]
    return None


def build(name: str, parts: list[Any]) -> Any:
    """The value that `take_apart` took apart."""
    match name, parts:
        case "range", [int(start), int(stop), int(step)]:
            return range(start, stop, step)
        case "bytearray", [bytes(data)]:
            return bytearray(data)
        case "iterator", _:
            return iter(parts)
        case "dict_keys", _:
            return dict.fromkeys(parts).keys()
        case "dict_values", _:
            return dict(enumerate(parts)).values()
        case "dict_items", _:
            return dict(parts).items()
        case "deque", [list(items), int() | None as maxlen]:
            return collections.deque(items, maxlen)
        case "Decimal", [str(digits)] if len(digits) <= MAX_DIGITS:
            return decimal.Decimal(digits)
        case "Fraction", [int(top), int(bottom)] if max(top.bit_length(), bottom.bit_length()) <= MAX_DIGITS:
            return fractions.Fraction(top, bottom)
        case "date", [str(text)]:
            return datetime.date.fromisoformat(text)
        case (("datetime" | "time"), [str(text), int(fold), int() | float() | None as offset]):
            zone = None if offset is None else datetime.timezone(datetime.timedelta(seconds=offset))
            return getattr(datetime, name).fromisoformat(text).replace(tzinfo=zone, fold=fold)
        case "timedelta", [int(days), int(seconds), int(microseconds)]:
            return datetime.timedelta(days, seconds, microseconds)
        case "slice", [start, stop, step]:
            return slice(start, stop, step)
        case "record", [str(kind), list(fields), list(values)]:
            return Record(kind, fields, values)
        case _, [str(text)] if name in WRITTEN.values():
            modules = {word: module for (module, word) in WRITTEN}
            return getattr(importlib.import_module(modules[name]), name)(text)
        case "named", ["Ellipsis" | "NotImplemented" as word]:
            return getattr(builtins, word)
        case "named", [str(word)] if word in NAMED:
            return getattr(builtins, word)
    raise ValueError(name)


def first_items(iterator: Any, limit: int) -> list[Any] | None:
    """All items of an iterator, or None if it has more than ``limit``."""
    items = list(itertools.islice(iterator, limit + 1))
    return items if len(items) <= limit else None


def dict_kind(value: Any, bases: tuple[type, ...]) -> tuple[str, str | None] | None:
    """(name of the kind of dict, name of what makes a defaultdict's missing values); None for a plain dict."""
    if collections.defaultdict in bases:
        factory = vars(collections.defaultdict)["default_factory"].__get__(value)
        name = getattr(factory, "__name__", None) if type(factory) is type else None
        return "defaultdict", name if type(name) is str and name in NAMED else None
    for kind in (collections.Counter, collections.OrderedDict):
        if kind in bases:
            return kind.__name__, None
    return None


def build_dict(kind: str, factory: str | None, pairs: dict[Any, Any]) -> Any:
    """The kind of dict that `dict_kind` named."""
    if kind == "defaultdict":
        return collections.defaultdict(getattr(builtins, factory) if factory in NAMED else None, pairs)
    if kind == "Counter":
        made: collections.Counter[Any] = collections.Counter()
        dict.update(made, pairs)
        return made
    if kind == "OrderedDict":
        return collections.OrderedDict(pairs)
    raise ValueError(kind)


def pack_array(value: Any, bases: tuple[type, ...]) -> list[Any] | None:
    """A NumPy array or scalar as ["a", type, shape, flat items]; None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if numpy.ndarray in bases:
        plain = numpy.ndarray.view(value, numpy.ndarray)
        text = plain.dtype.str if plain.dtype.kind in ARRAY_KINDS else "O"
        return ["a", text, list(plain.shape), plain.reshape(-1).tolist()]
    if numpy.generic in bases and value.dtype.kind in ARRAY_KINDS:
        return ["a", value.dtype.str, None, numpy.generic.item(value)]
    return None


def build_array(dtype: str, shape: list[Any] | None, items: Any) -> Any:
    """The array, or a scalar where there is no shape; the plain items where NumPy is not installed."""
    try:
        import numpy
    except ImportError:
        return items
    if dtype == "O":
        made = numpy.empty(len(items), object)
        for place, item in enumerate(items):
            made[place] = item
        return made.reshape(shape)
    kind = numpy.dtype(dtype)
    if kind.kind not in ARRAY_KINDS or kind.itemsize * (1 if shape is None else len(items)) > MAX_ARRAY_BYTES:
        raise ValueError(dtype)
    return kind.type(items) if shape is None else numpy.array(items, dtype=kind).reshape(shape)
