"""Reads of endpoints and deliveries, each within the rows that the caller may see."""

from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery, Value

from apps.common.ids import uuid7_floor
from apps.common.keyset import OneOf
from apps.events.catalogue import event_types
from apps.events.patterns import matches
from apps.webhooks.enums import UNDELIVERED, DeliveryStatus
from apps.webhooks.errors import DeliveryNotFound, EndpointNotFound, ReplayNotFound
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint, Replay

SHOWN_ATTEMPTS = 100


def endpoints(account_id: UUID) -> QuerySet[Endpoint]:
    """The endpoints of an account, without those deleted."""
    return Endpoint.objects.filter(account_id=account_id, deleted_at=None)


def endpoint(account_id: UUID, endpoint_id: UUID) -> Endpoint:
    """One endpoint of an account; raises EndpointNotFound."""
    found = endpoints(account_id).filter(pk=endpoint_id).first()
    if found is None:
        raise EndpointNotFound("There is no such endpoint.")
    return found


def deliveries(
    account_id: UUID,
    endpoint_id: UUID,
    *,
    status: str | None = None,
    event_type: str | None = None,
    replay_id: UUID | None = None,
    since: datetime | None = None,
) -> list[QuerySet[Delivery]]:
    """The deliveries to one endpoint, in parts that each have an index; raises EndpointNotFound.

    Ids tell when each was made.
    """
    own = endpoint(account_id, endpoint_id).id
    found = _deliveries()
    if since is not None:
        found = found.filter(pk__gte=uuid7_floor(since))
    if status is not None:
        found = found.filter(status=status)
    types = None
    if event_type not in (None, "*"):
        types = [kind.name for kind in event_types() if matches([str(event_type)], kind.name)]
    if types is not None and replay_id is None and status in (None, DeliveryStatus.DELIVERED):
        return [_by(found, endpoint_id=own, event_type=one) for one in types]
    if types is not None:
        found = found.filter(event_type__in=types)
    if status in UNDELIVERED:
        return [_undelivered(found, own, status, replay_id)]
    if status == DeliveryStatus.PENDING:
        return _pending(found if replay_id is None else found.filter(replay_id=replay_id), own)
    if replay_id is not None:
        return [_by(found.filter(endpoint_id=own), replay_id=replay_id)]
    return [_by(found, endpoint_id=own)]


def delivery(account_id: UUID, delivery_id: UUID) -> Delivery:
    """One delivery of an account, also one to an endpoint since deleted; raises DeliveryNotFound."""
    found = _deliveries().filter(pk=delivery_id, endpoint__account_id=account_id).first()
    if found is None:
        raise DeliveryNotFound("There is no such delivery.")
    return found


def attempts(found: Delivery) -> list[Attempt]:
    """The newest 100 attempts of a delivery, newest first."""
    return list(Attempt.objects.filter(delivery_id=found.id).order_by("-number")[:SHOWN_ATTEMPTS])


def next_attempt(found: Delivery) -> datetime | None:
    """When a delivery from these selectors is tried next; None while it is being sent, and at rest."""
    moment: datetime | None = found.next_attempt_at  # type: ignore[attr-defined]  # by _deliveries
    return moment


def replays(account_id: UUID, endpoint_id: UUID) -> QuerySet[Replay]:
    """The replays to one endpoint; raises EndpointNotFound."""
    return Replay.objects.filter(endpoint_id=endpoint(account_id, endpoint_id).id)


def replay(account_id: UUID, endpoint_id: UUID, replay_id: UUID) -> Replay:
    """One replay; raises ReplayNotFound."""
    found = Replay.objects.filter(
        pk=replay_id,
        endpoint_id=endpoint_id,
        endpoint__account_id=account_id,
        endpoint__deleted_at=None,
    ).first()
    if found is None:
        raise ReplayNotFound("There is no such replay.")
    return found


def replayed(replay_id: UUID) -> dict[str, int]:
    """How many of the deliveries that a replay was the last to send again are in each state."""
    rows = (
        Delivery.objects.filter(replay_id=replay_id)
        .order_by()
        .values_list("status")
        .annotate(count=Count("pk"))
    )
    return dict.fromkeys(DeliveryStatus.values, 0) | dict(rows)


def _pending(found: QuerySet[Delivery], endpoint_id: UUID) -> list[QuerySet[Delivery]]:
    """What is owed: with a lease or without, each has an index that begins with the endpoint."""
    return [
        _by(found.filter(due__lease_id__isnull=one), "due", endpoint_id=endpoint_id)
        for one in (True, False)
    ]


def _undelivered(
    found: QuerySet[Delivery], endpoint_id: UUID, status: str | None, replay_id: UUID | None
) -> QuerySet[Delivery]:
    if replay_id is not None:
        own = found.filter(endpoint_id=endpoint_id)
        return _by(own, "undelivered", replay_id=replay_id, status=status)
    return _by(found, "undelivered", endpoint_id=endpoint_id, status=status)


def _by(
    found: QuerySet[Delivery], relation: str = "", **index: UUID | str | None
) -> QuerySet[Delivery]:
    """Read by the index of these columns and the id, of the log or of a table related to it."""
    prefix = f"{relation}__" if relation else ""
    columns = {f"{prefix}{name}": value for name, value in index.items()}
    exactly = (OneOf(name, Value([value])) for name, value in columns.items())
    return found.filter(*exactly).order_by(*columns, f"-{prefix}pk")


def _deliveries() -> QuerySet[Delivery]:
    waiting = Due.objects.filter(pk=OuterRef("pk"), lease_id=None)
    return Delivery.objects.annotate(next_attempt_at=Subquery(waiting.values("due_at")))
