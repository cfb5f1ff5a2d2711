"""What an order, a delivery and a record cost in a database that it fills: for bench.growth, which says what is done.

`python -m deploy.local exec --throwaway -- python -m bench.growing size ROWS`, or `processes`.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - needs the settings
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from apps.accounts.models import Account  # noqa: E402
from apps.accounts.services import issue_key  # noqa: E402
from apps.common.actor import system  # noqa: E402
from apps.common.garbage import spare_what_is_loaded  # noqa: E402
from apps.datafetch.services import due  # noqa: E402
from apps.datafetch.services.commands import run_stream  # noqa: E402
from apps.datafetch.services.streams import create_stream  # noqa: E402
from apps.events.dispatch import dispatch  # noqa: E402
from apps.webhooks.delivering import delivering  # noqa: E402
from apps.webhooks.models import Due  # noqa: E402
from bench.deliveries import (  # noqa: E402
    Measured,
    dispatch_all,
    make_endpoints,
    make_events,
    measure,
    postgres_seconds,
)
from bench.fetch.__main__ import remote_api  # noqa: E402
from bench.figures import tell  # noqa: E402
from bench.filling import GROWTH, fill  # noqa: E402
from bench.installation import ROOT  # noqa: E402
from bench.load import Call, closed_loop  # noqa: E402
from bench.measuring import cpu_seconds, family_seconds  # noqa: E402
from bench.peers.__main__ import receiver  # noqa: E402
from deploy.local.processes import processes  # noqa: E402
from deploy.local.services import free_port  # noqa: E402

PROCESSES = (1, 2, 4)
ORDERS, DELIVERIES, RECORDS, PAGES = 600, 2000, 20_000, 50
WARMING = 50
SECONDS = 5.0
PAUSE_SECONDS = 0.1
ENDPOINTS = 100
_FILL_STREAM = """
INSERT INTO datafetch_record (stream_id, "offset", key, change, hash, data, run_id, fetched_at)
SELECT %(stream)s, g, 'old-' || g, 'new', decode(md5(g::text), 'hex'),
       '{"id": "old-' || g || '", "note": "' || repeat('x', 350) || '"}', uuidv7(), now()
  FROM generate_series(1, %(count)s) g
"""


def at_size(rows: int) -> None:
    """Everything with so many rows there."""
    prepare(rows)
    size = f"{rows:,} rows"
    for name, tables in (
        ("an order of one line", "orders_order orders_orderline"),
        ("an event", "events_event"),
        ("a delivery with its attempt", "webhooks_delivery webhooks_attempt"),
    ):
        tell(f"{size}: stored for {name}", stored(tables.split()) / rows, "bytes")
    client = shop()
    measured, data, log = with_disk(ORDERS, lambda: place(client, ORDERS))
    told(f"{size}: order of two lines", measured)
    tell(f"{size}: added by an order, and by its event", data, "bytes")
    tell(f"{size}: written to the log for an order", log, "bytes")
    dispatch_all()
    with receiver() as url:
        targets = make_endpoints(url, ENDPOINTS)
        make_events(targets, DELIVERIES)
        measured, data, log = with_disk(DELIVERIES, dispatch_all)
        delivering.stop(10)
    told(f"{size}: delivery", measured)
    tell(f"{size}: added by a delivery", data, "bytes")
    tell(f"{size}: written to the log for a delivery", log, "bytes")
    records(rows, size)


def prepare(rows: int) -> None:
    """A filled database in which nobody but the benchmark has something to do."""
    call_command("migrate", verbosity=0)
    dispatch()  # each consumer has its row now, which filling moves to the end
    fill(rows, GROWTH)
    settings.ALLOWED_HOSTS.append("testserver")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_endpoint SET event_types = '{nothing}'")
        cursor.execute("DELETE FROM webhooks_due")
        cursor.execute("UPDATE orders_stock SET on_hand = 1000000, reserved = 0, is_low = false")
    spare_what_is_loaded()


def shop() -> Client:
    """A client of an account that sells; warm."""
    account = Account.objects.get(slug="account-1")
    scopes = ["orders:write", "streams:write"]
    key = issue_key(account_id=account.id, name="bench", scopes=scopes, rate_limit=1_000_000)
    client = Client(headers={"x-api-key": key.plain})
    place(client, WARMING)
    return client


def place(client: Client, count: int) -> None:
    for _ in range(count):
        answer = client.post("/api/v1/orders", order(), content_type="application/json")
        assert answer.status_code == 201, answer.content


def order() -> dict[str, object]:
    """Two of the first products of account-1: each twelfth is its."""
    items = [{"sku": f"SKU-{12 * n}", "quantity": 1} for n in random.sample(range(1, 81), 2)]
    return {"storefront": "web", "customer_id": "customer-1", "items": items}


def records(rows: int, size: str) -> None:
    """New records into a stream that has `rows`, and files from its middle. It reads by a cursor, as whoever reads
    an API with so many: a run that reads all there is looks at its end what is gone, which is another thing."""
    account = Account.objects.get(slug="account-1")
    with remote_api(RECORDS) as base:
        stream = create_stream(
            account_id=account.id,
            name="bench",
            url=f"{base}/items",
            records_path="results",
            primary_key="id",
            cursor={"field": "updated_at", "param": "since"},
            pagination={"type": "page_number", "param": "page", "start": 1},
        )
        fill_stream(stream.id, rows)
        tell(f"{size}: stored for a record", stored(["datafetch_record"]) / rows, "bytes")
        run_stream(account_id=account.id, stream_id=stream.id, actor=system("bench"))
        measured, data, log = with_disk(RECORDS, read_all)
    told(f"{size}: record read", measured)
    tell(f"{size}: added by a record", data, "bytes")
    tell(f"{size}: written to the log for a record", log, "bytes")
    client, path = shop(), f"/api/v1/streams/{stream.id}/records"

    def serve() -> None:
        for _ in range(PAGES):
            answer = client.get(
                path,
                {"after": rows // 2, "limit": 1000},
                headers={"accept": "application/x-ndjson"},
            )
            assert answer.getvalue().count(b"\n") == 1000

    told(f"{size}: record served", measure(PAGES * 1000, serve))


def fill_stream(stream_id: UUID, rows: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(_FILL_STREAM, {"stream": stream_id, "count": rows})
        cursor.execute(
            "UPDATE datafetch_progress SET last_offset = %s, record_count = %s WHERE id = %s",
            [rows, rows, stream_id],
        )
        cursor.execute("VACUUM (ANALYZE) datafetch_record")
        cursor.execute("RESET statement_timeout")


def read_all() -> None:
    while due.read_some():
        pass


def with_disk(count: int, work: Callable[[], None]) -> tuple[Measured, float, float]:
    """What `work` costs, and how many bytes each of `count` adds to the database and to its log."""
    data, log = _bytes()
    measured = measure(count, work)
    data_after, log_after = _bytes()
    return measured, (data_after - data) / count, (log_after - log) / count


def _bytes() -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_database_size(current_database()), pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
        )
        row = cursor.fetchone()
        return int(row[0]), int(row[1])


def stored(tables: list[str]) -> float:
    """Bytes of tables with their indexes, of all their partitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH named AS (SELECT name::regclass FROM unnest(%s::text[]) name)"
            " SELECT sum(pg_total_relation_size(one)) FROM ("
            "   SELECT name FROM named UNION SELECT relid FROM named, pg_partition_tree(name)"
            " ) every(one)",
            [tables],
        )
        return float(cursor.fetchone()[0])


def told(what: str, measured: Measured) -> None:
    share = 1000 / measured.count
    tell(f"{what}, here", measured.here * share, "CPU ms")
    tell(f"{what}, in PostgreSQL", measured.postgres * share, "CPU ms")


def by_processes() -> None:
    """Orders by several web processes, deliveries by several that dispatch."""
    prepare(10_000)
    account = Account.objects.get(slug="account-1")
    scopes = ["orders:write"]
    key = issue_key(account_id=account.id, name="bench", scopes=scopes, rate_limit=1_000_000)
    for count in PROCESSES:
        with web(count) as (url, process):
            asyncio.run(closed_loop(url, key.plain, 1.0, call))
            before = family_seconds(process) + postgres_seconds()
            run = asyncio.run(closed_loop(url, key.plain, SECONDS, call))
            spent = family_seconds(process) + postgres_seconds() - before
        tell(f"order, {count} web processes", spent * 1000 / len(run.latencies), "CPU ms")
        tell(f"orders, {count} web processes", run.per_second, "/s")
    dispatch_all()
    delivering.stop(10)
    with receiver() as url:
        targets = make_endpoints(url, ENDPOINTS)
        for count in PROCESSES:
            make_events(targets, DELIVERIES)
            spent = by_senders(count) / DELIVERIES
            tell(f"delivery, {count} processes", spent * 1000, "CPU ms")


def call() -> Call:
    return Call("POST", "/orders", order())


@contextmanager
def web(count: int) -> Iterator[tuple[str, int]]:
    """So many web processes, as `make run` starts two: their address, and the process that started them."""
    port = free_port()
    (process,) = (one for one in processes(port=port, run_dir=Path()) if one.name == "web")
    command = process.command.replace("--workers 2", f"--workers {count}").split()
    with subprocess.Popen([sys.executable, *command[1:]], cwd=ROOT) as running:
        url = f"http://127.0.0.1:{port}"
        try:
            await_answer(f"{url}/healthz")
            yield url, running.pid
        finally:
            running.terminate()


def await_answer(url: str) -> None:
    for _ in range(600):
        try:
            with urlopen(url):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} does not answer.")


def by_senders(count: int) -> float:
    """Seconds of the processor that so many processes and PostgreSQL take to deliver what there is."""
    before = postgres_seconds()
    command = [sys.executable, "-m", "bench.growing", "sender"]
    pipe = subprocess.PIPE
    senders = [subprocess.Popen(command, cwd=ROOT, stdout=pipe, text=True) for _ in range(count)]
    spent = sum(float(sender.communicate()[0]) for sender in senders)
    return spent + postgres_seconds() - before


def sender() -> None:
    """Dispatch and deliver until nothing is left; print the processor's seconds for that."""
    begun = cpu_seconds()
    while dispatch():
        pass
    while Due.objects.exists():  # ours or, for a while, another's
        delivering.deliver()
        delivering.sender.wait_until_empty(1)
        time.sleep(PAUSE_SECONDS)
    print(cpu_seconds() - begun)
    delivering.stop(10)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["size", rows]:
            at_size(int(rows))
        case ["processes"]:
            by_processes()
        case ["sender"]:
            sender()
