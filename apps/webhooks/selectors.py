"""Reads of endpoints and deliveries, each within the rows that the caller may see."""

from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery

from apps.common.ids import uuid7_floor
from apps.events.catalogue import event_types
from apps.events.patterns import matches
from apps.webhooks.enums import DeliveryStatus
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
    found = _deliveries().filter(endpoint_id=endpoint(account_id, endpoint_id).id)
    if since is not None:
        found = found.filter(pk__gte=uuid7_floor(since))
    if status is not None:
        found = found.filter(status=status)
    types = None
    if event_type not in (None, "*"):
        types = [kind.name for kind in event_types() if matches([str(event_type)], kind.name)]
    if replay_id is not None:
        found = found.filter(replay_id=replay_id)
        if types is not None:
            found = found.filter(event_type__in=types)
        return [found.filter(status=one) for one in DeliveryStatus.values]
    if types is not None:
        return [found.filter(event_type=one) for one in types]
    return [found]


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


def _deliveries() -> QuerySet[Delivery]:
    waiting = Due.objects.filter(pk=OuterRef("pk"), lease_id=None)
    return Delivery.objects.annotate(next_attempt_at=Subquery(waiting.values("due_at")))
