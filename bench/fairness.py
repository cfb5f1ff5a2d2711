"""What one dead endpoint costs the 99 others: from a delivery that is made to its answer, beside the same with all
of them well.

`python -m deploy.local exec --throwaway -- python -m bench.fairness [PAIRS]`: a phase is ten rounds of one event for
each of 100 accounts, all of them well or one of them dead; the two kinds take turns, pair by pair, in one
installation, as two runs of the same kind differ by more than what is looked for. Told are medians over the phases,
and between which bounds the ratio of a pair lies. The dead one takes requests, five at a time, and hangs up after
a second. The same process publishes, dispatches and sends. It needs a database that it may fill.
"""

import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("LOG_LEVEL", "WARNING")  # each failure is told else
django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings

from apps.common.garbage import spare_what_is_loaded  # noqa: E402
from apps.events.dispatch import dispatch  # noqa: E402
from apps.webhooks.delivering import delivering  # noqa: E402
from apps.webhooks.models import Attempt, Due, Endpoint, Pace  # noqa: E402
from bench.deliveries import Answering, feeding, make_endpoints, make_events  # noqa: E402
from bench.figures import tell  # noqa: E402

ENDPOINTS = 100
ROUNDS = 10
PAUSE_SECONDS = 0.05
HOLD_SECONDS = 1.0
PERCENTS = (50, 99)
# With so many pairs the true middle is, 95 times of 100, between the fourth of the ratios and the fourth but last.
PAIRS, OUTER = 15, 3


class Dead(asyncio.Protocol):
    """Takes requests, never answers, and hangs up after a while."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asyncio.get_running_loop().call_later(HOLD_SECONDS, transport.close)


def answer(ports: Any) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(kind, "127.0.0.1", 0) for kind in (Answering, Dead)]
        ports.put([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.gather(*(server.serve_forever() for server in servers))

    asyncio.run(serve())


def main(pairs: int = PAIRS) -> None:
    call_command("migrate", verbosity=0)
    spare_what_is_loaded()  # as workers do
    context = multiprocessing.get_context("spawn")
    ports = context.Queue()
    receiver = context.Process(target=answer, args=(ports,), daemon=True)
    receiver.start()
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    try:
        good, dead = (f"http://127.0.0.1:{port}" for port in ports.get(timeout=120))
        targets = make_endpoints(good, ENDPOINTS)
        phase(targets, good)  # plans and connections are made once
        for pair in range(pairs):
            for is_dead in (False, True) if pair % 2 else (True, False):
                found[is_dead].append(phase(targets, dead if is_dead else good))
    finally:
        delivering.stop(1)
        receiver.terminate()
    for number, percent in enumerate(PERCENTS):
        well, beside = ([one[number] for one in found[kind]] for kind in (False, True))
        report(percent, well, beside)


def phase(targets: list[Endpoint], first_url: str) -> list[float]:
    """Percentiles of the seconds from the making of a delivery to its answer, but for the first endpoint."""
    first, others = targets[0].pk, [target.pk for target in targets[1:]]
    Endpoint.objects.filter(pk=first).update(url=f"{first_url}/0")
    last = Attempt.objects.order_by("-pk").values_list("pk", flat=True).first() or UUID(int=0)
    with feeding():
        for _ in range(ROUNDS):
            make_events(targets, ENDPOINTS)
            dispatch()
            time.sleep(PAUSE_SECONDS)
        while Due.objects.filter(endpoint_id__in=others).exists():
            time.sleep(PAUSE_SECONDS)
    delivering.sender.wait_until_empty(20)
    Due.objects.all().delete()
    Pace.objects.all().delete()
    cuts = statistics.quantiles(latencies(others, last), n=100)
    return [cuts[percent - 1] for percent in PERCENTS]


def latencies(endpoints: list[UUID], after: UUID) -> list[float]:
    attempts = Attempt.objects.filter(pk__gt=after, delivery__endpoint_id__in=endpoints, number=1)
    rows = attempts.values_list("started_at", "duration_ms", "delivery__created_at")
    return [(start - made).total_seconds() + ms / 1000 for start, ms, made in rows]


def report(percent: int, well: list[float], beside: list[float]) -> None:
    middle, limit = (statistics.median(some) * 1000 for some in (beside, well))
    tell(f"99 endpoints beside a dead one, p{percent}", middle, "ms", limit)
    ratios = sorted(one / other for one, other in zip(beside, well, strict=True))
    bounds = ratios[OUTER], ratios[-1 - OUTER]
    print(
        f"    ratio of a pair: {statistics.median(ratios):.2f} in the middle, "
        f"surely between {bounds[0]:.2f} and {bounds[1]:.2f}; "
        f"well, from {min(well) * 1000:.1f} to {max(well) * 1000:.1f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
