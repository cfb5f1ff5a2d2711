"""Pooled connections: a dead one is never handed out, and a living one is not asked whether it lives."""

import tempfile
import tracemalloc

import pytest
from django.db import DataError, NotSupportedError, OperationalError, connection, transaction

from apps.common.ids import uuid7
from apps.common.models import JobRun
from apps.common.postgresql.prepared import prepared_cursor
from tests.support import holding, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def all_are_in_the_pool() -> bool:
    stats = connection.pool.get_stats()  # type: ignore[attr-defined]
    return bool(stats["pool_available"] == stats["pool_size"])


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


def test_a_hot_statement_takes_a_connection_for_itself_alone() -> None:
    connection.close()
    with prepared_cursor() as cursor:
        cursor.execute("SELECT $1::int + 1", [1])
        assert cursor.fetchone() == (2,)

    assert connection.connection is None
    wait_until(all_are_in_the_pool)  # which may be making one, for what an earlier test has ended


def test_a_hot_statement_belongs_to_the_transaction_around_it() -> None:
    name = str(uuid7())
    with transaction.atomic():
        with prepared_cursor() as cursor:
            cursor.execute(
                "INSERT INTO common_jobrun (name, is_on, error) VALUES ($1, true, '')"
                " RETURNING name",
                [name],
            )
            assert cursor.fetchone() == (name,)
        transaction.set_rollback(True)

    assert not JobRun.objects.filter(name=name).exists()


def test_a_rollback_forgets_no_hot_statement() -> None:
    for _ in range(2):
        with prepared_cursor() as cursor:
            cursor.execute("SELECT $1::text", ["here"])
            assert cursor.fetchone() == ("here",)
        with transaction.atomic():
            backend()
            transaction.set_rollback(True)


def test_what_a_hot_statement_is_asked_may_be_of_another_type_each_time() -> None:
    with prepared_cursor() as cursor:
        for value in (1, 100_000, 10**12, None, "text", uuid7()):
            cursor.execute("SELECT ($1::text)", [value if value is None else str(value)])
            assert cursor.fetchone() == (None if value is None else str(value),)
        for number in (1, 100_000, 10**12):
            cursor.execute("SELECT $1::bigint", [number])
            assert cursor.fetchone() == (number,)


def test_a_hot_statement_that_fails_leaves_its_connection_usable() -> None:
    connection.close()
    with pytest.raises(DataError), prepared_cursor() as cursor:
        cursor.execute("SELECT 1 / $1::int", [0])

    with prepared_cursor() as cursor:
        cursor.execute("SELECT 1 / $1::int", [1])
        assert cursor.fetchone() == (1,)


def test_a_hot_statement_is_prepared_anew_after_a_migration_of_what_it_reads() -> None:
    """PostgreSQL refuses the one that is prepared as long as it is there."""
    with connection.cursor() as django, prepared_cursor() as cursor:
        django.execute("CREATE TABLE migrated AS SELECT 1 AS number")
        try:
            cursor.execute("SELECT number FROM migrated")
            django.execute("ALTER TABLE migrated ALTER number TYPE bigint")
            with pytest.raises(NotSupportedError):
                cursor.execute("SELECT number FROM migrated")

            cursor.execute("SELECT number FROM migrated")
            assert cursor.fetchone() == (1,)
        finally:
            django.execute("DROP TABLE migrated")


def test_a_server_that_goes_away_is_told_as_one_that_is_not_there() -> None:
    connection.close()
    with prepared_cursor() as cursor:
        for _ in range(2):  # it says why it goes, and then nothing
            with pytest.raises(OperationalError):
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with prepared_cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
