"""What webhooks say about themselves: endpoints as objects, and their events."""

from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import (
    array,
    boolean,
    component,
    enum,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.events.catalogue import define
from apps.webhooks.enums import DisabledReason, EndpointStatus, OnFailure
from apps.webhooks.models import Endpoint

ENDPOINT_PROPERTIES = {
    "id": uuid(),
    "url": string("Where events are posted.", format="uri"),
    "event_types": array(string("A type, a family like `deal.*`, or `*`.")),
    "description": string(),
    "ordered": boolean("The events of one subject are sent one after the other."),
    "on_failure": enum(
        OnFailure.values,
        "When `ordered` and a delivery fails: `block` holds its subject back until the delivery is made or "
        "its retries have ended, `park` sets it aside after three retries.",
    ),
    "rate_limit": nullable(integer("Requests a second at most.")),
    "status": enum(EndpointStatus.values),
    "disabled_reason": nullable(
        enum(
            DisabledReason.values,
            "`gone`: it answered 410. `failures`: for 5 days nothing was delivered. `operator`: somebody disabled it in the back office.",
        )
    ),
    "version": integer(),
    "created_at": timestamp(),
    "updated_at": timestamp(),
}

ENDPOINT_EXAMPLE: dict[str, Any] = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9c01",
    "url": "http://127.0.0.1:9000/hooks",
    "event_types": ["order.*", "deal.*"],
    "description": "To try it out",
    "ordered": False,
    "on_failure": "block",
    "rate_limit": None,
    "status": "enabled",
    "disabled_reason": None,
    "version": 1,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:00.000000Z",
}

ENDPOINT = component("WebhookEndpoint", obj(ENDPOINT_PROPERTIES), example=ENDPOINT_EXAMPLE)

# Of all events whose subject is an endpoint, none is fanned out to that endpoint.
FAMILY = "webhook_endpoint."

FAILING = define(
    FAMILY + "failing",
    "Three requests to an endpoint have failed, one after the other; events for it are kept and sent "
    "again. Never sent to the endpoint itself.",
    ENDPOINT,
)
RECOVERED = define(
    FAMILY + "recovered",
    "An endpoint that was failing or disabled is enabled: it answered again, or somebody enabled it. "
    "Never sent to the endpoint itself.",
    ENDPOINT,
)
DISABLED = define(
    FAMILY + "disabled",
    "An endpoint was disabled; its deliveries are parked. Never sent to the endpoint itself.",
    ENDPOINT,
)
TEST = define(
    FAMILY + "test",
    "A test asked for by `POST /webhook-endpoints/{id}/test`; sent to that endpoint alone.",
    ENDPOINT,
)


def endpoint_object(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as its account sees it: everything but the secret."""
    return {
        "id": str(endpoint.id),
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "description": endpoint.description,
        "ordered": endpoint.ordered,
        "on_failure": endpoint.on_failure,
        "rate_limit": endpoint.rate_limit,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason or None,
        "version": endpoint.version,
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
    }
