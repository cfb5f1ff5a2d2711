"""Wake-ups cost next to nothing, whatever state Redis is in, and never fail a request."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.conf import settings
from django.db import transaction

from apps.common import besteffort
from apps.common.besteffort import failures
from apps.common.wakeups import clear, wake, wake_on_commit
from tests.support import wait_until
from tests.support.isolation import redis_at

JOB = "events.dispatch"
SOON = 0.3  # seconds: three time-outs of 100 ms, on a machine that is busy with other tests
AT_ONCE = 0.1


def messages() -> int:
    """How many wait in the queue of fast jobs."""
    return int(besteffort.client().llen("fast"))


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@contextmanager
def frozen() -> Iterator[str]:
    """A Redis that was stopped by SIGSTOP: the kernel accepts connections, nobody answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


@contextmanager
def refused() -> Iterator[str]:
    """A Redis that is gone: nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, but not listened on
        yield f"redis://127.0.0.1:{bound.getsockname()[1]}/0"


def test_many_wakes_are_one_message() -> None:
    for _ in range(5):
        wake(JOB)

    assert messages() == 1


def test_after_the_worker_has_looked_a_wake_is_published_again() -> None:
    wake(JOB)

    clear(JOB)
    wake(JOB)

    assert messages() == 2


def test_a_flag_that_no_worker_cleared_ends_by_itself() -> None:
    wake(JOB)

    left = besteffort.client().pttl(f"wake:{JOB}")

    assert 0 < left <= 1000


def test_many_threads_wake_once() -> None:
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(wake, [JOB] * 10))

    assert messages() == 1


@pytest.mark.django_db(transaction=True)
def test_a_wake_waits_for_the_commit() -> None:
    with transaction.atomic():
        wake_on_commit(JOB)
        assert messages() == 0

    assert messages() == 1


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_wakes_nobody() -> None:
    with transaction.atomic():
        wake_on_commit(JOB)
        transaction.set_rollback(True)

    assert messages() == 0


def test_a_job_that_nobody_knows_is_a_mistake_told_at_once() -> None:
    with pytest.raises(KeyError):
        wake("events.dispach")


@pytest.mark.parametrize("state", [frozen, refused])
def test_without_redis_a_wake_costs_a_time_out_once_a_second(
    state: Callable[[], AbstractContextManager[str]],
) -> None:
    with state() as url, redis_at(url):
        before = failures.labels("wakeup")._value.get()

        assert seconds(lambda: wake(JOB)) < SOON
        assert seconds(lambda: list(map(wake, [JOB] * 1000))) < AT_ONCE
        assert failures.labels("wakeup")._value.get() == before + 1

        wait_until(lambda: not besteffort.breaker.is_open, seconds=2)
        assert seconds(lambda: wake(JOB)) < SOON
        assert failures.labels("wakeup")._value.get() == before + 2


def test_a_broker_that_freezes_alone_costs_no_more() -> None:
    with frozen() as url:
        broker, settings.CELERY_BROKER_URL = settings.CELERY_BROKER_URL, url
        try:
            assert seconds(lambda: wake(JOB)) < SOON * 2
        finally:
            settings.CELERY_BROKER_URL = broker


def test_when_redis_is_back_wakes_get_through() -> None:
    with refused() as url, redis_at(url):
        wake(JOB)

    wake(JOB)

    assert messages() == 1
