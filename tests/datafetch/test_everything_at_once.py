"""Commands, changes and two workers at once: whatever the order, nothing is lost, doubled or left over."""

import random
import time
from collections import Counter
from typing import Any

import pytest

from apps.datafetch.models import Progress, Record, Run
from apps.datafetch.services import due
from apps.events.models import Event
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    items,
    let_time_pass,
    make_stream,
    present,
    run,
)
from tests.support import ApiClient, Receiver, concurrently

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SECONDS = 8
COMMANDS = ("run", "run", "remap", "remap", "start", "stop", "change", "change", "edit", "read")
CHANGES: tuple[dict[str, Any], ...] = (
    {"mapping": {"label": "name", "id": "id"}},
    {"mapping": {"label": "id"}},
    {"mapping": None},
    {"schema_policy": "reject"},
    {"schema_policy": "evolve"},
    {"interval_seconds": 1},
)


def test_the_end_is_as_if_all_had_waited_for_each_other(
    someone: ApiClient, receiver: Receiver
) -> None:
    remote = RemoteApi(receiver, items(40))
    stream = make_stream(someone, remote.url("/links"), **PAGINATIONS["/links"])
    url = f"/api/v1/streams/{stream['id']}"
    ends_at = time.monotonic() + SECONDS
    statuses = Counter[int]()

    def work() -> None:
        while time.monotonic() < ends_at:
            if not due.read_some():
                time.sleep(0.005)

    def command(chance: random.Random) -> None:
        while time.monotonic() < ends_at:
            match chance.choice(COMMANDS):
                case "change":
                    answer = someone.patch(url, chance.choice(CHANGES))
                case "edit":
                    number = chance.randrange(40)
                    remote.items[number] = {**remote.items[number], "name": f"x{chance.random()}"}
                    continue
                case "read":
                    answer = someone.get(f"{url}/records", consumer="c", commit="auto", limit=20)
                case name:
                    answer = someone.post(f"{url}/{name}", {})
            statuses[answer.status_code] += 1
            time.sleep(chance.uniform(0, 0.02))

    concurrently(5, lambda n: work() if n < 2 else command(random.Random(n)))
    someone.post(f"{url}/stop", {})
    let_time_pass()
    while due.read_some():
        let_time_pass()
    someone.patch(url, {"mapping": None, "schema_policy": "evolve"})
    run(someone, stream)

    assert set(statuses) <= {200, 202, 409}
    rows = Record.objects.order_by("offset").values_list("offset", "fetched_at")
    offsets, times = zip(*rows, strict=True)
    assert offsets == tuple(range(1, len(offsets) + 1))
    assert list(times) == sorted(times)
    progress = Progress.objects.get()
    assert (progress.last_offset, progress.record_count) == (len(offsets), 40)
    assert present(someone, stream) == remote.items
    ended = Event.objects.filter(type__in=["stream.run_succeeded", "stream.run_failed"]).count()
    assert ended == Run.objects.filter(status__in=["succeeded", "failed"]).count()
    assert not Run.objects.filter(status="running").exists()
