"""How events look in the feed."""

from typing import Any

import orjson

from apps.common.schemas import array, component, free_object, integer, obj, string, timestamp, uuid
from apps.events.catalogue import EventType
from apps.events.models import Event

EVENT = component(
    "Event",
    obj(
        {
            "position": integer(
                "Gap-free over the installation; remember the last one you handled."
            ),
            "id": uuid("Also the webhook-id of its deliveries."),
            "type": string(),
            "version": integer("Of the type's schema."),
            "timestamp": timestamp("When it happened."),
            "account_id": uuid("Whose event it is."),
            "subject": uuid("The object it is about."),
            "data": free_object("`object`, and `changes` for updates; see `GET /event-types`."),
        }
    ),
    example={
        "position": 42,
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9d01",
        "type": "authorization.granted",
        "version": 1,
        "timestamp": "2026-11-21T09:30:00.000000Z",
        "account_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a22",
        "subject": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11",
        "data": {
            "object": {
                "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11",
                "seller": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a22",
                "buyer": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a44",
                "created_at": "2026-11-21T09:30:00.000000Z",
            }
        },
    },
)

EVENT_TYPE = component(
    "EventType",
    obj(
        {
            "type": string(),
            "version": integer(),
            "summary": string(),
            "schema": free_object("JSON Schema (2020-12) of the whole body."),
        }
    ),
    example={
        "type": "authorization.granted",
        "version": 1,
        "summary": "A buyer sees a seller's deals from now on.",
        "schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
    },
)

EVENT_TYPES = obj({"results": array(EVENT_TYPE)})


def event_object(event: Event) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(bytes(event.payload))
    return {"position": event.position, "subject": str(event.subject), **body}


def event_type_object(kind: EventType) -> dict[str, Any]:
    return {
        "type": kind.name,
        "version": kind.version,
        "summary": kind.summary,
        "schema": kind.schema(),
    }
