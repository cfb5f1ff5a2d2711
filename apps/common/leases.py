"""The reconciler loop, written once: claim due rows, work outside any transaction, record by lease.

A row is owed work while `due_at` is not null. A claim is one short statement that skips what others
hold; it gives the row a fresh `lease_id` until `lease_until`. Whoever worked records the outcome with
`settle`, a compare-and-set on the lease id: a worker that lost its lease changes nothing. The next try
is a new `due_at`, never a Celery countdown. All times are PostgreSQL's.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.db import models
from django.db.models.functions import Now

from apps.common.ids import uuid7

SLICE_SECONDS = 30.0

M = TypeVar("M", bound="Leased")


class Leased(models.Model):
    """Columns of a row that a reconciler works on."""

    due_at = models.DateTimeField(null=True, help_text="When work on it is due; null when none is.")
    lease_id = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    claims = models.PositiveIntegerField(
        default=0, editable=False, help_text="Claims since the last recorded outcome."
    )

    class Meta:
        abstract = True


def claim(due: "models.QuerySet[M]", *, limit: int, lease_seconds: float) -> list[M]:
    """Lease up to `limit` of the rows of `due` whose time has come, longest waiting first.

    `due` may narrow the choice further (a lane, an account); rows under a live lease are left out.
    One statement, committed at once outside a transaction.
    """
    model = due.model
    waiting, parameters = (
        due.filter(due_at__lte=Now())
        .filter(models.Q(lease_until=None) | models.Q(lease_until__lt=Now()))
        .order_by("due_at")
        .values("pk")[:limit]
        .query.sql_with_params()
    )
    # The lock is part of the materialised list: an inlined one could be evaluated twice.
    statement = f"""
        WITH chosen(id) AS MATERIALIZED ({waiting} FOR UPDATE SKIP LOCKED)
        UPDATE "{model._meta.db_table}" AS row
           SET lease_id = %s, lease_until = now() + make_interval(secs => %s), claims = claims + 1
          FROM chosen WHERE row.id = chosen.id
        RETURNING row.*"""  # noqa: S608 - table name and filter come from the model, values are bound
    return list(model._default_manager.raw(statement, [*parameters, uuid7(), lease_seconds]))


def settle(model: type[M], pk: UUID, lease_id: UUID, **outcome: Any) -> bool:
    """Record `outcome` and end the lease; False (and nothing written) when the lease was lost."""
    changed = model._default_manager.filter(pk=pk, lease_id=lease_id).update(
        lease_id=None, lease_until=None, claims=0, **outcome
    )
    return changed == 1


def reconcile(step: Callable[[], bool], *, slice_seconds: float = SLICE_SECONDS) -> bool:
    """Take steps (claim some, work, record) until one finds nothing due or the slice has passed.

    A step says whether there may be more; so does this.
    """
    deadline = time.monotonic() + slice_seconds
    while step():
        if time.monotonic() >= deadline:
            return True
    return False
