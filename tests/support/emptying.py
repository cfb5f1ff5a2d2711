"""Empties the database after a test whose transactions were real, in a few milliseconds.

Django truncates every table and then makes content types and permissions anew, which takes 130 ms. Most tests
write to a handful of tables, and little: that is deleted. Triggers stay quiet, for ledgers refuse to lose rows.
A table that has grown is truncated, with those that refer to it: its indexes would stay as large as they are,
and queries are planned by that. Partitions are dropped, but for the default ones of the migrations.
"""

from django.db import connection, transaction
from django.test import TransactionTestCase

# What migrations leave behind; no test adds to it.
_KEPT = ("django_migrations", "django_content_type", "auth_permission")

_LARGE = 16 * 8192  # bytes: as many pages

_DELETE_ROWS = rf"""
DO $$
DECLARE written regclass; size bigint;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR written IN
    SELECT oid FROM pg_class WHERE relkind = 'r' AND relispartition AND relname NOT LIKE '%\_default'
  LOOP
    EXECUTE format('DROP TABLE %s', written);
  END LOOP;
  FOR written, size IN
    SELECT oid, pg_relation_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
      AND relname NOT IN {_KEPT} AND pg_relation_size(oid) > 0
  LOOP
    IF size > {_LARGE} THEN
      EXECUTE format('TRUNCATE %s CASCADE', written);
    ELSE
      EXECUTE format('DELETE FROM %s', written);
    END IF;
  END LOOP;
END $$
"""


_TRUNCATE_ALL = f"""
DO $$
BEGIN
  EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN {_KEPT}
  );
END $$
"""


def empty_instead_of_truncating() -> None:
    """From now on tests with `transaction=True` end with `delete_rows`."""
    TransactionTestCase._fixture_teardown = lambda _: delete_rows()  # type: ignore[attr-defined]


def delete_rows() -> None:
    """Delete every row that a test can have written."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DELETE_ROWS)


def start_with_new_tables() -> None:
    """For a test of plans: neither tables nor indexes are larger than what it fills them with. What earlier
    tests have rolled back lies there until somebody vacuums."""
    with connection.cursor() as cursor:
        cursor.execute(_TRUNCATE_ALL)
