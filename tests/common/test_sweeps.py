"""A sweep runs many jobs, and none of them keeps another from being run (docs/adr/0035)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from celery import current_app
from pytest_django.fixtures import Settings

from apps.common.models import JobRun
from apps.common.tasks import job, sweep
from config.settings.jobs import Job
from tests.support.concurrency import background

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, SECOND = "tests.first", "tests.second"
Work = Callable[[], bool]


@pytest.fixture
def jobs(settings: Settings) -> Iterator[Callable[[Work, int | None], list[int]]]:
    """Makes jobs of FIRST, which does as it is told, and SECOND, which counts."""
    settings.JOBS = {**settings.JOBS, **dict.fromkeys((FIRST, SECOND), Job("slow", 1.0))}
    counted: list[int] = []

    def count() -> bool:
        counted.append(1)
        return False

    def make(first: Work, at_once: int | None = None) -> list[int]:
        job(FIRST, at_once=at_once)(first)
        job(SECOND)(count)
        return counted

    yield make
    for name in (FIRST, SECOND):
        current_app.tasks.unregister(name)


def test_what_a_job_raises_stops_no_other(
    jobs: Callable[[Work, int | None], list[int]],
) -> None:
    def fail() -> bool:
        raise ValueError("no luck")

    counted = jobs(fail, None)

    sweep([FIRST, "tests.unknown", SECOND])

    assert len(counted) == 1
    assert "no luck" in JobRun.objects.get(name=FIRST).error


@pytest.mark.parametrize(("at_once", "together"), [(None, 1), (1, 1), (2, 2)])
def test_a_sweep_passes_by_a_job_that_has_no_slot_left(
    jobs: Callable[[Work, int | None], list[int]], at_once: int | None, together: int
) -> None:
    may_end = threading.Event()
    begun = threading.Semaphore(0)

    def take_long() -> bool:
        begun.release()
        return not may_end.wait(60)

    counted = jobs(take_long, at_once)

    with ExitStack() as sweeps:
        for _ in range(together):
            sweeps.enter_context(background(lambda: sweep([FIRST, SECOND])))
            assert begun.acquire(timeout=60)
        sweep([FIRST, SECOND])  # or it would wait for them for ever
        assert len(counted) == 1
        may_end.set()

    assert len(counted) > 1
    assert not begun.acquire(blocking=False)


def test_a_job_whose_thread_gets_on_is_left_to_it(
    jobs: Callable[[Work, int | None], list[int]],
) -> None:
    done: list[int] = []
    alone = [False, True]

    def work() -> bool:
        done.append(1)
        return False

    jobs(work, None)  # the fixture forgets it again
    current_app.tasks.unregister(FIRST)
    run = job(FIRST, gets_on=lambda: not alone.pop())(work)

    run()
    sweep([FIRST])

    assert len(done) == 1
