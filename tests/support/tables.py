"""Tables for models that exist in tests alone."""

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
