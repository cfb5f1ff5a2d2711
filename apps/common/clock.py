"""The one clock: PostgreSQL's. Workers' own clocks may differ, the database's cannot from itself."""

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """The database's current time, aware, in UTC (one round trip)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC with microseconds, e.g. `2026-11-21T09:30:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
