"""Taking personal data out of events that happened: they stay where they are, blanked.

An event that was not delivered yet is delivered blanked: its receiver learns that it happened, and no more.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from apps.events.models import Event

NOTHING = UUID(int=0)

Blank = Callable[[dict[str, Any]], dict[str, Any]]


@transaction.atomic
def erase_payloads(
    *, subject: UUID, types: Sequence[str], blank: Blank, after: UUID = NOTHING, limit: int = 100
) -> UUID | None:
    """Replace `data` of the next events of these types about `subject` by `blank(data)`.

    Returns the last one's id, to go on after; None when no more are left. Done twice it does the same.
    """
    rows = Event.objects.select_for_update(no_key=True).filter(subject=subject, type__in=types)
    events = list(rows.filter(pk__gt=after).order_by("pk")[:limit])
    for event in events:
        body = orjson.loads(bytes(event.payload))
        event.payload = orjson.dumps({**body, "data": blank(body["data"])})
    Event.objects.bulk_update(events, ["payload"])
    return events[-1].pk if len(events) == limit else None
