"""Jobs are written down for people, can be switched off, and are never stopped by that."""

from collections.abc import Iterator

import pytest
from celery import current_app
from pytest_django.fixtures import Settings

from apps.common import jobruns
from apps.common.models import JobRun
from apps.common.tasks import job
from config.settings.jobs import Job

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "tests.count"


class Counting:
    """A job that counts its runs, and fails while `error` is set."""

    def __init__(self) -> None:
        self.runs = 0
        self.error: Exception | None = None
        self.task = job(NAME)(self._work)

    def _work(self) -> bool:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return False

    def row(self) -> JobRun:
        return JobRun.objects.get(name=NAME)


@pytest.fixture
def counting(settings: Settings) -> Iterator[Counting]:
    settings.JOBS = {**settings.JOBS, NAME: Job("slow", 1.0)}
    yield Counting()
    current_app.tasks.unregister(NAME)


def another_process() -> None:
    jobruns._known.clear()


def test_a_run_is_written_down(counting: Counting) -> None:
    counting.task()

    row = counting.row()
    assert row.started_at is not None
    assert row.milliseconds is not None
    assert row.error == ""


def test_runs_that_follow_at_once_are_not(counting: Counting) -> None:
    counting.task()
    first = counting.row().started_at

    counting.task()

    assert counting.runs == 2
    assert counting.row().started_at == first


def test_a_failure_is_written_down_at_once_and_so_is_its_end(counting: Counting) -> None:
    counting.task()
    counting.error = ValueError("no\0 luck")
    with pytest.raises(ValueError, match="luck"):
        counting.task()
    assert "luck" in counting.row().error

    counting.error = None
    counting.task()

    assert counting.row().error == ""


def test_a_job_that_is_off_does_not_run_until_it_is_on(counting: Counting) -> None:
    counting.task()
    chosen = JobRun.objects.filter(name=NAME)

    assert jobruns.switch(chosen, is_on=False) == [NAME]
    another_process()
    counting.task()
    assert counting.runs == 1
    assert jobruns.run_now(chosen) == []

    assert jobruns.switch(chosen, is_on=True) == [NAME]
    another_process()
    counting.task()
    assert counting.runs == 2
    assert jobruns.switch(chosen, is_on=True) == []


def test_there_is_a_row_for_each_job_of_the_schedule_alone(settings: Settings) -> None:
    JobRun.objects.create(name="left.the.schedule")
    JobRun.objects.create(name="events.dispatch", is_on=False)

    jobruns.register()

    assert set(JobRun.objects.values_list("name", flat=True)) == set(settings.JOBS)
    assert not JobRun.objects.get(name="events.dispatch").is_on
