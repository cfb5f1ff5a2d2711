"""What one exchange of the blocking client may cost, and what is said when it costs more."""

import time
from dataclasses import dataclass

# Of one answer's head, interim answers included.
MAX_HEAD_BYTES = 262_144


class SendFailed(Exception):
    """There is no whole answer; `code` is a stable word for what went wrong."""

    code = "connection_failed"


class TimedOut(SendFailed):
    code = "timed_out"


class TooLarge(SendFailed):
    code = "answer_too_large"


class TooManyRedirects(SendFailed):
    code = "too_many_redirects"


class EncodingUnknown(SendFailed):
    """The body is packed in a way that we did not ask for, or cannot be unpacked."""

    code = "encoding_unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may cost. `max_bytes` holds for the body as sent and as unpacked."""

    total_seconds: float = 30.0
    connect_seconds: float = 5.0
    silence_seconds: float = 15.0
    max_bytes: int = 32 * 1024 * 1024
    redirects: int = 5


class Bounds:
    """The deadline of an exchange, and the bytes that may come in it."""

    def __init__(self, limits: Limits, deadline: float) -> None:
        self.limits = limits
        self.deadline = deadline
        self.received = 0
        self.awaits_head = True
        self._allowed = MAX_HEAD_BYTES

    def remaining(self) -> float:
        """Seconds that are left; raises TimedOut when none are."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"It took more than {self.limits.total_seconds:g} s.")
        return left

    def patience(self) -> float:
        """Seconds that the server may say nothing."""
        return min(self.remaining(), self.limits.silence_seconds)

    def to_connect(self) -> float:
        """Seconds that a step towards a connection may take."""
        return min(self.remaining(), self.limits.connect_seconds)

    def take(self, count: int) -> None:
        """Count bytes that came."""
        self.received += count
        if self.received > self._allowed:
            raise TooLarge("The server sends too much.")

    def expect_body(self) -> None:
        """The head has come: now so much more may."""
        self.awaits_head = False
        self._allowed = self.received + self.limits.max_bytes + MAX_HEAD_BYTES
