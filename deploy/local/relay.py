"""Waiting while reading: the supervisor's one loop.

There are no threads, on purpose: the kernel sends a child its death signal once for every thread of
a killed parent, and a Python server that gets it twice at once can lock up in its signal handler.
"""

import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol


class _Source(Protocol):
    def fileno(self) -> int:
        """The descriptor to read from."""


class Relay:
    """Hands what arrives on pipes and sockets to whoever added them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, source: _Source, receive: Callable[[bytes], None]) -> None:
        """From now on `receive` gets its data; at the end b"", once, and it is removed."""
        self._selector.register(source.fileno(), selectors.EVENT_READ, receive)

    def remove(self, source: _Source) -> None:
        """Forget it, if it is not yet forgotten."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(source.fileno())

    def run(self, seconds: float) -> None:
        """Spend so many seconds; with 0, hand over what is there already."""
        deadline = time.monotonic() + seconds
        while True:
            for key, _events in self._selector.select(max(deadline - time.monotonic(), 0)):
                self._read(key)
            if time.monotonic() >= deadline:
                return

    def _read(self, key: selectors.SelectorKey) -> None:
        data = b""
        with suppress(OSError):  # a peer that resets has ended too
            data = os.read(key.fd, 65536)
        if not data:
            self._selector.unregister(key.fd)
        key.data(data)
