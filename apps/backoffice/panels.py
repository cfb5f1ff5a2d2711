"""Panels across apps: the events of an object and the deliveries of these, by its id; and who actors are."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from uuid import UUID

from django.http import HttpRequest

from apps.accounts.models import ApiKey, User
from apps.common.actor import ActorKind
from apps.common.admin.panels import (
    LIMIT,
    Panel,
    Person,
    across,
    may_view,
    name_actors,
    people,
    request_link,
    shown_actor,
)
from apps.common.admin.shown import age, label, link, list_of, page_of
from apps.events.models import Event
from apps.webhooks.models import Delivery


def events_of(request: HttpRequest, subject: UUID) -> Panel | None:
    """The newest events about the object, of the last 30 days."""
    if not may_view(request, Event):
        return None
    events = list(
        Event.objects.filter(subject=subject).defer("payload").order_by("-position")[:LIMIT]
    )
    if not events:
        return None
    known = name_actors(event.actor for event in events)
    rows = [
        (
            age(event.occurred_at),
            link(page_of(event), event.type),
            "not yet" if event.position is None else f"{event.position:,}",
            shown_actor(event.actor, known),
            request_link(event.request_id, event.occurred_at),
        )
        for event in events
    ]
    headers = ("when", "event", "position", "who", "request")
    return Panel("Events", headers, rows, list_of(Event, f"q={subject}"))


def deliveries_of(request: HttpRequest, subject: UUID) -> Panel | None:
    """The newest deliveries of these events; or those of the event that it is."""
    if not may_view(request, Delivery):
        return None
    newest = Delivery.objects.select_related("endpoint").defer("endpoint__secret").order_by("-id")
    deliveries = list(newest.filter(subject=subject)[:LIMIT])
    deliveries = deliveries or list(newest.filter(event_id=subject)[:LIMIT])
    rows = [
        (
            age(delivery.created_at),
            link(page_of(delivery), delivery.event_type),
            link(page_of(delivery.endpoint), delivery.endpoint),
            label(delivery.status, delivery.reason),
            delivery.attempt_count,
            delivery.last_status_code or "-",
        )
        for delivery in deliveries
    ]
    headers = ("when", "event", "endpoint", "state", "attempts", "answer")
    more = list_of(Delivery, f"q={subject}")
    return Panel("Webhook deliveries", headers, rows, more, "None in 30 days.")


def keys(ids: Iterable[str]) -> Mapping[str, Person]:
    """API keys by the names that their owners gave them."""
    found = ApiKey.objects.filter(pk__in=_uuids(ids)).only("prefix", "name")
    return {str(key.pk): Person(f"{key.name} ({key.prefix})", page_of(key)) for key in found}


def users(ids: Iterable[str]) -> Mapping[str, Person]:
    """People of the back office."""
    found = User.objects.filter(pk__in=_uuids(ids))
    return {str(user.pk): Person(user.get_username(), page_of(user)) for user in found}


def _uuids(ids: Iterable[str]) -> list[UUID]:
    """Without what is none: history may have been written by another release."""
    found = []
    for one in ids:
        with suppress(ValueError):
            found.append(UUID(one))
    return found


def install() -> None:
    """Show them on the pages of all apps."""
    across[:] = [events_of, deliveries_of]
    people.update({ActorKind.API_KEY: keys, ActorKind.USER: users})
