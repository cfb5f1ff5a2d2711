"""What the tests of deals share: paths, bodies, and reading what was published."""

from typing import Any, Protocol

import jsonschema
import orjson

from apps.events.catalogue import event_types
from apps.events.models import Event
from tests.support import ApiClient

DEALS = "/api/v1/deals"
AUTHORIZATIONS = "/api/v1/authorizations"


class Deals(Protocol):
    def __call__(self, client: ApiClient = ..., **fields: Any) -> dict[str, Any]: ...


def body(**fields: Any) -> dict[str, Any]:
    """A deal as a seller posts it."""
    return {
        "name": "Twelve chairs",
        "total_price": 10_000,
        "currency": "EUR",
        "items": [{"name": "Chair", "price": 900}, {"name": "Table", "price": 0}],
        **fields,
    }


def written(deal: dict[str, Any]) -> dict[str, Any]:
    """What a client writes of a deal that it has read."""
    names = ("name", "total_price", "currency", "status", "discount", "items")
    return {name: deal[name] for name in names}


def faults(answer: Any) -> dict[str, str]:
    """Pointer -> code of a 400."""
    assert answer.status_code == 400, answer.content
    return {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}


def published(subject: str) -> list[dict[str, Any]]:
    """The bodies of the events about an object, in order; each is checked against its type's schema."""
    schemas = {kind.name: kind.schema() for kind in event_types()}
    bodies = [
        orjson.loads(bytes(event.payload))
        for event in Event.objects.filter(subject=subject).order_by("sequence")
    ]
    for one in bodies:
        jsonschema.validate(one, schemas[one["type"]], cls=jsonschema.Draft202012Validator)
    return bodies


def types(subject: str) -> list[str]:
    return [one["type"] for one in published(subject)]


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]
