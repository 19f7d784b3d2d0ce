"""Plain values survive the codec; whatever else the bytes are, it answers with one exception."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.codec import MAX_DEPTH, CodecError, Opaque, decode, encode, read_answer

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
scalars |= st.complex_numbers(allow_nan=False)
hashable = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(hashable, inner) | st.sets(hashable),
    max_leaves=20,
)


def types(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value), [types(item) for item in value]
    return type(value)


@given(values)
@settings(max_examples=200, deadline=None)
def test_round_trip(value: Any) -> None:
    copied = decode(encode(value))
    assert copied == value
    assert types(copied) == types(value)


@given(st.binary() | st.text().map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_value_or_a_codec_error(data: bytes) -> None:
    with contextlib.suppress(CodecError):
        decode(data)
    read_answer(data)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["l", "t", "d", "s", "i", "f", "c", "b", "o"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=15,
)


@given(json_values)
@settings(max_examples=300, deadline=None)
def test_any_json_is_a_value_or_a_codec_error(value: Any) -> None:
    with contextlib.suppress(CodecError):
        decode(json.dumps(value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1.5",
        b"NaN",
        b"[" * 100_000,
        b"1" * 5000,
        b'["i","zz"]',
        b'["s",[["l",[]]]]',
        b'["d",[[1]]]',
        b"\xff",
        b'{"a": 1}',
        b'["f","0x1p99999"]',
        ('["l",' * 400 + "1" + "]" * 400).encode(),
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data)


@pytest.mark.parametrize("build", [set, frozenset, dict.fromkeys])
def test_keys_of_one_hash_are_refused(build: Any) -> None:
    """100,000 of them would take a minute to put into a set, a million hours."""
    modulus = sys.hash_info.modulus
    few = build(modulus * n for n in range(50))
    assert decode(encode(few)) == few
    keys = ",".join(f'["i","{hex(modulus * n)}"]' for n in range(1, 100_000))
    data = f'["s",[{keys}]]' if build is set else f'["z",[{keys}]]'
    if build is dict.fromkeys:
        data = '["d",[' + ",".join(f'[["i","{hex(modulus * n)}"],0]' for n in range(1, 100_000)) + "]]"
    with pytest.raises(CodecError, match="hash"):
        decode(data)


def test_sets_are_written_in_one_order() -> None:
    program = "from sandbox.codec import encode; print(encode({'a', 'bc', 'def', 1, (2, 'x'), None}))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(printed) == 1


def test_subclasses_are_flattened_without_their_methods() -> None:
    class E(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __int__(self) -> int:
            raise AssertionError

        __hash__ = int.__hash__
        __repr__ = __str__ = __int__  # type: ignore[assignment]

    class L(list):
        def __iter__(self) -> Any:
            raise AssertionError

        __len__ = __iter__

    copied = decode(encode(L([E(3)])))
    assert copied == [3] and type(copied) is list and type(copied[0]) is int


def test_other_types_are_equal_to_nothing() -> None:
    opaque = decode(encode(object()))
    assert isinstance(opaque, Opaque)
    assert opaque != opaque
    deep: list = []
    for _ in range(MAX_DEPTH * 100):
        deep = [deep]
    assert decode(encode(deep)) != deep
