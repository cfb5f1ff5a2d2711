"""Wake-ups cost next to nothing, whatever state Redis is in, and never fail a request."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from celery import current_app
from django.db import transaction
from pytest_django.fixtures import Settings

from apps.common import besteffort, wakeups
from apps.common.tasks import job
from apps.common.wakeups import hold, let_go, wake, wake_on_commit
from config.settings.jobs import Job
from tests.support.outages import (
    PRODUCT_OPEN_SECONDS,
    a_second_passes,
    connections_to,
    frozen,
    redis_at,
    refused,
    tries,
)

JOB = "events.dispatch"


def messages() -> int:
    """How many wait in the queue of fast jobs."""
    return int(besteffort.client().llen("fast"))


def test_many_wakes_are_one_message() -> None:
    for _ in range(5):
        wake(JOB)

    assert messages() == 1


def test_after_the_worker_has_looked_a_wake_is_published_again() -> None:
    wake(JOB)

    hold(JOB)
    assert not let_go(JOB)
    wake(JOB)

    assert messages() == 2


def test_who_wakes_a_worker_that_looks_leaves_a_note_instead_of_a_message() -> None:
    hold(JOB)

    wake(JOB)
    wake(JOB)

    assert messages() == 0
    assert let_go(JOB)
    assert not let_go(JOB)


@pytest.mark.django_db
@pytest.mark.parametrize("is_more", [True, False])
def test_a_job_that_has_more_to_do_wakes_itself(settings: Settings, is_more: bool) -> None:
    def work() -> bool:
        return is_more

    with looking(settings, work) as look:
        look()

    assert messages() == (1 if is_more else 0)


@pytest.mark.django_db
def test_a_job_that_is_woken_while_it_looks_looks_again(settings: Settings) -> None:
    looks: list[int] = []

    def work() -> bool:
        looks.append(1)
        if len(looks) < 3:
            wake("tests.look")
        return False

    with looking(settings, work) as look:
        look()

    assert len(looks) == 3
    assert messages() == 0
    assert not besteffort.client().exists("wake:tests.look")


@pytest.mark.django_db(transaction=True)
def test_a_job_leaves_threads_to_the_others(settings: Settings) -> None:
    settings.JOBS = {**settings.JOBS, "tests.take": Job("slow", 1.0)}
    started, may_end = threading.Event(), threading.Event()
    looks: list[int] = []

    @job("tests.take", at_once=1)
    def take() -> bool:
        looks.append(1)
        started.set()
        return not may_end.wait(60)

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(take)
        started.wait(60)
        take()  # leaves at once, or it would wait for the first for ever
        may_end.set()
        first.result()
    take()
    current_app.tasks.unregister("tests.take")

    assert len(looks) == 2


@contextmanager
def looking(settings: Settings, work: Callable[[], bool]) -> Iterator[Callable[[], object]]:
    """`work` as a job of its own."""
    settings.JOBS = {**settings.JOBS, "tests.look": Job("fast", 1.0)}
    try:
        yield job("tests.look")(work)
    finally:
        current_app.tasks.unregister("tests.look")


def test_a_flag_that_no_worker_took_ends_by_itself() -> None:
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
        assert tries(lambda: wake(JOB)) == 1
        assert tries(lambda: list(map(wake, [JOB] * 1000))) == 0

        a_second_passes()
        assert tries(lambda: wake(JOB)) == 1


def test_a_time_out_is_a_tenth_of_a_second() -> None:
    with frozen() as url, redis_at(url):
        of_redis = besteffort.client().connection_pool.connection_kwargs
        broker: Any = wakeups._producer().connection
        of_broker = broker.transport_options

        for options in (of_redis, of_broker):
            assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.1
        assert of_redis["retry"].get_retries() == 0
        assert PRODUCT_OPEN_SECONDS == 1.0


def test_a_broker_that_freezes_alone_costs_no_more(settings: Settings) -> None:
    with frozen() as url, redis_at(settings.REDIS_URL, broker=url):
        assert tries(lambda: wake(JOB)) == 1
        assert tries(lambda: list(map(wake, [JOB] * 1000))) == 0
        assert connections_to(url) == 1


def test_when_redis_is_back_wakes_get_through() -> None:
    with refused() as url, redis_at(url):
        wake(JOB)

    wake(JOB)

    assert messages() == 1
