"""Tables for models that exist in tests alone, and what stands in all tables."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, models


@contextmanager
def table_of(model: type[models.Model]) -> Iterator[None]:
    """The table of `model` while the block runs; give the model `app_label = "tests"`."""
    with connection.schema_editor() as editor:
        editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(model)


def everything_stored() -> str:
    """All rows of all tables, as they are stored."""
    stored = b""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        )
        for (table,) in cursor.fetchall():
            with cursor.copy(f'COPY "{table}" TO STDOUT (FORMAT binary)') as copy:
                stored += b"".join(copy)
    return stored.decode(errors="replace")
