"""What one test must not leave to the next: rows in Redis, and what this process keeps in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from apps.accounts import authentication
from apps.common import besteffort, jobruns, wakeups
from apps.webhooks import preparing
from apps.webhooks.delivering import delivering
from apps.webhooks.sender import Sender


def forget_everything() -> None:
    """Empty this worker's Redis database, the remembered keys, the breaker."""
    authentication._remembered.clear()
    jobruns._known.clear()
    preparing._keyrings.clear()
    besteffort.breaker._closed_again_at = 0.0
    besteffort.client().flushdb()


def close_broker_connection() -> None:
    """Close what this thread published its wake-ups on, which otherwise ends with the thread, unclosed."""
    producer = wakeups._local.__dict__.pop("producer", None)
    if producer is not None:
        producer.connection.release()


@contextmanager
def own_sender() -> Iterator[None]:
    """A sender of webhooks for this test alone; afterwards nothing of it is under way."""
    usual = delivering.sender
    delivering.sender = Sender(usual._record)
    try:
        yield
    finally:
        delivering.sender.stop(20)
        delivering.sender = usual
