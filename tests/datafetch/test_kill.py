"""kill -9, at any moment: nothing lost, nothing doubled, at most one page fetched again each time."""

import random
import time
from functools import partial

import pytest

from apps.datafetch.models import Progress, Record, Run
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    get,
    items,
    let_time_pass,
    make_stream,
    present,
    records,
)
from tests.datafetch.workers import Workers
from tests.support import ApiClient, Receiver, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = 15


@pytest.mark.parametrize("path", ["/links", "/pages"])
def test_the_end_is_as_if_nobody_had_been_killed(
    someone: ApiClient, receiver: Receiver, workers: Workers, path: str
) -> None:
    chance = random.Random(path)
    remote = RemoteApi(receiver, items(120, text="x" * 200))
    stream = make_stream(someone, remote.url(path), **PAGINATIONS[path])
    pages = 41 if path == "/pages" else 40
    someone.post(f"/api/v1/streams/{stream['id']}/run", {})  # once: no other run follows
    killed = 0

    def has_ended() -> bool:
        return not Run.objects.filter(status="running").exists()

    def has_come_to(requests: int) -> bool:
        return len(receiver.requests) >= requests or has_ended()

    while killed < KILLS and not has_ended():
        more = len(receiver.requests) + 1
        workers.start()
        wait_until(partial(has_come_to, more), seconds=30)
        time.sleep(chance.uniform(0, 0.06))  # wherever it is by now
        workers.kill()
        workers.wait_until_gone()
        killed += 1
        let_time_pass()
        Progress.objects.update(claims=0)  # or so many deaths without a page would end the run
    workers.start()
    wait_until(has_ended, seconds=60)

    assert killed > 3
    run = Run.objects.get()
    assert (run.status, run.pages) == ("succeeded", pages)
    assert (run.records_new, run.records_changed, run.records_unchanged) == (120, 0, 0)
    assert present(someone, stream) == remote.items
    assert [one["offset"] for one in records(someone, stream)] == list(range(1, 121))
    assert Record.objects.count() == 120
    assert len(receiver.requests) <= pages + killed
    shown = get(someone, stream)
    assert (shown["record_count"], shown["last_offset"]) == (120, 120)
    assert Progress.objects.get().run_id is None
