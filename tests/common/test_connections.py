"""Pooled connections: a dead one is never handed out, and a living one is not asked whether it lives."""

import tempfile
import tracemalloc

import pytest
from django.db import connection

from tests.support import holding

pytestmark = pytest.mark.django_db(transaction=True)


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_connection_that_the_server_ended_in_the_pool_is_replaced() -> None:
    ended = backend()
    connection.close()

    # The timeout makes it return when the backend has gone, not when it was told to.
    with holding("SELECT pg_terminate_backend(%s, 10000)", ended):
        pass
    assert backend() != ended


def test_taking_a_living_connection_costs_no_round_trip() -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # others' have statements to forget first
    backend()
    connection.close()
    with tempfile.TemporaryFile("w+") as file:
        pool = connection.pool  # type: ignore[attr-defined]  # PostgreSQL's backend has one
        wires = [one.pgconn for one in pool._pool]
        for wire in wires:
            wire.trace(file.fileno())
        connection.ensure_connection()
        backend()
        for wire in wires:
            wire.untrace()
        file.seek(0)
        sent = [row[3] for row in (line.split("\t") for line in file) if row[1] == "F"]

    assert sent == ["Query"]


def test_large_statements_are_not_kept() -> None:
    backend()
    tracemalloc.start()
    try:
        for number in range(40):
            with connection.cursor() as cursor:
                cursor.execute("SELECT length(%s)", [f"{number:0100000}"])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 2_000_000
