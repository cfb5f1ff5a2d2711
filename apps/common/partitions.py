"""Tables that grow without end: partitioned by week on their UUIDv7 id, dropped when kept long enough.

A model names its retention with `register`; its migration uses `CreatePartitionedModel`. A DEFAULT partition takes what
no week holds, so that a wrong clock refuses nothing. Weeks, not days: few enough that planning a query over all of them
stays cheap.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

from apps.common import clock
from apps.common.ids import uuid7_floor

WEEKS_AHEAD = 4
WEEK = timedelta(weeks=1)
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


class _Kept(NamedTuple):
    """How long a row is kept at least, and how full pages are made with new rows, in percent."""

    keep: timedelta
    fillfactor: int


_tables: dict[str, _Kept] = {}


def register(table: str, *, keep: timedelta, fillfactor: int = 100) -> None:
    """Have `table` maintained; called where its model is defined."""
    _tables[table] = _Kept(keep, fillfactor)


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel, of a table partitioned by RANGE on `id`, with its default partition."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        schema_editor.execute(f'CREATE TABLE "{table}_default" PARTITION OF "{table}" DEFAULT')


def maintain_partitions() -> None:
    """Make the weeks ahead that are missing, drop those that no row need be kept of."""
    now = clock.now()
    for table, (keep, fillfactor) in _tables.items():
        existing = _weeks_of(table)
        for ahead in range(WEEKS_AHEAD + 1):
            monday = _monday_of(now) + ahead * WEEK
            if _name(table, monday) not in existing:
                _create(table, monday, fillfactor)
        for name, monday in existing.items():
            if monday + WEEK <= now - keep:
                _drop(table, name)


def _create(table: str, monday: datetime, fillfactor: int) -> None:
    """Make one week, taking over rows of it that went to the default partition meanwhile."""
    name = _name(table, monday)
    first, end = uuid7_floor(monday), uuid7_floor(monday + WEEK)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('tradepost.partitions'))")
        if name in _weeks_of(table):
            return
        cursor.execute(
            f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING ALL) WITH (fillfactor = {fillfactor})'
        )
        cursor.execute(f'LOCK TABLE "{table}" IN ACCESS EXCLUSIVE MODE')
        cursor.execute(
            f'WITH moved AS (DELETE FROM "{table}_default"'  # noqa: S608 - the names are ours
            f' WHERE id >= %s AND id < %s RETURNING *) INSERT INTO "{name}" SELECT * FROM moved',
            [first, end],
        )
        cursor.execute(
            f'ALTER TABLE "{table}" ATTACH PARTITION "{name}"'
            f" FOR VALUES FROM ('{first}') TO ('{end}')"
        )


def _drop(table: str, name: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{table}" DETACH PARTITION "{name}"')
        cursor.execute(f'DROP TABLE "{name}"')


def _weeks_of(table: str) -> dict[str, datetime]:
    """Partition name -> its Monday, of the weeks that exist."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass AND c.relname <> %s",
            [table, f"{table}_default"],
        )
        names = [row[0] for row in cursor.fetchall()]
    return {
        name: datetime.strptime(name.rsplit("_", 1)[1], "%Y%m%d").replace(tzinfo=UTC)
        for name in names
    }


def _monday_of(moment: datetime) -> datetime:
    return _MONDAY + (moment - _MONDAY) // WEEK * WEEK


def _name(table: str, monday: datetime) -> str:
    return f"{table}_{monday:%Y%m%d}"
