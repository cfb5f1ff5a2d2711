"""Celery's doors to data fetch."""

from typing import Any

from celery.signals import worker_init, worker_shutting_down

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.datafetch.limits import READERS
from apps.datafetch.services import due, trimming, turns
from apps.datafetch.services.runs import READ


@job(READ, at_once=READERS)
def read() -> bool:
    """Read due streams, each for some seconds in turn."""
    return reconcile(due.read_some, slice_seconds=20.0)


@job("datafetch.trim", at_once=1)
def trim() -> bool:
    """Forget what has been kept long enough."""
    return reconcile(trimming.trim)


@job("datafetch.remove", at_once=1)
def remove() -> bool:
    """Remove what deleted streams have fetched."""
    return reconcile(trimming.remove_deleted)


@worker_init.connect
def _open(**_: Any) -> None:
    turns.closing.clear()


@worker_shutting_down.connect
def _close(**_: Any) -> None:
    turns.closing.set()
