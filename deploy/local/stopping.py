"""A wish to stop: noted when a signal brings it, obeyed where the code is ready to."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """The start was still under way when the wish came."""


class StopWish:
    """The first signal that asked for a stop, 0 before. Later ones change nothing.

    A terminal gives Ctrl-C to the whole process group and make passes SIGTERM on, so that one
    wish often arrives twice.
    """

    number = 0

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """As a signal handler."""
        self.number = self.number or number

    def check(self) -> None:
        """Raises StopRequested if there is one."""
        if self.number:
            raise StopRequested


@contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Within it, signals that would end this process are noted instead."""
    wish = StopWish()
    previous = {number: signal.signal(number, wish.receive) for number in _SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
