"""Django's PostgreSQL backend, with connections of the pool looked at without a round trip.

`CONN_HEALTH_CHECKS` sends an empty query before every request: a third of the round trips of placing an
order. A server that ended a connection has said so on its socket, where it is seen for nothing; only a
connection that has something to say is asked.
"""

import select
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    def get_new_connection(self, conn_params: Any) -> Any:
        return self._living(partial(super().get_new_connection, conn_params))

    def borrow(self) -> Any:
        """A connection of the pool that is not this thread's; give it back."""
        if self.pool.closed:  # nothing else has opened it yet
            self.pool.open()
        return self._living(self.pool.getconn)

    def _living(self, take: Callable[[], Any]) -> Any:
        while True:
            connection = take()
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
