"""config/migrations.sql, which an empty database is told instead of every migration by itself (docs/adr/0045)."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from apps.backoffice.management.commands.migrate import RECORDED
from deploy.local.environment import ROOT
from deploy.local.services import postgres_binaries

_APPLIED_AT = re.compile(r"'[\d-]{10} [\d:.]+\+00'")


def test_every_migration_is_in_the_file() -> None:
    """Whoever is missing is applied by itself: right, but it takes its time. `make migrations` writes the file."""
    text = RECORDED.read_text()

    on_disk = MigrationLoader(None).disk_migrations

    assert [key for key in on_disk if f"VALUES ('{key[0]}', '{key[1]}'" not in text] == []


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_an_empty_database_becomes_what_all_migrations_make_of_it(tmp_path: Path) -> None:
    recorded = tmp_path / "migrations.sql"

    with _empty_database("one_by_one") as one_by_one, _empty_database("at_once") as at_once:
        _migrate(one_by_one, "--record", str(recorded))
        _migrate(at_once)

        assert recorded.read_text() == RECORDED.read_text(), "make migrations"
        assert _dump(at_once) == _dump(one_by_one)


@pytest.mark.django_db
def test_nothing_is_recorded_where_there_are_tables_already(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="tables already"):
        call_command("migrate", record=tmp_path / "migrations.sql")

    assert list(tmp_path.iterdir()) == []


@contextmanager
def _empty_database(name: str) -> Iterator[str]:
    """Its URL, on the server of this run."""
    name = f"{name}_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _migrate(url: str, *options: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *options]
    environment = {**os.environ, "DATABASE_URL": url}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def _dump(url: str) -> str:
    """All of it: tables, functions, triggers, and the rows, but for the time at which a migration was applied."""
    program = str(postgres_binaries() / "pg_dump")
    command = [program, "--restrict-key=none", "--inserts", f"--dbname={url}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CREATE FUNCTION" in told
    return _APPLIED_AT.sub("then", told)
