"""Statements that read and store pages, prepared once per connection, and some that are handed over as a whole, so that
they need their sender no more (docs/adr/0039)."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, connection

from apps.common.postgresql.prepared import PreparedCursor, kept_on
from apps.datafetch.services.intake import TextArray, TextArrayDumper


def answer(sql: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The one row that a statement answers."""
    cursor = _cursor()
    with connection.wrap_database_errors:
        cursor.execute(sql, values)
        return cursor.fetchone()


class Handed:
    """Transactions of one statement each that have left this process: PostgreSQL carries them out, one after the other
    and behind those that left before, whether the process lives on or not. The connection is for nothing else until
    each was answered."""

    def __init__(self, *statements: tuple[str, Sequence[Any]]) -> None:
        self._cursor = _cursor()
        self._left = len(statements)
        with connection.wrap_database_errors:
            self._cursor.send(*statements)

    def answer(self) -> tuple[Any, ...]:
        """Wait until the next of them is committed; its row. Raises what went wrong, and then nothing of it was done."""
        self._left -= 1
        with connection.wrap_database_errors:
            self._cursor.receive()
            return self._cursor.fetchone()

    def ignore(self) -> None:
        """Wait for all of them, whatever has become of them."""
        while self._left:
            with suppress(DatabaseError):
                self.answer()


def _cursor() -> PreparedCursor:
    connection.ensure_connection()
    connection.connection.adapters.register_dumper(TextArray, TextArrayDumper)
    return kept_on(connection.connection)
