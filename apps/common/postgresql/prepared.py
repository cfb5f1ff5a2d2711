"""Hot statements: prepared once per connection, and run past the cursors of Django and psycopg, which make all that
they need anew for each statement (docs/adr/0031)."""

from collections.abc import Callable, Sequence
from itertools import count
from types import TracebackType
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.utils import CursorWrapper
from psycopg import Connection, OperationalError, generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import FeatureNotSupported, error_from_result
from psycopg.pq import ExecStatus, TransactionStatus

from apps.common.postgresql.base import DatabaseWrapper

_KEPT = "tradepost_prepared"  # the attribute of a connection of psycopg


class prepared_cursor:  # noqa: N801 - called as the function that it stands for
    """A cursor for hot statements that answer one row. PostgreSQL gets their text, with $1 for the first
    argument, once per connection, which is one more round trip, and then only the arguments.

    A thread that has no connection at the time takes one for the block alone: from the pool, in autocommit.
    """

    def __enter__(self) -> CursorWrapper:
        database = cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS])
        self._borrowed = None
        if database.connection is None and not database.in_atomic_block and database.pool:
            with database.wrap_database_errors:
                self._borrowed = database.borrow()
                if not self._borrowed.autocommit:
                    self._borrowed.autocommit = True
        else:
            database.ensure_connection()
        cursor: Any = kept_on(self._borrowed or database.connection)
        return CursorWrapper(cursor, database)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._borrowed is not None:
            self._borrowed._pool.putconn(self._borrowed)


class PreparedCursor:
    """What `CursorWrapper` wraps, one for each connection: it knows which statements are prepared there, and how
    their values are written and read. For statements that answer one row.

    psycopg prepares nothing beside it (no `prepare_threshold`): it would forget all statements of the connection
    with every ROLLBACK, these too.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._adapter = Transformer(connection)
        self._names: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._numbers = count()
        self._under_way = 0

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Raises psycopg's errors, as its own cursors do."""
        name, dumped = self._bound(sql, values, self._prepare)
        wire = self._connection.pgconn
        if wire.transaction_status == TransactionStatus.IDLE and not self._connection.autocommit:
            self._check(wire.exec_(b"BEGIN"))
        self._take(wire.exec_prepared(name, dumped, self._adapter.formats))

    def send(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Hand statements over, in autocommit, each a transaction of its own, behind those that are under way: once
        this returns, the server has all of them. The connection is for nothing else until `receive` has had each."""
        wire = self._connection.pgconn
        if not self._under_way:
            wire.enter_pipeline_mode()
        for sql, values in statements:
            name, dumped = self._bound(sql, values, wire.send_prepare)
            wire.send_query_prepared(name, dumped, self._adapter.formats)
            wire.pipeline_sync()
            self._under_way += 1
        self._connection.wait(generators.send(wire))

    def receive(self) -> None:
        """Wait until the next of them has been carried out; raises what `execute` does."""
        wire, results = self._connection.pgconn, []
        while found := self._connection.wait(generators.fetch_many(wire)):
            if found[-1].status == ExecStatus.PIPELINE_SYNC:
                break
            results += found
        self._under_way -= 1
        if found and not self._under_way:
            wire.exit_pipeline_mode()
        if not results:
            raise OperationalError("The server has gone.")
        if results[-1].status == ExecStatus.PIPELINE_ABORTED:  # it could not be prepared
            self._names.clear()
        for result in results:
            self._take(result)

    def fetchone(self) -> tuple[Any, ...]:
        """The row that the statement has answered, once."""
        row = self._adapter.load_row(0, tuple)
        self._adapter.set_pgresult(None)
        return row

    def _bound(
        self, sql: str, values: Sequence[Any], prepare: Callable[[bytes, bytes, Any], Any]
    ) -> tuple[bytes, Any]:
        """The name that a statement was prepared under, by `prepare` if it was not yet, and its values."""
        dumped = self._adapter.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types = self._adapter.types or ()
        name = self._names.get((sql, types))
        if name is None:
            name = b"tradepost_%d" % next(self._numbers)
            prepare(name, sql.encode(), types)
            self._names[sql, types] = name
        return name, dumped

    def _prepare(self, name: bytes, sql: bytes, types: Any) -> None:
        self._check(self._connection.pgconn.prepare(name, sql, types))

    def _take(self, result: Any) -> None:
        self._check(result)
        self._adapter.set_pgresult(result)

    def _check(self, result: Any) -> None:
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return
        error = error_from_result(result)
        if isinstance(error, FeatureNotSupported):  # its columns have other types since a migration
            self._names.clear()
        # libpq's own word, without a code, is that the server has gone.
        raise error if error.sqlstate else OperationalError(str(error))


def kept_on(connection: Connection[Any]) -> PreparedCursor:
    """The one of a connection."""
    kept: PreparedCursor | None = getattr(connection, _KEPT, None)
    if kept is None:
        kept = PreparedCursor(connection)
        setattr(connection, _KEPT, kept)
    return kept
