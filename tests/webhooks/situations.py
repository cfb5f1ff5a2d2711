"""Situations that tests of delivery bring about, and what they look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.events.dispatch import dispatch
from apps.webhooks.claims import Claimed, Turns, claim
from apps.webhooks.delivering import delivering
from apps.webhooks.enums import Lane
from apps.webhooks.leases import OpenLeases
from apps.webhooks.limits import CLAIM_BATCH
from apps.webhooks.models import Delivery, Due, Pace
from apps.webhooks.tasks import take_name


def only_delivery() -> Delivery:
    return Delivery.objects.get()


def make_due() -> None:
    """As if the time of every next try had come, and no endpoint's pace were in the way."""
    Pace.objects.update(closed_until=None)
    Due.objects.filter(ready=False, lease_id=None).update(due_at=Now())


def expire_leases() -> None:
    """As if 90 s had passed."""
    Due.objects.filter(lease_id__isnull=False).update(
        due_at=Now() - timedelta(seconds=1), lease_until=Now() - timedelta(seconds=1)
    )


def dispatch_slowly() -> None:
    """Dispatch so that deliveries wait to be claimed."""
    delivering.sender.close()
    dispatch()
    delivering.sender._closing = False


def start_worker(name: str) -> None:
    """As if this process had just started, as the Celery worker `name`."""
    delivering.leases = OpenLeases()
    take_name(sender=SimpleNamespace(hostname=name))


@contextmanager
def out_of_reach(table: str) -> Iterator[None]:
    """While the block runs, statements that need this table fail."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


def headers_of(request: Any) -> dict[str, str]:
    return dict(request.headers.items())


def take(n: int = CLAIM_BATCH, *, holder: str = "me", turns: Turns | None = None) -> list[Claimed]:
    """Claims up to n deliveries of each lane."""
    return claim(turns=turns or Turns(), room=[n] * len(Lane), lease_id=uuid7(), holder=holder)
