"""A Redis that is not there, in the two ways that matter.

Tests of anything else wait longer for Redis than the product does (`be_patient`): on a machine that is busy
an answer may take more than 100 ms, and what then fails open would fail a test.

What an outage costs is the number of tries and connections, times what one may take; a stop-watch would measure
whatever else the machine does.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.conf import settings

from apps.common import besteffort
from tests.support.isolation import close_broker_connection

PRODUCT_TIMEOUT_SECONDS = besteffort.TIMEOUT_SECONDS
PRODUCT_OPEN_SECONDS = besteffort.OPEN_SECONDS
_listening: dict[str, socket.socket] = {}


def be_patient() -> None:
    """From now on, and outside `redis_at`, give Redis seconds to answer."""
    besteffort.TIMEOUT_SECONDS = 5.0


@contextmanager
def frozen() -> Iterator[str]:
    """The URL of a Redis stopped by SIGSTOP: the kernel accepts connections, nobody answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        _listening[url] = listening
        yield url


def connections_to(url: str) -> int:
    """How many were made to a frozen Redis, each of which waits for a time-out."""
    made = []
    _listening[url].setblocking(False)
    with suppress(BlockingIOError):
        while True:
            made.append(_listening[url].accept()[0])
    for connection in made:
        connection.close()
    return len(made)


@contextmanager
def refused() -> Iterator[str]:
    """The URL of a Redis that is gone: nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, but not listened on
        yield f"redis://127.0.0.1:{bound.getsockname()[1]}/0"


@contextmanager
def redis_at(url: str, *, broker: str = "") -> Iterator[None]:
    """Let everything best-effort (wake-ups, throttling) talk to the Redis at `url` for a while, with the
    time-outs of the product; and publish to `broker`, if that is another. The breaker, once open, stays open
    until `a_second_passes`, however long the machine takes."""
    usual = settings.REDIS_URL, settings.CELERY_BROKER_URL
    settings.REDIS_URL, settings.CELERY_BROKER_URL = url, broker or url
    besteffort.TIMEOUT_SECONDS = PRODUCT_TIMEOUT_SECONDS
    besteffort.OPEN_SECONDS = 3600.0
    _reconnect()
    try:
        yield
    finally:
        settings.REDIS_URL, settings.CELERY_BROKER_URL = usual
        besteffort.OPEN_SECONDS = PRODUCT_OPEN_SECONDS
        be_patient()
        _reconnect()


def a_second_passes() -> None:
    """For the breaker, which asks Redis again afterwards."""
    besteffort.breaker._closed_again_at = 0.0


def tries(work: Callable[[], object]) -> int:
    """How often a Redis that is not there was asked while `work` ran."""
    before = _failed()
    work()
    return _failed() - before


def _failed() -> int:
    (metric,) = besteffort.failures.collect()
    return int(sum(one.value for one in metric.samples if one.name.endswith("_total")))


def _reconnect() -> None:
    besteffort.client().close()
    besteffort.client.cache_clear()
    close_broker_connection()
    a_second_passes()
