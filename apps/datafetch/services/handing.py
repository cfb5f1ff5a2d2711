"""Statements that read and store pages, prepared once per connection, and one that is handed over as a whole, so that
it needs its sender no more (docs/adr/0039)."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from apps.common.postgresql.prepared import PreparedCursor, kept_on
from apps.datafetch.services.intake import TextArray, TextArrayDumper


def answer(sql: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The one row that a statement answers."""
    cursor = _cursor()
    with connection.wrap_database_errors:
        cursor.execute(sql, values)
        return cursor.fetchone()


class Handed:
    """A transaction of its own, of one statement, that has left this process: PostgreSQL carries it out whether the
    process lives on or not. The connection is for nothing else until the `answer` was asked for."""

    def __init__(self, sql: str, values: Sequence[Any]) -> None:
        self._cursor = _cursor()
        with connection.wrap_database_errors:
            self._cursor.send(sql, values)

    def answer(self) -> tuple[Any, ...]:
        """Wait until it is committed; its row. Raises what went wrong, and then nothing of it was done."""
        with connection.wrap_database_errors:
            self._cursor.receive()
            return self._cursor.fetchone()


def _cursor() -> PreparedCursor:
    connection.ensure_connection()
    connection.connection.adapters.register_dumper(TextArray, TextArrayDumper)
    return kept_on(connection.connection)
