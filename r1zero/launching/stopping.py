"""SIGINT and SIGTERM as a request to stop, heeded where nothing can be torn."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A terminal's Ctrl-C reaches a rank twice under torchrun: from the terminal and passed on. Later ones are meant.
SAME_REQUEST_S = 1.0


class StopRequestedError(KeyboardInterrupt):
    """Raised by a stop signal inside ``StopSignal.interruptible``."""


class StopSignal:
    """The signal that asked this process to stop, if one has.

    The first is remembered, and raised at once only within ``interruptible``. A second one, a second or more later,
    ends the process as if it had never been caught: what is on disk is whole at any moment.

    Attributes:
        number: The signal, 0 while there was none.
    """

    def __init__(self) -> None:
        self.number = 0
        self.received_at = 0.0
        self.raises = False

    def catch(self) -> None:
        """From now on SIGINT and SIGTERM come here."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.receive)

    def release(self) -> None:
        """Python's own handling again."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self.number:
            if time.monotonic() - self.received_at >= SAME_REQUEST_S:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.number, self.received_at = number, time.monotonic()
        if self.raises:
            raise StopRequestedError

    @contextmanager
    def interruptible(self, allowed: bool = True) -> Iterator[None]:
        """While it lasts, a stop signal raises ``StopRequestedError``, also one that came before."""
        if not allowed:
            yield
            return
        if self.number:
            raise StopRequestedError
        outer, self.raises = self.raises, True
        try:
            yield
        finally:
            self.raises = outer
