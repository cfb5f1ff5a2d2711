"""How fast a stream is read into PostgreSQL and served from it, beside the limits and beside dlt.

`python -m deploy.local exec --throwaway -- python -m bench.fetch [COUNT] [SERVED] [ROUNDS]`: COUNT records (200,000)
in pages of 1,000 from a server in a process of its own are read by

- the limit: every page downloaded, its records written by one COPY into a bare table;
- dlt's REST source, merged by primary key (installed below `var`; without it that row is missing);
- a stream: records compared by hash, versions, a checkpoint with each page, raw pages kept;

then once more, unchanged, by the stream, with and without ETags, beside the download alone. SERVED records
(1,000,000) are then read as NDJSON over HTTP, beside COPY TO STDOUT. Each is done ROUNDS times (3), in turn, first
and last changing places; medians are printed. Each client is a process of its own. As other work on the
machine spoils the wall clock, trust the processor's seconds: of the client, and of PostgreSQL.

It needs a database that it may fill.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings
from django.db import connection  # noqa: E402

from apps.accounts.models import Account  # noqa: E402
from apps.accounts.services import issue_key  # noqa: E402
from apps.common.ids import uuid7  # noqa: E402
from apps.datafetch.models import Run  # noqa: E402
from apps.datafetch.services.streams import create_stream  # noqa: E402
from bench import figures  # noqa: E402
from bench.fetch import serving  # noqa: E402
from bench.measuring import Cost, children, family_seconds, stat, told  # noqa: E402
from bench.peers.environment import peer_python  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARE = 50_000  # records that processor seconds are told for
TABLES = ("record", "page", "run", "schemaversion")


class Measured(NamedTuple):
    """What a client and PostgreSQL spent."""

    client: Cost
    postgres: float


def main(count: int = 200_000, served: int = 1_000_000, rounds: int = 3) -> None:
    call_command("migrate", verbosity=0)
    account = Account.objects.create(slug=f"bench-{uuid7()}", name="Bench")
    peer = peer_python("dlt")
    with remote_api(count) as base:
        found: defaultdict[str, list[Measured]] = defaultdict(list)
        for number in range(rounds):
            first_readers: list[tuple[str, Callable[[], Measured]]] = [
                ("download + COPY", lambda: alone("bench.fetch.bare", "bare", f"{base}/items")),
                *([("dlt, merge", lambda: by_dlt(peer, base))] if peer else []),
                ("stream", lambda: by_stream(account, f"{base}/items", count)),
                ("stream, unchanged", lambda: again(count)),
                ("stream with ETags", lambda: by_stream(account, f"{base}/tagged", count)),
                ("stream with ETags, unchanged", lambda: again(count)),
                ("download", lambda: alone("bench.fetch.bare", "download", f"{base}/items")),
            ]
            for name, work in first_readers if number % 2 == 0 else turned(first_readers):
                found[name].append(work())
                print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
        report(count, found)
        serve(account, count, served, rounds)


def turned(
    readers: list[tuple[str, Callable[[], Measured]]],
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    """Backwards, but for a stream's second run, which comes after its first."""
    pairs: list[list[tuple[str, Callable[[], Measured]]]] = []
    for reader in readers:
        if reader[0].endswith("unchanged"):
            pairs[-1].append(reader)
        else:
            pairs.append([reader])
    for pair in reversed(pairs):
        yield from pair


@contextmanager
def remote_api(count: int) -> Iterator[str]:
    """The server; its base URL."""
    command = [sys.executable, "-m", "bench.fetch.pages", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def alone(module: str, *arguments: str, python: str = sys.executable) -> Measured:
    """What a module costs that is run as a process of its own and tells it."""
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    first = postgres_process()
    before, there = family_seconds(first), set(children(first))
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
    )
    await_end(first, there)
    return Measured(told(done.stdout), family_seconds(first) - before)


def await_end(first: int, there: set[int]) -> None:
    """Of the client's backends: while one ends, its seconds are nowhere."""
    until = time.monotonic() + 2
    while set(children(first)) - there and time.monotonic() < until:
        time.sleep(0.01)


def by_dlt(python: str, base: str) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        measured = alone("bench.fetch.peer", f"{base}/items", folder, python=python)
    with connection.cursor() as cursor:
        cursor.execute(
            "DROP SCHEMA bench_dlt CASCADE; DROP SCHEMA IF EXISTS bench_dlt_staging CASCADE"
        )
    return measured


def by_stream(account: Account, url: str, count: int) -> Measured:
    """The first run of a new stream, with the tables empty before it."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE " + ", ".join(f"datafetch_{name}" for name in TABLES))
    stream = create_stream(
        account_id=account.id,
        name="bench",
        url=url,
        records_path="results",
        primary_key="id",
        pagination={"type": "page_number", "param": "page", "start": 1},
    )
    measured = run(stream.id)
    assert Run.objects.get().records_new == count
    return measured


def again(count: int) -> Measured:
    """The second run of the same one."""
    measured = run(Run.objects.get().stream_id)
    assert Run.objects.order_by("-id")[0].records_unchanged == count
    return measured


def run(stream_id: UUID) -> Measured:
    account_id = Account.objects.get(slug__startswith="bench-").id
    return alone("bench.fetch.ours", str(account_id), str(stream_id))


def report(count: int, found: dict[str, list[Measured]]) -> None:
    rates = {
        name: statistics.median(count / one.client.wall for one in them)
        for name, them in found.items()
    }
    print(
        f"\n{count:,} records, medians of {len(found['stream'])}; CPU seconds for {SHARE:,} records"
    )
    print(
        f"{'':30} {'records/s':>10} {'of limit':>9} {'of dlt':>7} {'client':>7} {'PostgreSQL':>11} {'peak MB':>8}"
    )
    for name, them in found.items():
        limit = rates[name] / rates["download + COPY"]
        peer = f"{rates[name] / rates['dlt, merge']:7.1f}" if "dlt, merge" in rates else f"{'-':>7}"
        client = statistics.median(one.client.cpu for one in them) * SHARE / count
        postgres = statistics.median(one.postgres for one in them) * SHARE / count
        peak = statistics.median(one.client.peak for one in them)
        print(
            f"{name:30} {rates[name]:10,.0f} {limit:9.2f} {peer} {client:7.2f} {postgres:11.2f} {peak:8.0f}"
        )

    limit = rates["download + COPY"]
    figures.tell("records read into a stream", rates["stream"], "records/s", limit)
    if "dlt, merge" in rates:
        name = "records read into a stream, beside dlt"
        figures.tell(name, rates["stream"], "records/s", rates["dlt, merge"])
    figures.tell(
        "unchanged records read again", rates["stream, unchanged"], "records/s", rates["download"]
    )
    for name, them in found.items():
        spent = [(one.client.cpu + one.postgres) * SHARE / count for one in them]
        figures.tell(f"{name}, for {SHARE:,} records", statistics.median(spent), "CPU s")


def serve(account: Account, there: int, count: int, rounds: int) -> None:
    """Records as NDJSON, beside COPY TO STDOUT."""
    stream_id = Run.objects.order_by("-id")[0].stream_id
    serving.fill(stream_id, there, count)
    key = issue_key(account_id=account.id, name="bench", scopes=["streams:read"]).plain
    first = postgres_process()
    limits, served = [], []
    with serving.web() as web:
        serving.ndjson(stream_id, key, web, first, count)  # so that memory is what it grows to
        for _ in range(rounds):
            limits.append(serving.copied(stream_id, first))
            served.append(serving.ndjson(stream_id, key, web, first, count))
    limit = statistics.median(one.wall for one in limits)
    print(f"\n{count:,} records served, medians of {rounds}; CPU seconds for {SHARE:,} records")
    for name, them in (("COPY TO STDOUT", limits), ("NDJSON over HTTP", served)):
        wall = statistics.median(one.wall for one in them)
        cpu = statistics.median(one.cpu for one in them) * SHARE / count
        postgres = statistics.median(one.postgres for one in them) * SHARE / count
        print(
            f"{name:30} {count / wall:10,.0f}/s {limit / wall:6.2f} of COPY   {cpu:5.2f} s here"
            f"   {postgres:5.2f} s PostgreSQL"
        )
    rates = [count / statistics.median(one.wall for one in them) for them in (served, limits)]
    figures.tell("records served as NDJSON", rates[0], "records/s", rates[1])
    print(
        f"web's memory: peak {served[0].before:.0f} MB after one file, {served[-1].peak:.0f} MB after all"
    )


def postgres_process() -> int:
    """PostgreSQL's first process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(stat(int(cursor.fetchone()[0]))[1])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
