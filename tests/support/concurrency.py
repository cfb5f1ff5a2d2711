"""Real concurrency: threads, each with a database connection of its own.

Tests that use these need `@pytest.mark.django_db(transaction=True)`: other connections do not see what a
test's own transaction has not committed.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection, connections, transaction

from tests.support.isolation import close_broker_connection

T = TypeVar("T")

TIMEOUT_SECONDS = 60.0


def concurrently(n: int, work: Callable[[int], T]) -> list[T]:
    """Run `work(0)` … `work(n - 1)` at once, in n threads that start together.

    Returns the results in order; the first exception is raised again, after all have ended. n is 32 at
    the most: each thread holds a connection of the pool (tests/environment.py).
    """
    start = threading.Barrier(n)

    def run(index: int) -> T:
        connection.ensure_connection()  # the pool opens new ones slowly: not while it counts
        start.wait(TIMEOUT_SECONDS)
        return work(index)

    with ThreadPoolExecutor(max_workers=n) as pool:
        futures = [pool.submit(_with_own_connection, run, index) for index in range(n)]
    return [future.result() for future in futures]


@contextmanager
def background(work: Callable[[], T]) -> Iterator["Future[T]"]:
    """Run `work` in a thread while the block runs; leaving the block awaits it and raises its error."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(_with_own_connection, work)
        yield future
        future.result(TIMEOUT_SECONDS)


@contextmanager
def holding(statement: str, *parameters: Any) -> Iterator[None]:
    """Another transaction has run `statement`, and keeps its locks while the block runs."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(statement, parameters)
        yield
    finally:
        other.close()  # rolls back


@contextmanager
def uncommitted(work: Callable[[], T]) -> Iterator["Future[T]"]:
    """`work` is done in a transaction of another thread, which commits after the block."""
    is_done, may_commit = threading.Event(), threading.Event()

    @transaction.atomic
    def run() -> T:
        try:
            result = work()
        finally:
            is_done.set()
        assert may_commit.wait(TIMEOUT_SECONDS)
        return result

    with background(run) as future:
        assert is_done.wait(TIMEOUT_SECONDS)
        try:
            yield future
        finally:
            may_commit.set()


def somebody_waits_for_a_lock() -> bool:
    """Whether a connection of this test's database waits for another's lock just now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE NOT l.granted AND a.datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


def _with_own_connection(work: Callable[..., T], *arguments: Any) -> T:
    try:
        return work(*arguments)
    finally:
        connections.close_all()
        close_broker_connection()
