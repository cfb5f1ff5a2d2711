"""Transactions that PostgreSQL ends for the sake of others are run again."""

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog
from django.db import DatabaseError, OperationalError, connection
from psycopg import errors as pg

P = ParamSpec("P")
T = TypeVar("T")

MAX_ATTEMPTS = 3
# Before another attempt, so that who won comes to an end: two that start again at once meet again.
PAUSE_SECONDS = (0.01, 0.03)

log = structlog.get_logger(__name__)


def is_undone(error: DatabaseError) -> bool:
    """Whether what failed, outside a transaction, has certainly left nothing behind: a connection that is lost may be lost
    after the commit."""
    ended = (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable)
    return isinstance(error.__cause__, ended) or not isinstance(error, OperationalError)


def retried(service: Callable[P, T]) -> Callable[P, T]:
    """Decorates a service, above `transaction.atomic`: after a deadlock or a serialisation failure it
    runs again, three times in all. Inside a caller's transaction it does not: that one is lost."""

    @functools.wraps(service)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return service(*args, **kwargs)
            except OperationalError as error:
                lost = isinstance(error.__cause__, (pg.DeadlockDetected, pg.SerializationFailure))
                if not lost or attempt == MAX_ATTEMPTS or connection.in_atomic_block:
                    raise
                log.warning("transaction_retried", service=service.__name__, error=repr(error))
                time.sleep(attempt * random.uniform(*PAUSE_SECONDS))  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    return run
