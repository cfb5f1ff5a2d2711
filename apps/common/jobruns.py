"""What each job did last, and whether it may: kept for the people who look after it.

A job runs up to hundreds of times a second, so a process writes a run down at most every 30 s; one that
failed, the first after it, and the job's first in this process are always written.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.common.models import JobRun
from apps.common.wakeups import wake

RECORD_SECONDS = 30.0
SWITCH_SECONDS = 5.0

log = structlog.get_logger(__name__)


class _Known:
    """What this process remembers of a job."""

    def __init__(self) -> None:
        self.is_on = True
        self.looked_at = float("-inf")
        self.recorded_at = float("-inf")
        self.failed = False


_known: dict[str, _Known] = {}
_lock = threading.Lock()


def is_on(name: str) -> bool:
    """Whether the job may run; a switch is noticed by every process within 5 s."""
    known = _of(name)
    now = time.monotonic()
    if now - known.looked_at >= SWITCH_SECONDS:
        known.looked_at = now
        found = JobRun.objects.filter(name=name).values_list("is_on", flat=True).first()
        known.is_on = found is not False
    return known.is_on


@contextmanager
def recorded(name: str) -> Iterator[None]:
    """Write down when the block ran, for how long, and how it ended."""
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        _record(name, time.monotonic() - started, error=repr(error))
        raise
    _record(name, time.monotonic() - started, error="")


def register() -> None:
    """A row for each job of the schedule, and none for what has left it."""
    JobRun.objects.exclude(name__in=settings.JOBS).delete()
    JobRun.objects.bulk_create([JobRun(name=name) for name in settings.JOBS], ignore_conflicts=True)


def switch(jobs: "QuerySet[JobRun]", *, is_on: bool) -> list[str]:
    """Let jobs run, or not, from now on; returns the names of those that this changed."""
    changed = jobs.exclude(is_on=is_on)
    names = list(changed.values_list("name", flat=True))
    changed.update(is_on=is_on)
    return names


def run_now(jobs: "QuerySet[JobRun]") -> list[str]:
    """Wake jobs that are on; returns their names."""
    names = list(jobs.filter(is_on=True).values_list("name", flat=True))
    for name in names:
        wake(name)
    return names


def _of(name: str) -> _Known:
    with _lock:
        return _known.setdefault(name, _Known())


def _record(name: str, seconds: float, *, error: str) -> None:
    known = _of(name)
    now = time.monotonic()
    if not error and not known.failed and now - known.recorded_at < RECORD_SECONDS:
        return
    known.recorded_at, known.failed = now, bool(error)
    run = JobRun(
        name=name,
        started_at=Now() - timedelta(seconds=seconds),
        milliseconds=round(seconds * 1000),
        error=error.replace("\0", "")[:500],
    )
    columns = ["started_at", "milliseconds", "error"]
    try:
        JobRun.objects.bulk_create(
            [run], update_conflicts=True, unique_fields=["name"], update_fields=columns
        )
    except (DatabaseError, InterfaceError) as trouble:
        log.warning("job_run_unrecorded", job=name, error=repr(trouble))
