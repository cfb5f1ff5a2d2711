"""Records as NDJSON over HTTP, beside PostgreSQL's own COPY TO STDOUT of the same columns."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import psycopg

from bench.measuring import children, cpu_seconds, family_seconds, peak_memory

_COPY = """
COPY (SELECT "offset", key, data, fetched_at, change FROM datafetch_record WHERE stream_id = '{}'
      ORDER BY "offset") TO STDOUT
"""
_FILL = """
INSERT INTO datafetch_record
  (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at)
SELECT stream_id, "offset" + %(last)s, key || '-' || %(copy)s, change, hash, data, run_id, schema_number,
       fetched_at
  FROM datafetch_record WHERE stream_id = %(id)s AND "offset" <= %(most)s
"""


class Served(NamedTuple):
    """Seconds of the clock, of the processor in whoever sends, and in PostgreSQL; memory in MB."""

    wall: float
    cpu: float
    postgres: float
    before: float = 0.0
    peak: float = 0.0


def fill(stream_id: UUID, there: int, wanted: int) -> None:
    """Have `wanted` records in the stream, copies of the first ones."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        last, copy = there, 0
        while last < wanted:
            copy += 1
            most = min(there, wanted - last)
            connection.execute(_FILL, {"id": stream_id, "last": last, "most": most, "copy": copy})
            last += most
        connection.execute(
            "UPDATE datafetch_progress SET last_offset = %s, record_count = %s WHERE id = %s",
            [wanted, wanted, stream_id],
        )
        connection.execute("VACUUM (ANALYZE) datafetch_record")


def copied(stream_id: UUID, first: int) -> Served:
    """The limit. `first` is PostgreSQL's first process."""
    wall, cpu, postgres = time.perf_counter(), cpu_seconds(), family_seconds(first)
    with (
        psycopg.connect(os.environ["DATABASE_URL"]) as connection,
        connection.cursor() as cursor,
        cursor.copy(_COPY.format(stream_id)) as copy,
    ):
        for _ in copy:
            pass
    return Served(time.perf_counter() - wall, cpu_seconds() - cpu, family_seconds(first) - postgres)


@contextmanager
def web() -> Iterator[tuple[int, int]]:
    """A web process of its own, as `make run` starts it: its port and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = (
        f"{sys.executable} -m granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1 --blocking-threads 4"
        " --http 1 --no-ws --log-level error config.wsgi:application"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    with subprocess.Popen(command.split(), env=environment) as process:
        try:
            _await(port)
            yield port, process.pid
        finally:
            process.terminate()


def ndjson(stream_id: UUID, key: str, served_by: tuple[int, int], first: int, count: int) -> Served:
    """All records over HTTP; the lines are counted."""
    port, process = served_by
    (worker,) = children(process)
    before = peak_memory(worker)
    wall, cpu, postgres = time.perf_counter(), family_seconds(process), family_seconds(first)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"X-API-Key": key, "Accept": "application/x-ndjson"}
    connection.request("GET", f"/api/v1/streams/{stream_id}/records", headers=headers)
    answer, lines = connection.getresponse(), 0
    while chunk := answer.read1(1 << 20):
        lines += chunk.count(b"\n")
    assert (answer.status, lines) == (200, count), (answer.status, lines)
    return Served(
        time.perf_counter() - wall,
        family_seconds(process) - cpu,
        family_seconds(first) - postgres,
        before,
        peak_memory(worker),
    )


def _await(port: int) -> None:
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The web process does not start.")
