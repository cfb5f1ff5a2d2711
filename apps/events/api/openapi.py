"""The `webhooks` of the OpenAPI schema: what each event type looks like when it arrives."""

from typing import Any

from apps.common.schemas import Schema, string, uuid
from apps.events.catalogue import EventType, event_types

_HEADERS: dict[str, tuple[bool, Schema, str]] = {
    "webhook-id": (True, uuid(), "The event's id, the same for every attempt."),
    "webhook-timestamp": (True, string(), "When this attempt was signed, Unix time."),
    "webhook-signature": (
        True,
        string(),
        "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; one for each key that signs, "
        "separated by spaces.",
    ),
    "webhook-replay": (
        False,
        uuid(),
        "Of what is sent again because somebody asked: the replay, or the delivery.",
    ),
}
_ANSWERS = {
    "2XX": {"description": "Delivered."},
    "410": {"description": "The endpoint is disabled."},
    "default": {"description": "It is tried again on the schedule."},
}


def add_webhooks(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Spectacular's hook: every event type of the catalogue, by its name."""
    result["components"]["parameters"] = {
        name: {
            "name": name,
            "in": "header",
            "required": required,
            "schema": schema,
            "description": description,
        }
        for name, (required, schema, description) in _HEADERS.items()
    }
    result["webhooks"] = {kind.name: {"post": _operation(kind)} for kind in event_types()}
    return result


def _operation(kind: EventType) -> dict[str, Any]:
    return {
        "operationId": f"on_{kind.name.replace('.', '_')}",
        "summary": kind.summary,
        "tags": ["Webhooks"],
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _HEADERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": kind.body()}},
        },
        "responses": _ANSWERS,
    }
