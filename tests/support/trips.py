"""How often the block asks PostgreSQL."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


class Trips:
    """What was sent to PostgreSQL: messages that ask for an answer, as libpq's trace shows them."""

    count = 0


@contextmanager
def traced() -> Iterator[Trips]:
    """Count what the block sends by this thread's connection; known when it has ended."""
    trips = Trips()
    with tempfile.TemporaryFile("w+") as file:
        connection.ensure_connection()
        wire = connection.connection.pgconn
        wire.trace(file.fileno())
        try:
            yield trips
        finally:
            wire.untrace()
        file.seek(0)
        # A statement of several lines goes on where no message begins.
        sent = [row for line in file if len(row := line.rstrip("\n").split("\t")) > 3]
    trips.count = sum(row[1] == "F" and row[3] in ("Query", "Sync") for row in sent)
