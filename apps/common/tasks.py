"""The base of every Celery task: wake-ups that may be lost, repeated or late."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery import current_task, shared_task
from django.db.models.functions import Now

from apps.common import bulk, jobruns, mail, wakeups
from apps.common.leases import SLICE_SECONDS, reconcile
from apps.common.models import Heartbeat, IdempotencyKey
from apps.common.partitions import maintain_partitions

TRIM_BATCH = 5000


def job(name: str, *, at_once: int | None = None) -> Callable[[Callable[[], bool]], Any]:
    """Register a reconciler's slice as the Celery task `name` of `settings.JOBS`.

    The function works for one slice and returns True when more may be due: then it wakes itself, so
    that stopping and deploying wait for one slice at most. `at_once` is how many of a process's threads
    may work on it, where one job must not take them all from the others of its queue.
    """
    slots = threading.BoundedSemaphore(at_once) if at_once else None

    def register(work: Callable[[], bool]) -> Any:
        def run() -> None:
            if not jobruns.is_on(name):
                return
            # One too many leaves: who holds the slots works until nothing is due.
            if slots is not None and not slots.acquire(blocking=False):
                return
            try:
                with jobruns.recorded(name):
                    more = _look(name, work)
            finally:
                if slots is not None:
                    slots.release()
            if more:
                wakeups.wake(name)

        run.__doc__ = work.__doc__
        run.__name__ = work.__name__
        run.__module__ = work.__module__
        return shared_task(name=name)(run)

    return register


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
