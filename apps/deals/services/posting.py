"""Storing a new deal: one call of the database, however many items it has, key or not.

Ids, event and answer are made here; deals_post_v1 (migrations/0007_posting.sql) writes them, and puts the
time where they tell of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from apps.common.actor import Actor
from apps.common.idempotency import KEPT_SECONDS, Retryable, in_flight
from apps.common.ids import uuid7
from apps.common.models import IdempotencyKey
from apps.common.postgresql.prepared import prepared_cursor
from apps.common.wakeups import wake_on_commit
from apps.deals.events.deals import DEAL_CREATED, deal_changes, for_buyers
from apps.deals.models import Deal
from apps.deals.services.recording import CHANNEL, as_it_is
from apps.events.publishing import DISPATCH, NOW, draft

_COLUMNS = (
    *("id", "seller_id", "name", "currency", "total_price"),
    *("discount_type", "discount_amount", "final_price", "auto_accept_at", "auto_reject_below"),
    *("auction_ends_at", "auction_minimum", "auction_increment"),
    *("auction_reserve", "auction_buy_now", "auction_extension_seconds"),
)


class Answered(NamedTuple):
    """The key's first request was answered before: this is what it was told."""

    stored: IdempotencyKey
    asked: Retryable


@dataclass(frozen=True, slots=True)
class Retry:
    """The idempotency key of a request; `answer` makes the columns of the row that remembers what is
    answered, from the deal as its seller is shown it."""

    asked: Retryable
    answer: Callable[[Mapping[str, Any]], dict[str, Any]]


def store(deal: Deal, *, actor: Actor, retry: Retry | None) -> Answered | None:
    """Store a new deal with its items and tell the seller and its buyers, or return what the key's first
    request was answered. Raises Conflict while that one is at work."""
    shown = as_it_is(deal) | {"created_at": NOW, "updated_at": NOW}
    content, payload = _document(deal, shown, actor)
    body = b""
    if retry is not None:
        answer = retry.answer(shown)
        body = answer.pop("body")
        content["answer"] = {"id": uuid7(), "lock_name": retry.asked.lock_name, **answer}
    with prepared_cursor() as cursor:
        cursor.execute(
            "SELECT outcome, at, status, fingerprint, body, location"
            " FROM deals_post_v1($1, $2, $3, $4)",
            [orjson.dumps(content).decode(), payload.decode(), body.decode(), KEPT_SECONDS],
        )
        outcome, at, *row = cursor.fetchone()
    if outcome == "in_flight":
        raise in_flight()
    if retry is not None and outcome == "answered":
        columns = zip(("status", "fingerprint", "body", "location"), row, strict=True)
        return Answered(IdempotencyKey(**dict(columns)), retry.asked)
    deal.created_at = deal.updated_at = at
    wake_on_commit(DISPATCH)
    return None


def _document(deal: Deal, shown: Mapping[str, Any], actor: Actor) -> tuple[dict[str, Any], bytes]:
    """What deals_post_v1 writes: its argument as JSON values, and the event's body."""
    event = draft(
        DEAL_CREATED,
        account_id=deal.seller_id,
        subject=deal.id,
        object=for_buyers(shown),
        actor=actor,
        at=None,
    )
    nothing = dict.fromkeys(shown) | {"items": []}
    content = {
        **{name: getattr(deal, name) for name in _COLUMNS},
        "item_ids": [item["id"] for item in deal.item_objects],
        "item_names": [item["name"] for item in deal.item_objects],
        "item_prices": [item["price"] for item in deal.item_objects],
        "change_id": uuid7(),
        "changes": deal_changes(nothing, shown),
        "channel_id": uuid7(),
        "channel": CHANNEL,
        "event": {
            "id": event.id,
            "type": event.type.name,
            "version": event.type.version,
            "actor": actor.as_json(),
            "request_id": actor.request_id,
        },
    }
    return content, event.payload
