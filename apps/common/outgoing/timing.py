"""Where the time of a request went, stamped at the seams that the guarded client has anyway.

aiohttp's own tracing sees neither TLS apart from the connection nor the answer's first byte.
"""

import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

_current: "ContextVar[Timing | None]" = ContextVar("request_timing", default=None)


class Phases(NamedTuple):
    """Microseconds of each phase; None for one that did not end, or was not needed: of a connection that
    was open already there are no first three."""

    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    first_byte_us: int | None


@dataclass(slots=True)
class Timing:
    """The moments of one request, by `time.monotonic()`."""

    started: float
    opened_at: float | None = None
    agreeing_at: float | None = None
    sent_at: float | None = None
    answered_at: float | None = None

    @classmethod
    def begin(cls) -> "Timing":
        """Time the next request of this task."""
        timing = cls(time.monotonic())
        _current.set(timing)
        return timing

    def phases(self) -> Phases:
        return Phases(
            dns_us=_between(self.started, self.opened_at),
            connect_us=_between(self.opened_at, self.agreeing_at or self.sent_at),
            tls_us=_between(self.agreeing_at, self.sent_at),
            first_byte_us=_between(self.sent_at, self.answered_at),
        )


def current() -> Timing | None:
    """Of the request that this task makes, if it is timed."""
    return _current.get()


def mark_opened() -> None:
    """The address is known and a socket is made for it."""
    timing = _current.get()
    if timing is not None and timing.opened_at is None:
        timing.opened_at = time.monotonic()


class TimedTls(ssl.SSLObject):
    """Tells when its handshake begins, which is when TCP is connected."""

    def do_handshake(self) -> None:
        timing = _current.get()
        if timing is not None and timing.agreeing_at is None:
            timing.agreeing_at = time.monotonic()
        super().do_handshake()


def tls_context() -> ssl.SSLContext:
    """A context that verifies the server, with handshakes that are timed."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = TimedTls
    return context


def _between(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else max(round((end - start) * 1e6), 0)
