"""Which stream is due, and its turn."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.db.models import QuerySet

from apps.common.leases import claim
from apps.common.wakeups import wake
from apps.datafetch import limits
from apps.datafetch.enums import Trigger
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services import runs
from apps.datafetch.services.reading import Reading
from apps.datafetch.services.remapping import Remapping
from apps.datafetch.services.turns import closing

log = structlog.get_logger(__name__)

_at_work: Counter[UUID] = Counter()
_at_work_lock = threading.Lock()


def read_some() -> bool:
    """Give one due stream its turn; False when none is due, or the worker is shutting down.

    One account never has all of a process's readers, so that others' streams are read beside its own.
    """
    if closing.is_set():
        return False
    claimed = claim(_due(), limit=1, lease_seconds=limits.LEASE_SECONDS)
    for progress in claimed:
        wake(runs.READ)  # more may be due, and another thread free
        with _counted(progress.account_id):
            _take_turn(progress)
    return bool(claimed)


def _due() -> "QuerySet[Progress]":
    with _at_work_lock:
        full = [account for account, readers in _at_work.items() if readers >= limits.READERS - 1]
    return Progress.objects.exclude(account_id__in=full)


@contextmanager
def _counted(account_id: UUID) -> Iterator[None]:
    with _at_work_lock:
        _at_work[account_id] += 1
    try:
        yield
    finally:
        with _at_work_lock:
            _at_work[account_id] -= 1


def _take_turn(progress: Progress) -> None:
    stream = Stream.objects.get(pk=progress.pk)
    try:
        if progress.run_id is None:
            begun = runs.begin_scheduled(stream, progress)
            progress.run_id = begun.id if begun else None
        if progress.run_id is not None:
            run = Run.objects.get(pk=progress.run_id)
            kind = Remapping if run.trigger == Trigger.REMAP else Reading
            kind(stream, progress, run).take()
    except runs.LeaseLost:
        log.warning("stream_lease_lost", stream=str(stream.id))
