"""kill -9, at any moment: nothing lost, nothing doubled, at most one page fetched again each time."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
from tests.support import ApiClient, Receiver, wait_until
from tests.support.process import ROOT, database_url

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = 15

# Each line makes a worker, whose process id is answered.
_PROGRAM = """
import os, sys, time
import django
django.setup()
from apps.datafetch.services import reading
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        while True:
            if not reading.read_some():
                time.sleep(0.002)
    print(pid, flush=True)
    os.waitpid(pid, 0)
"""


class Workers:
    """Real processes, one at a time, each made to be killed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        assert self._out.readline() == "ready\n"

    def start(self) -> int:
        self._in.write("\n")
        self._in.flush()
        return int(self._out.readline())


@pytest.fixture
def workers() -> Iterator[Workers]:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "2"},
        cwd=ROOT,
    ) as process:
        yield Workers(process)
        process.kill()


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
        worker = workers.start()
        wait_until(partial(has_come_to, more), seconds=30)
        time.sleep(chance.uniform(0, 0.06))  # wherever it is by now
        os.kill(worker, signal.SIGKILL)
        killed += 1
        let_time_pass()
        Progress.objects.update(claims=0)  # or so many deaths without a page would end the run
    worker = workers.start()
    wait_until(has_ended, seconds=60)
    os.kill(worker, signal.SIGKILL)

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
