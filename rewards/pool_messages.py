"""How a pool, its helper and its workers talk: messages with their length in front, over a socket, with a deadline."""

import enum
import socket
import struct
import time

MAX_MESSAGE_BYTES = 1 << 24
# The length of a message; between pool and helper, the id of a process: to kill, or 0 to start one.
HEADER = struct.Struct("!I")


class Status(enum.Enum):
    """How a call ended."""

    OK = "ok"
    ERROR = "error"  # the function raised; ``value`` says what
    TIMEOUT = "timeout"  # the worker was killed at the deadline
    CRASH = "crash"  # the worker died or ran out of memory
    BUSY = "busy"  # no worker became free, or none could be started, before the deadline


class GoneError(Exception):
    """The other side has closed or said something that is no message."""


class LateError(Exception):
    """The deadline has passed."""


def send(channel: socket.socket, message: bytes, end: float | None = None) -> None:
    """Write one message before ``end`` (`time.monotonic`); None waits for ever.

    Raises:
        LateError: It was not written in time.
        OSError: The other side has closed.
    """
    channel.settimeout(_left(end))
    try:
        channel.sendall(HEADER.pack(len(message)) + message)
    except TimeoutError as error:
        raise LateError from error


def receive(channel: socket.socket, end: float | None = None) -> bytes:
    """The next message, read before ``end`` (`time.monotonic`); None waits for ever.

    Raises:
        LateError: It did not arrive in time.
        GoneError: The other side has closed, or the message is longer than MAX_MESSAGE_BYTES.
    """
    (size,) = HEADER.unpack(_read(channel, HEADER.size, end))
    if size > MAX_MESSAGE_BYTES:
        raise GoneError
    return _read(channel, size, end)


def _read(channel: socket.socket, size: int, end: float | None) -> bytes:
    parts = b""
    while len(parts) < size:
        channel.settimeout(_left(end))
        try:
            part = channel.recv(size - len(parts))
        except TimeoutError as error:
            raise LateError from error
        if not part:
            raise GoneError
        parts += part
    return parts


def _left(end: float | None) -> float | None:
    """Seconds until ``end``, as `socket.settimeout` takes them."""
    if end is None:
        return None
    left = end - time.monotonic()
    if left <= 0:
        raise LateError
    return left
