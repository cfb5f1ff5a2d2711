"""Redis, used where losing it must cost nothing: wake-ups and throttling.

Every call has 100 ms, is not retried, and a failure opens a breaker for a second, so that a frozen
Redis delays one request a second and process by 100 ms, never more. Failures are counted.
"""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import hiredis
import structlog
from django.conf import settings
from kombu.exceptions import KombuError, OperationalError
from prometheus_client import Counter
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import RedisError
from redis.retry import Retry

T = TypeVar("T")

TIMEOUT_SECONDS = 0.1
OPEN_SECONDS = 1.0

failures = Counter(
    "tradepost_redis_failures", "Best-effort calls to Redis that failed", ["purpose"]
)
log = structlog.get_logger(__name__)


class _Breaker:
    """Shared by all purposes: a Redis that just failed one of them is not asked by another."""

    def __init__(self) -> None:
        self._closed_again_at = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._closed_again_at

    def open(self) -> None:
        self._closed_again_at = time.monotonic() + OPEN_SECONDS


breaker = _Breaker()


class _Kept(threading.local):
    """This thread's connection, and the client that it came from."""

    client: Redis | None = None
    connection: Any = None


_kept = _Kept()


@cache
def client() -> Redis:
    """The process's Redis client for best-effort calls (thread-safe)."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def ask(*command: Any) -> Any:
    """What Redis answers to one command, on a connection that this thread keeps.

    For what every request asks: the client's own way, by pool, observers and callbacks, takes five times
    as long as the answer itself (docs/adr/0031).
    """
    connection = _connection()
    packed = [hiredis.pack_command(command)]
    if connection.is_connected:
        try:
            return _answer(connection, packed)
        except ConnectionFailed:
            pass  # Redis has closed it since it was last used
    return _answer(connection, packed)


def _answer(connection: Any, packed: list[bytes]) -> Any:
    connection.send_packed_command(packed, check_health=False)
    return connection.read_response()


def _connection() -> Any:
    if _kept.client is not client():
        # As the pool makes them, but not counted by it: it would not see when a thread ends.
        pool = client().connection_pool
        _kept.connection = pool.connection_class(**pool.connection_kwargs)
        _kept.client = client()
    return _kept.connection


def attempt(purpose: str, call: Callable[[], T]) -> T | None:
    """What `call` returns, or None when Redis could not be asked; never raises for Redis's sake."""
    if breaker.is_open:
        return None
    try:
        return call()
    except (RedisError, KombuError, OperationalError, OSError) as error:
        breaker.open()
        failures.labels(purpose).inc()
        log.warning("redis_unavailable", purpose=purpose, error=repr(error))
        return None
