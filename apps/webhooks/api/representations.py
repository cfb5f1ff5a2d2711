"""How endpoints with their secret, deliveries and attempts look."""

import base64
from typing import Any

from apps.common.clock import rfc3339
from apps.common.outgoing.aio import MAX_RESPONSE_BYTES
from apps.common.schemas import (
    array,
    boolean,
    component,
    enum,
    free_object,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.webhooks.enums import DeliveryStatus, Reason
from apps.webhooks.events import ENDPOINT_EXAMPLE, ENDPOINT_PROPERTIES, endpoint_object
from apps.webhooks.models import Attempt, Delivery
from apps.webhooks.selectors import next_attempt
from apps.webhooks.services import WithSecret

ENDPOINT_WITH_SECRET = component(
    "WebhookEndpointWithSecret",
    obj(
        ENDPOINT_PROPERTIES
        | {"secret": nullable(string("Shown this once (`whsec_…`); null in a replayed answer."))}
    ),
    example={**ENDPOINT_EXAMPLE, "secret": "whsec_…"},
)

_DELIVERY_PROPERTIES = {
    "id": uuid(),
    "endpoint_id": uuid(),
    "event_id": uuid("The `webhook-id` header of each attempt."),
    "event_type": string(),
    "subject": uuid("The object that the event is about."),
    "status": enum(DeliveryStatus.values),
    "reason": nullable(enum(Reason.values, "Why it rests without having been delivered.")),
    "attempt_count": integer(),
    "last_status_code": nullable(integer("Of the last attempt; null when no answer came.")),
    "next_attempt_at": nullable(
        timestamp("While pending; null while an attempt is under way, or when none follows.")
    ),
    "created_at": timestamp(),
    "updated_at": timestamp(),
}

_DELIVERY_EXAMPLE = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9c02",
    "endpoint_id": ENDPOINT_EXAMPLE["id"],
    "event_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9c03",
    "event_type": "order.created",
    "subject": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b07",
    "status": "delivered",
    "reason": None,
    "attempt_count": 1,
    "last_status_code": 204,
    "next_attempt_at": None,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:00.250000Z",
}
_ATTEMPT_EXAMPLE = {
    "number": 1,
    "url": ENDPOINT_EXAMPLE["url"],
    "started_at": "2026-11-21T09:30:00.200000Z",
    "duration_ms": 12,
    "status_code": 204,
    "error": None,
    "request_headers": {
        "webhook-id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9c03",
        "webhook-timestamp": "1795253400",
        "webhook-signature": "v1,…",
    },
    "response_body": "",
    "response_body_is_base64": False,
}

DELIVERY = component("Delivery", obj(_DELIVERY_PROPERTIES), example=_DELIVERY_EXAMPLE)

ATTEMPT = component(
    "DeliveryAttempt",
    obj(
        {
            "number": integer(),
            "url": string("The endpoint's URL at that time."),
            "started_at": timestamp(),
            "duration_ms": integer(),
            "status_code": nullable(integer()),
            "error": nullable(
                string(
                    "Why there was no answer: `dns_failed`, `connect_failed`, `connect_timeout`, "
                    "`tls_failed`, `timeout`, `disconnected`, `invalid_response`, "
                    "`response_too_large`, `invalid_url`, `address_not_allowed` or `failed`."
                )
            ),
            "request_headers": free_object("As sent."),
            "response_body": string(f"Its first {MAX_RESPONSE_BYTES:,} bytes."),
            "response_body_is_base64": boolean("The body is not UTF-8 text and shown in base64."),
        }
    ),
    example=_ATTEMPT_EXAMPLE,
)

DELIVERY_WITH_ATTEMPTS = component(
    "DeliveryWithAttempts",
    obj(_DELIVERY_PROPERTIES | {"attempts": array(ATTEMPT, "The newest 100, newest first.")}),
    example={**_DELIVERY_EXAMPLE, "attempts": [_ATTEMPT_EXAMPLE]},
)


def endpoint_with_secret(made: WithSecret) -> dict[str, Any]:
    return {**endpoint_object(made.endpoint), "secret": made.secret}


def delivery_object(delivery: Delivery) -> dict[str, Any]:
    """A delivery that came from the selectors."""
    next_attempt_at = next_attempt(delivery)
    return {
        "id": str(delivery.id),
        "endpoint_id": str(delivery.endpoint_id),
        "event_id": str(delivery.event_id),
        "event_type": delivery.event_type,
        "subject": str(delivery.subject),
        "status": delivery.status,
        "reason": delivery.reason or None,
        "attempt_count": delivery.attempt_count,
        "last_status_code": delivery.last_status_code,
        "next_attempt_at": next_attempt_at and rfc3339(next_attempt_at),
        "created_at": rfc3339(delivery.created_at),
        "updated_at": rfc3339(delivery.updated_at),
    }


def attempt_object(attempt: Attempt) -> dict[str, Any]:
    text, is_base64 = _readable(bytes(attempt.response_body))
    return {
        "number": attempt.number,
        "url": attempt.url,
        "started_at": rfc3339(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "status_code": attempt.status_code,
        "error": attempt.error or None,
        "request_headers": attempt.request_headers,
        "response_body": text,
        "response_body_is_base64": is_base64,
    }


def _readable(body: bytes) -> tuple[str, bool]:
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
