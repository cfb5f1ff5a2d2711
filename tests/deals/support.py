"""What the tests of deals share: paths, bodies, and reading what was published."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import jsonschema
import orjson
from django.db.models.functions import Now

from apps.common.clock import rfc3339
from apps.deals.models import Deal
from apps.events.catalogue import event_types
from apps.events.models import Event
from tests.support import ApiClient

DEALS = "/api/v1/deals"
AUTHORIZATIONS = "/api/v1/authorizations"
BIDS = "/api/v1/bids"


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


def place(client: ApiClient, deal: dict[str, Any], amount: int, **fields: Any) -> dict[str, Any]:
    """The bid that a client places on a deal."""
    answer = client.post(f"{DEALS}/{deal['id']}/bids", {"amount": amount, **fields})
    assert answer.status_code == 201, answer.content
    bid: dict[str, Any] = answer.json()
    return bid


def step(client: ApiClient, bid: dict[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    """A bid after `accept`, `reject`, `counter` or `withdraw`."""
    answer = client.post(f"{BIDS}/{bid['id']}/{name}", fields or None)
    assert answer.status_code == 200, answer.content
    after: dict[str, Any] = answer.json()
    return after


def refused(answer: Any, status: int, code: str) -> bool:
    """Whether the answer is this refusal; shows what it is when it is not."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.content
    return True


def status_of(client: ApiClient, bid: dict[str, Any]) -> str:
    answer = client.get(f"{BIDS}/{bid['id']}")
    assert answer.status_code == 200, answer.content
    found: str = answer.json()["status"]
    return found


def seen(client: ApiClient, deal: dict[str, Any]) -> dict[str, Any]:
    """The deal as the client reads it now."""
    answer = client.get(f"{DEALS}/{deal['id']}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def auction(seconds: float = 3600, **terms: Any) -> dict[str, Any]:
    """The terms of an auction that ends in so many seconds."""
    ends_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"ends_at": rfc3339(ends_at), "minimum": 100, "increment": 10, **terms}


def end_auction(deal: dict[str, Any]) -> None:
    """Its time has run out, as far as the database is concerned; the job has not looked yet."""
    Deal.objects.filter(pk=deal["id"]).update(auction_ends_at=Now() - timedelta(seconds=1))
