"""What a dead and a tar-pit endpoint cost the 98 others: from a delivery that is made to its answer, with them
and without.

`python -m deploy.local exec --throwaway -- python -m bench.fairness [ROUNDS]`: a round is one event for each of
100 accounts; the receiver keeps the tar pit's requests for as long as they last. The same process publishes,
dispatches and sends. It needs a database that it may fill.
"""

import asyncio
import multiprocessing
import os
import sys
import threading
import time
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings

from apps.common.garbage import spare_what_is_loaded  # noqa: E402
from apps.events.dispatch import dispatch  # noqa: E402
from apps.webhooks.delivering import delivering  # noqa: E402
from apps.webhooks.models import Attempt, Due, Endpoint, Pace  # noqa: E402
from bench.deliveries import Answering, clear, make_endpoints, make_events  # noqa: E402
from bench.figures import tell_latencies  # noqa: E402

ENDPOINTS = 100
PAUSE_SECONDS = 0.2
DEAD, PIT = 0, 1


class TarPit(asyncio.Protocol):
    """Takes requests and never answers."""


def answer(ports: Any) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(kind, "127.0.0.1", 0) for kind in (Answering, TarPit)]
        ports.put([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.gather(*(server.serve_forever() for server in servers))

    asyncio.run(serve())


def main(rounds: int = 30) -> None:
    call_command("migrate", verbosity=0)
    spare_what_is_loaded()  # as workers do
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    receiver = context.Process(target=answer, args=(ports,), daemon=True)
    receiver.start()
    try:
        good, pit = (f"http://127.0.0.1:{port}" for port in ports.get(timeout=120))
        for is_hard in (False, True, False, True):
            targets = make_endpoints(good, ENDPOINTS)
            if is_hard:
                Endpoint.objects.filter(pk=targets[DEAD].pk).update(url="http://127.0.0.1:1/")
                Endpoint.objects.filter(pk=targets[PIT].pk).update(url=pit)
            seconds = run(targets, rounds)
            tell_latencies(
                "with a dead one and a tar pit" if is_hard else "all of them well", seconds
            )
            clear()
            Pace.objects.all().delete()
    finally:
        delivering.stop(1)
        receiver.terminate()


def run(targets: list[Endpoint], rounds: int) -> list[float]:
    """Seconds from the making of a delivery to its answer, for the endpoints that are well."""
    over = threading.Event()

    def feed() -> None:
        while not over.is_set():
            delivering.deliver()
            over.wait(0.05)

    feeding = threading.Thread(target=feed)
    feeding.start()
    for _ in range(rounds):
        make_events(targets, ENDPOINTS)
        dispatch()
        time.sleep(PAUSE_SECONDS)
    well = [target.pk for target in targets[PIT + 1 :]]
    while Due.objects.filter(endpoint_id__in=well).exists():
        time.sleep(0.05)
    over.set()
    Due.objects.filter(lease_id=None).delete()
    feeding.join()
    delivering.sender.wait_until_empty(20)
    return latencies(well)


def latencies(endpoints: list[UUID]) -> list[float]:
    first = Attempt.objects.filter(delivery__endpoint_id__in=endpoints, number=1)
    rows = first.values_list("started_at", "duration_ms", "delivery__created_at")
    return [(start - made).total_seconds() + ms / 1000 for start, ms, made in rows]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
