"""Deliveries a second, beside a bare aiohttp loop that signs and posts the same bodies in the same run.

`python -m deploy.local exec --throwaway -- python -m bench.deliveries [COUNT]` makes COUNT events for one
endpoint and for 1,000, and has this process send them in two ways: from the table of what is owed
(claims), and from the log of events (dispatch and the fast path); outcomes are stored both times. The
receiver is a process of its own that reads each request and answers 204. As other work on the machine
spoils the wall clock, the processor's seconds for 1,000 deliveries are told too: of this process, and of
PostgreSQL.

It needs a database that it may fill.
"""

import asyncio
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings
from django.db import connection, transaction  # noqa: E402

from apps.accounts.models import Account  # noqa: E402
from apps.common import clock  # noqa: E402
from apps.common.actor import system  # noqa: E402
from apps.common.garbage import spare_what_is_loaded  # noqa: E402
from apps.common.ids import uuid7  # noqa: E402
from apps.events.dispatch import dispatch, stamp  # noqa: E402
from apps.events.models import Consumer, Event  # noqa: E402
from apps.events.publishing import draft, publish_all  # noqa: E402
from apps.webhooks.delivering import delivering  # noqa: E402
from apps.webhooks.events import DISABLED  # noqa: E402
from apps.webhooks.fanout import make_deliveries  # noqa: E402
from apps.webhooks.limits import ENDPOINT_CAP  # noqa: E402
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint  # noqa: E402
from apps.webhooks.signing import key_of, new_secret, signature  # noqa: E402
from bench.figures import tell  # noqa: E402
from bench.measuring import cpu_seconds, family_seconds, stat  # noqa: E402

OBJECT = {"name": "bench", "pad": "x" * 500}
BATCH = 500
FEED_SECONDS = 0.01  # about what a wake-up takes


@dataclass(frozen=True, slots=True)
class Measured:
    """What `count` deliveries took: seconds of the clock, and of the processor."""

    count: int
    wall: float
    here: float
    postgres: float

    @property
    def rate(self) -> float:
        return self.count / self.wall

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(
            self.count + other.count,
            self.wall + other.wall,
            self.here + other.here,
            self.postgres + other.postgres,
        )


class Answering(asyncio.Protocol):
    """Answers 204 to each request, which must have a Content-Length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"(?i)content-length: *(\d+)", self._buffer[:end])
            size = end + 4 + int(length[1] if length else 0)
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def answer(port: Any) -> None:
    """The receiver: tells its port and answers until it is ended."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        # With the backlog of 100 that is usual, some of 256 connections made at once are tried again after 1 s.
        server = await loop.create_server(Answering, "127.0.0.1", 0, backlog=1024)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def main(count: int = 4000) -> None:
    call_command("migrate", verbosity=0)
    spare_what_is_loaded()  # as workers do
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    receiver = context.Process(target=answer, args=(port,), daemon=True)
    receiver.start()
    try:
        base = f"http://127.0.0.1:{port.get(timeout=120)}"
        for endpoints in (1, 1000):
            targets = make_endpoints(base, endpoints)
            before = measure_bare(targets, count)
            make_events(targets, count)
            owe_all()
            claims = measure(count, send_all)
            make_events(targets, count)
            fast = measure(count, dispatch_all)
            limit = before + measure_bare(targets, count)
            report(f"bare loop, {endpoints} endpoints", limit)
            report(f"claims, {endpoints} endpoints", claims, limit)
            report(f"dispatch and fast path, {endpoints} endpoints", fast, limit)
            assert Delivery.objects.filter(status="delivered").count() == 2 * count
            clear()
    finally:
        delivering.stop(10)
        receiver.terminate()


def make_endpoints(base: str, count: int) -> list[Endpoint]:
    """Each of an account of its own."""
    accounts = Account.objects.bulk_create(
        Account(slug=f"bench-{uuid7()}", name="Bench") for _ in range(count)
    )
    return Endpoint.objects.bulk_create(
        Endpoint(account=account, url=f"{base}/{n}", event_types=["*"], secret=new_secret())
        for n, account in enumerate(accounts)
    )


def make_events(targets: Sequence[Endpoint], count: int) -> None:
    for first in range(0, count, BATCH):
        now = clock.now()
        drafts = [
            draft(
                DISABLED,
                account_id=targets[n % len(targets)].account_id,
                subject=uuid7(),
                object=OBJECT,
                actor=system("bench"),
                at=now,
            )
            for n in range(first, min(first + BATCH, count))
        ]
        with transaction.atomic():
            publish_all(drafts)
    while stamp():
        pass


def owe_all() -> None:
    """What the fan-out does when it does not send."""
    consumer, _ = Consumer.objects.get_or_create(pk="webhooks.fan_out")
    while events := list(
        Event.objects.filter(position__gt=consumer.position).order_by("position")[:100]
    ):
        make_deliveries([event.id for event in events], limit=64)
        consumer.position = events[-1].position or 0
        consumer.save()


def send_all() -> None:
    while Due.objects.exists():
        delivering.deliver()
        delivering.sender.wait_until_empty(1)


def dispatch_all() -> None:
    """As in a worker: while one thread dispatches, another delivers what takes no fast path."""
    with feeding():
        while dispatch():
            pass
    send_all()


@contextmanager
def feeding() -> Iterator[None]:
    """Another thread delivers what is due, again and again, until the block ends."""
    over = threading.Event()

    def feed() -> None:
        while not over.is_set():
            delivering.deliver()
            over.wait(FEED_SECONDS)
        connection.close()

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def bare(targets: Sequence[Endpoint], body: bytes, count: int) -> None:
    """Sign and post, as many at once as the sender has under way."""
    keys = [(target.url, key_of(str(target.secret))) for target in targets]
    numbers = iter(range(count))

    async def work(session: aiohttp.ClientSession) -> None:
        for n in numbers:
            url, key = keys[n % len(keys)]
            message, now = uuid7(), int(time.time())
            headers = {
                "content-type": "application/json",
                "webhook-id": str(message),
                "webhook-timestamp": str(now),
                "webhook-signature": signature([key], message, now, body),
            }
            async with session.post(url, data=body, headers=headers) as response:
                assert response.status == 204
                await response.read()

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        workers = min(len(targets) * ENDPOINT_CAP, 256)
        await asyncio.gather(*(work(session) for _ in range(workers)))


def draft_body(account_id: UUID) -> bytes:
    made = draft(
        DISABLED,
        account_id=account_id,
        subject=uuid7(),
        object=OBJECT,
        actor=system("bench"),
        at=clock.now(),
    )
    return bytes(made.payload)


def measure_bare(targets: Sequence[Endpoint], count: int) -> Measured:
    """The limit, taken before and after what is measured: the machine is not the same all the time."""
    body = draft_body(targets[0].account_id)
    return measure(count, lambda: asyncio.run(bare(targets, body, count)))


def measure(count: int, work: Callable[[], None]) -> Measured:
    connection.close()
    wall, here, postgres = time.perf_counter(), cpu_seconds(), postgres_seconds()
    work()
    return Measured(
        count,
        time.perf_counter() - wall,
        cpu_seconds() - here,
        postgres_seconds() - postgres,
    )


def postgres_seconds() -> float:
    """Of all processes of the server, ended ones too: its first process sums up what it waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return family_seconds(int(stat(int(cursor.fetchone()[0]))[1]))


def clear() -> None:
    with connection.cursor() as cursor:
        for model in (Due, Attempt, Delivery):
            cursor.execute(f"TRUNCATE {model._meta.db_table}")
    Endpoint.objects.all().delete()


def report(what: str, measured: Measured, limit: Measured | None = None) -> None:
    tell(f"deliveries: {what}", measured.rate, "/s", limit.rate if limit else None)
    share = 1000 / measured.count
    here, postgres = measured.here * share, measured.postgres * share
    print(f"    CPU for 1,000: {here:.2f} s here, {postgres:.2f} s in PostgreSQL", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
