"""Stopping a statement midway: what others commit meanwhile is seen by the next one, and not by this one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from tests.support.concurrency import background, somebody_waits_for_a_lock
from tests.support.waiting import wait_until

_KEY = 20_113


@contextmanager
def stopped_while_reading(
    table: str, rows: str, statement: str, *parameters: Any
) -> Iterator[None]:
    """`statement` runs in a transaction of its own and stops at the first of `rows` of `table` that it
    reads. The block runs meanwhile; after it, the statement goes on to its end and commits.

    `table` is a view of that name for this connection, which waits for an advisory lock.
    """

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TEMP VIEW {table} AS SELECT * FROM public.{table}"
                f" WHERE NOT coalesce({rows}, false) OR pg_advisory_lock_shared({_KEY}) IS NOT NULL"
            )
            try:
                cursor.execute(statement, parameters)
            finally:
                cursor.execute(f"DROP VIEW pg_temp.{table}")
                cursor.execute("SELECT pg_advisory_unlock_all()")

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_KEY])
    with background(run):
        try:
            wait_until(somebody_waits_for_a_lock)
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_KEY])
