"""The base of every Celery task: wake-ups that may be lost, repeated or late."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from celery import current_task, shared_task
from django.db import close_old_connections
from django.db.models.functions import Now

from apps.common import bulk, jobruns, mail, wakeups
from apps.common.leases import SLICE_SECONDS, reconcile
from apps.common.models import Heartbeat, IdempotencyKey
from apps.common.partitions import maintain_partitions

TRIM_BATCH = 5000

log = structlog.get_logger(__name__)


# How a sweep runs each job.
_swept: dict[str, Callable[[], None]] = {}


def job(
    name: str, *, at_once: int | None = None, gets_on: Callable[[], bool] | None = None
) -> Callable[[Callable[[], bool]], Any]:
    """Register a reconciler's slice as the Celery task `name` of `settings.JOBS`.

    The function works for one slice and returns True when more may be due: then it wakes itself, so
    that stopping and deploying wait for one slice at most. `at_once` is how many of a process's threads
    may work on it, where one job must not take them all from the others of its queue; of one without such
    a limit sweeps take one. `gets_on` says that a thread of this process is at work on it and will look again before
    it lets go: then no other joins in.
    """
    slots = threading.BoundedSemaphore(at_once) if at_once else None
    swept_slots = None if at_once else threading.BoundedSemaphore(1)

    def register(work: Callable[[], bool]) -> Any:
        def run() -> None:
            if not jobruns.is_on(name) or (gets_on is not None and gets_on()):
                return
            with _slot(slots) as is_mine:
                if not is_mine:
                    return
                with jobruns.recorded(name):
                    more = _look(name, work)
            if more:
                wakeups.wake(name)

        def run_swept() -> None:
            with _slot(swept_slots) as is_mine:
                if is_mine:
                    run()

        run.__doc__ = work.__doc__
        run.__name__ = work.__name__
        run.__module__ = work.__module__
        _swept[name] = run_swept
        return shared_task(name=name)(run)

    return register


@shared_task(name="common.sweep")
def sweep(names: list[str]) -> None:
    """Run these jobs one after the other, as beat asks for now and then: what one raises stops no other.

    One that takes long keeps this thread; the next sweep has another, and passes by what has no slot left.
    """
    for name in names:
        try:
            _swept[name]()
        except Exception:
            log.exception("job_failed", job=name)
            close_old_connections()  # the next job gets one that works


@contextmanager
def _slot(slots: threading.BoundedSemaphore | None) -> Iterator[bool]:
    """Whether one was free, of those that are limited. One too many leaves: who holds the slots works until
    nothing is due."""
    is_mine = slots is None or slots.acquire(blocking=False)
    try:
        yield is_mine
    finally:
        if is_mine and slots is not None:
            slots.release()


def _look(name: str, work: Callable[[], bool]) -> bool:
    """Work until nothing is due and nobody has woken the job meanwhile, for a slice at the most; True
    when more may be due."""
    deadline = time.monotonic() + SLICE_SECONDS
    while True:
        wakeups.hold(name)
        more = work()
        woken = wakeups.let_go(name)
        if more or not woken or time.monotonic() >= deadline:
            return more or woken


@job("common.maintain")
def maintain() -> bool:
    """Keep growing tables bounded: partitions made ahead and dropped, old rows trimmed in batches."""
    maintain_partitions()
    Heartbeat.objects.filter(seen_at__lt=Now() - timedelta(days=1)).delete()
    old = IdempotencyKey.objects.filter(created_at__lt=Now() - timedelta(hours=25))
    mail.trim()
    bulk.trim()
    trimmed, _ = IdempotencyKey.objects.filter(pk__in=old.values("pk")[:TRIM_BATCH]).delete()
    return trimmed == TRIM_BATCH


@job(mail.JOB, at_once=1)
def send_mail() -> bool:
    """Send the e-mail that is due."""
    return reconcile(mail.send_some)


@job(bulk.JOB, at_once=1)
def do_bulk_actions() -> bool:
    """Go on with what is to be done to many objects."""
    return reconcile(bulk.do_next)


def _heartbeat(queue: str) -> Callable[[], bool]:
    def beat() -> bool:
        """Prove that beat, the broker, a worker of this queue and the database work together."""
        worker = current_task.request.hostname or queue
        Heartbeat.objects.update_or_create(
            worker=worker, defaults={"queue": queue, "seen_at": Now()}
        )
        return False

    return beat


for _queue in ("fast", "slow"):
    job(f"common.heartbeat.{_queue}")(_heartbeat(_queue))
