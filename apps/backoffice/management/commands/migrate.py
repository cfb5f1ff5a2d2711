"""`manage.py migrate`: an empty database is told at once all that the migrations would say to it (docs/adr/0045)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import connections, transaction
from django.db.backends.postgresql.psycopg_any import mogrify
from django.db.migrations.executor import MigrationExecutor

RECORDED = Path(__file__).resolve().parents[4] / "config" / "migrations.sql"

_HEAD = "-- What the migrations say to an empty database: `make migrations` writes it (docs/adr/0045).\n"
_IS_EMPTY = "SELECT NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema())"
_ONLY_ASKS = re.compile(r"\s*(SELECT|SAVEPOINT|RELEASE SAVEPOINT)\b")
_CONCURRENTLY = re.compile(r"^((?:CREATE|DROP) (?:UNIQUE )?INDEX) CONCURRENTLY")
_TIME = re.compile(r"'[^']+'::timestamptz")  # when a migration was applied


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--record",
            type=Path,
            metavar="PATH",
            help="apply every migration to an empty database, and write down what it is told",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        special = ("app_label", "plan", "check_unapplied", "fake")
        database = options["database"]
        if options["record"]:
            if not _is_empty(database):
                raise CommandError(
                    "There are tables already: `make migrations` takes a new database."
                )
            options["record"].write_text(_record(database))
        elif not any(options[name] for name in special) and _is_empty(database):
            _repeat(database)
        super().handle(*args, **options)  # migrations that are newer than the file


def _is_empty(database: str) -> bool:
    with connections[database].cursor() as cursor:
        cursor.execute(_IS_EMPTY)
        return bool(cursor.fetchone()[0])


def _record(database: str) -> str:
    """Apply all migrations, one by one; what they have told the database."""
    connection = connections[database]
    told: list[str] = []

    def listen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not _ONLY_ASKS.match(sql):
            said = sql if params is None else mogrify(sql, params, connection)
            told.append(_alone(said.strip().removesuffix(";")))
        return execute(sql, params, many, context)

    executor = MigrationExecutor(connection)
    with connection.execute_wrapper(listen):
        executor.migrate(executor.loader.graph.leaf_nodes())
    return _HEAD + "".join(f"\n{statement};\n" for statement in told)


def _alone(statement: str) -> str:
    """It as it is said at any time to a database that nobody else uses, in one transaction."""
    return _CONCURRENTLY.sub(r"\1", _TIME.sub("now()", statement))


def _repeat(database: str) -> None:
    """All of it or nothing; it says too which migrations are applied."""
    with transaction.atomic(database), connections[database].cursor() as cursor:
        cursor.execute(RECORDED.read_text())
