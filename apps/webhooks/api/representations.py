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
from apps.webhooks.enums import DeliveryStatus, Reason, ReplayOnly, ReplayStatus
from apps.webhooks.events import ENDPOINT_EXAMPLE, ENDPOINT_PROPERTIES, endpoint_object
from apps.webhooks.models import Attempt, Delivery, Replay
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
    "replay_id": nullable(
        uuid("The replay that last sent it again, or its own id when that was asked for alone.")
    ),
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
    "replay_id": None,
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
    "timing": {"dns_us": 130, "connect_us": 310, "tls_us": None, "first_byte_us": 11040},
    "status_code": 204,
    "error": None,
    "request_headers": {
        "webhook-id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9c03",
        "webhook-timestamp": "1795253400",
        "webhook-signature": "v1,…",
    },
    "response_headers": {"server": "nginx", "date": "Sat, 21 Nov 2026 09:30:00 GMT"},
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
            "duration_ms": integer("From its start to the end of the answer."),
            "timing": {
                **obj(
                    {
                        "dns_us": nullable(integer("Until the address was known.")),
                        "connect_us": nullable(integer("From there until TCP was connected.")),
                        "tls_us": nullable(integer("From there until TLS was agreed on.")),
                        "first_byte_us": nullable(
                            integer("From there to the first byte of the answer.")
                        ),
                    }
                ),
                "description": (
                    "Microseconds of each phase. Null is what did not end or was not needed: a "
                    "connection that is used again has no first three."
                ),
            },
            "status_code": nullable(integer()),
            "error": nullable(
                string(
                    "Why there was no answer: `dns_failed`, `connect_failed`, `connect_timeout`, "
                    "`tls_failed`, `timeout`, `disconnected`, `invalid_response`, "
                    "`response_too_large`, `invalid_url`, `address_not_allowed` or `failed`."
                )
            ),
            "request_headers": free_object("As sent."),
            "response_headers": nullable(
                free_object("The first 8,000 characters; cookies are left out.")
            ),
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


_REPLAY_PROPERTIES = {
    "id": uuid("The `webhook-replay` header of each request."),
    "endpoint_id": uuid(),
    "status": enum(ReplayStatus.values, "`completed`: each delivery has been tried at least once."),
    "since": timestamp("As asked, or where what is kept begins, if that is later."),
    "until": timestamp(),
    "event_types": nullable(array(string(), "Only these; null for all it listens to.")),
    "only": enum(ReplayOnly.values),
    "rate": integer("Sent a second at most."),
    "total": nullable(integer("Events it concerns; null while they are being counted.")),
    "processed": integer("Events it has come past."),
    "skipped": integer("Of these, what was on its way already."),
    "version": integer(),
    "created_at": timestamp(),
    "updated_at": timestamp(),
    "ended_at": nullable(timestamp()),
}
_REPLAY_EXAMPLE = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9c04",
    "endpoint_id": ENDPOINT_EXAMPLE["id"],
    "status": "running",
    "since": "2026-11-20T00:00:00.000000Z",
    "until": "2026-11-21T09:30:00.000000Z",
    "event_types": None,
    "only": "failed",
    "rate": 100,
    "total": 1200,
    "processed": 300,
    "skipped": 0,
    "version": 5,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:03.000000Z",
    "ended_at": None,
}
REPLAY = component("WebhookReplay", obj(_REPLAY_PROPERTIES), example=_REPLAY_EXAMPLE)

REPLAY_WITH_DELIVERIES = component(
    "WebhookReplayWithDeliveries",
    obj(
        _REPLAY_PROPERTIES
        | {
            "deliveries": {
                **obj({status: integer() for status in DeliveryStatus.values}),
                "description": "How those stand that it was the last to send again.",
            }
        }
    ),
    example={
        **_REPLAY_EXAMPLE,
        "deliveries": {"pending": 12, "delivered": 280, "failed": 8, "parked": 0, "canceled": 0},
    },
)


def endpoint_with_secret(made: WithSecret) -> dict[str, Any]:
    return {**endpoint_object(made.endpoint), "secret": made.secret}


def replay_object(replay: Replay) -> dict[str, Any]:
    return {
        "id": str(replay.id),
        "endpoint_id": str(replay.endpoint_id),
        "status": replay.status,
        "since": rfc3339(replay.since),
        "until": rfc3339(replay.until),
        "event_types": replay.event_types,
        "only": replay.only,
        "rate": replay.rate,
        "total": replay.total if replay.is_counted else None,
        "processed": replay.processed,
        "skipped": replay.skipped,
        "version": replay.version,
        "created_at": rfc3339(replay.created_at),
        "updated_at": rfc3339(replay.updated_at),
        "ended_at": replay.ended_at and rfc3339(replay.ended_at),
    }


def replay_with_deliveries(replay: Replay, counts: dict[str, int]) -> dict[str, Any]:
    return {**replay_object(replay), "deliveries": counts}


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
        "replay_id": delivery.replay_id and str(delivery.replay_id),
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
        "timing": {
            "dns_us": attempt.dns_us,
            "connect_us": attempt.connect_us,
            "tls_us": attempt.tls_us,
            "first_byte_us": attempt.first_byte_us,
        },
        "status_code": attempt.status_code,
        "error": attempt.error or None,
        "request_headers": attempt.request_headers,
        "response_headers": attempt.response_headers,
        "response_body": text,
        "response_body_is_base64": is_base64,
    }


def _readable(body: bytes) -> tuple[str, bool]:
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
