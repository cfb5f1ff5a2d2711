"""Choosing whom the next call is for: up to 100 rows of one account that are owed the same kind of call."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now

from apps.common.leases import claim
from apps.crm.enums import Call
from apps.crm.hubspot.client import MAX_BATCH
from apps.crm.models import Owed
from apps.crm.selectors import Line
from apps.crm.services import budget
from apps.crm.services.budget import Permit

# So long what is owed is collected, unless it fills a call before: more of it goes with one then.
WINDOW_SECONDS = 2.0
# Longer than a call may take.
LEASE_SECONDS = 45.0
# Who has waited for so long goes first, in however small a batch.
LATE_SECONDS = 60.0
# Of an account so many of the longest waiting are looked at to fill a batch.
LOOKED_AT = 500

# What HubSpot has just confirmed is collected anew: one that changes all the time goes every two seconds, not
# with each batch that fills.
_RESTED = (
    Q(synced_at=None)
    | Q(synced_at__lte=Now() - timedelta(seconds=WINDOW_SECONDS))
    | Q(due_at__lt=F("synced_at"))  # somebody asked for it to be sent again
)

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=Owed)


@dataclass(frozen=True, slots=True)
class Batch(Generic[R]):
    """What a worker has claimed for one call. `is_full`: there was enough for a whole one."""

    call: Call
    permit: Permit
    rows: list[R]
    is_full: bool


def serve_one(lines: list[Line], step: Callable[[Line], bool], job: str) -> bool:
    """Make a step for one of these accounts, the first of them that has one to make; False without any.

    Which one is chance, so that an account with a hundred thousand rows to send and one with a single one
    are served alike. What goes wrong with one account is no other's; its batch is tried again when the
    lease is over.
    """
    random.shuffle(lines)
    for line in lines:
        try:
            if step(line):
                return True
        except Exception:
            log.exception("sync_failed", job=job, account_id=str(line.account_id))
    return False


@transaction.atomic
def take_batch(job: str, line: Line, rows: "QuerySet[R]", order: Sequence[Call]) -> Batch[R] | None:
    """Choose among `rows`, annotated with the `call` each needs, and claim; None when nothing is to be
    sent now. Of full batches, else of all, the call that comes first in `order`.

    One worker at a time for each account: two that claim the same rows at once would each get some of
    them, and make two calls of one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [f"{job}:{line.account_id}"])
    chosen = _choose(rows.filter(account_id=line.account_id), order)
    permit = budget.take(line.portal_key) if chosen else None
    if chosen is None or permit is None:
        return None
    call, waiting = chosen
    claimed = claim(
        rows.model._default_manager.filter(pk__in=waiting[: permit.most]),
        limit=permit.most,
        lease_seconds=LEASE_SECONDS,
    )
    return Batch(call, permit, claimed, len(waiting) == MAX_BATCH)


def _choose(rows: "QuerySet[R]", order: Sequence[Call]) -> tuple[Call, list[UUID]] | None:
    """The next call, and for whom."""
    due = (
        rows.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), _RESTED, due_at__lte=Now())
        .order_by("due_at", "pk")  # of many with one due time always the same are looked at first
        .annotate(waited=ExpressionWrapper(Now() - F("due_at"), output_field=DurationField()))
        .values_list("pk", "call", "batch_limit", "waited")[:LOOKED_AT]
    )
    longest = max((waited.total_seconds() for *_, waited in due), default=0.0)
    if longest < WINDOW_SECONDS and len(due) < MAX_BATCH:
        return None
    groups: dict[tuple[str, int], list[UUID]] = {}
    for pk, call, limit, _ in due:
        groups.setdefault((call, limit or MAX_BATCH), []).append(pk)

    def rank(group: tuple[tuple[str, int], list[UUID]]) -> tuple[bool, int]:
        (call, limit), members = group
        return len(members) < limit, order.index(Call(call))

    oldest = next(iter(groups.items()))
    (call, limit), waiting = oldest if longest > LATE_SECONDS else min(groups.items(), key=rank)
    return Call(call), waiting[:limit]
