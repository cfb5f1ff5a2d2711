"""A Redis that is not there, in the two ways that matter.

Tests of anything else wait longer for Redis than the product does (`be_patient`): on a machine that is busy
an answer may take more than 100 ms, and what then fails open would fail a test.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from apps.common import besteffort
from tests.support.isolation import close_broker_connection

PRODUCT_TIMEOUT_SECONDS = besteffort.TIMEOUT_SECONDS


def be_patient() -> None:
    """From now on, and outside `redis_at`, give Redis seconds to answer."""
    besteffort.TIMEOUT_SECONDS = 5.0


@contextmanager
def frozen() -> Iterator[str]:
    """The URL of a Redis stopped by SIGSTOP: the kernel accepts connections, nobody answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


@contextmanager
def refused() -> Iterator[str]:
    """The URL of a Redis that is gone: nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, but not listened on
        yield f"redis://127.0.0.1:{bound.getsockname()[1]}/0"


@contextmanager
def redis_at(url: str, *, broker: str = "") -> Iterator[None]:
    """Let everything best-effort (wake-ups, throttling) talk to the Redis at `url` for a while, with the
    time-outs of the product; and publish to `broker`, if that is another."""
    usual = settings.REDIS_URL, settings.CELERY_BROKER_URL
    settings.REDIS_URL, settings.CELERY_BROKER_URL = url, broker or url
    besteffort.TIMEOUT_SECONDS = PRODUCT_TIMEOUT_SECONDS
    _reconnect()
    try:
        yield
    finally:
        settings.REDIS_URL, settings.CELERY_BROKER_URL = usual
        be_patient()
        _reconnect()


def _reconnect() -> None:
    besteffort.client().close()
    besteffort.client.cache_clear()
    close_broker_connection()
    besteffort.breaker._closed_again_at = 0.0
