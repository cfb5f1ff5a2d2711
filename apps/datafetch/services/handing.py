"""Statements handed over to PostgreSQL as a whole: they need their sender no more (docs/adr/0039)."""

import selectors
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import DatabaseError, connection
from psycopg import Cursor

from apps.datafetch.services.intake import TextArray, TextArrayDumper

Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]


def all_at_once(statements: Sequence[Statement]) -> list[Any]:
    """Run statements, which PostgreSQL gets together, in one round trip; a cursor for each."""
    connection.ensure_connection()
    psycopg = connection.connection
    with connection.wrap_database_errors, psycopg.pipeline():
        return [_sent(psycopg, *statement) for statement in statements]


class Handed:
    """A transaction of its own, from BEGIN to COMMIT, that has left this process: PostgreSQL carries it out whether
    the process lives on or not. The connection is for nothing else until `results` were asked for."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        connection.ensure_connection()
        self._psycopg = connection.connection
        self._ending = ExitStack()
        self._ending.enter_context(self._psycopg.pipeline())
        self._cursors: list[Any] = []
        self._failure: DatabaseError | None = None
        try:
            with connection.wrap_database_errors:
                _sent(self._psycopg, "BEGIN", ())
                self._cursors += [_sent(self._psycopg, *statement) for statement in statements]
                _sent(self._psycopg, "COMMIT", ())
                self._send_all()
        except DatabaseError as failure:  # it was back before all of them were sent
            self._failure = failure

    def _send_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._psycopg.fileno(), selectors.EVENT_WRITE)
            while self._psycopg.pgconn.flush():
                selector.select()

    def results(self) -> list[Any]:
        """Wait until it is committed; a cursor for each statement. Raises what went wrong, and then nothing of it
        was done."""
        try:
            with connection.wrap_database_errors:
                self._ending.close()
        except DatabaseError as failure:
            self._failure = self._failure or failure
        if self._failure is not None:
            self._psycopg.rollback()
            raise self._failure
        return self._cursors


def _sent(psycopg: Any, text: str, parameters: Sequence[Any] | Mapping[str, Any]) -> Any:
    cursor = Cursor(psycopg)
    cursor.adapters.register_dumper(TextArray, TextArrayDumper)
    return cursor.execute(text, parameters)
