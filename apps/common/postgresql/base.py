"""Django's PostgreSQL backend, with connections of the pool looked at without a round trip.

`CONN_HEALTH_CHECKS` sends an empty query before every request: a third of the round trips of placing an
order. A server that ended a connection has said so on its socket, where it is seen for nothing; only a
connection that has something to say is asked.
"""

import select
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor, OperationalError
from psycopg_pool import ConnectionPool

# psycopg keeps the text of so many statements of a connection, those of Django's cursors too, which hold all
# their values: a hundred of them, its default, may be a hundred megabytes.
KEPT_STATEMENTS = 8


def prepared_cursor() -> CursorWrapper:
    """A cursor for a hot statement: PostgreSQL gets its text once per connection and then only the
    arguments. To prepare it takes one round trip; the types of its arguments must not vary."""
    database = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    cursor: Any = Cursor(database.connection)
    return CursorWrapper(cursor, database)


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    def get_new_connection(self, conn_params: Any) -> Any:
        while True:
            connection = super().get_new_connection(conn_params)
            connection.prepared_max = KEPT_STATEMENTS
            if not self.pool or _is_silent(connection):
                return connection
            try:
                ConnectionPool.check_connection(connection)
            except OperationalError:
                self.pool.putconn(connection)  # which discards it and makes another
            else:
                return connection


def _is_silent(connection: Any) -> bool:
    """Whether nothing has come from the server since the connection was last used."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
