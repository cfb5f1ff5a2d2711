"""Placing an order: two calls of the database, however many items it has.

The first reads everything that the order depends on; ids, event and answer are then made here; the
second decides and writes. Both are functions of the database: migrations/0011_placing.sql.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db.backends.utils import CursorWrapper

from apps.common import wakeups
from apps.common.actor import Actor
from apps.common.errors import Unavailable
from apps.common.idempotency import KEPT_SECONDS, Retryable, in_flight
from apps.common.ids import uuid7
from apps.common.models import IdempotencyKey
from apps.common.postgresql.prepared import prepared_cursor
from apps.common.retries import retried
from apps.events.publishing import DISPATCH
from apps.orders.services.building import Catalogue, NewOrder, Placed, build, document, refuse

MAX_ATTEMPTS = 4


class Answered(NamedTuple):
    """The key's first request was answered before: this is what it was told."""

    stored: IdempotencyKey
    asked: Retryable


@dataclass(frozen=True, slots=True)
class Retry:
    """The idempotency key of a request; `answer` makes the columns of the row that remembers what is
    answered, from what was placed."""

    asked: Retryable
    answer: Callable[[Placed], dict[str, Any]]


class _Read(NamedTuple):
    """What the first call brings."""

    at: datetime
    number: int
    catalogue: Catalogue


@retried
def place_order(
    *, account_id: UUID, actor: Actor, wanted: NewOrder, retry: Retry | None = None
) -> Placed | Answered:
    """Place an order and reserve its stock, or return what the key's first request was answered.

    Call it outside a transaction: the second call of the database is one. Raises OrderInvalid,
    InsufficientStock, ExternalIdTaken, Conflict while the key's first request is at work, and
    Unavailable when the products keep changing underneath.
    """
    for _ in range(MAX_ATTEMPTS):
        with prepared_cursor() as cursor:
            read = _read(cursor, account_id, wanted, retry)
            if isinstance(read, Answered):
                return read
            at, number, catalogue = read
            placed = build(wanted, catalogue, account_id=account_id, number=number, at=at)
            outcome, available = _write(cursor, placed, actor, retry)
        if outcome == "placed":
            wakeups.wake(DISPATCH)
            return placed
        if outcome == "in_flight":
            raise in_flight()
        refuse(outcome, available, wanted, placed)
    raise busy()


def busy() -> Unavailable:
    """The error for products that change faster than they can be ordered."""
    return Unavailable("The products are being changed just now.", code="busy")


def _read(
    cursor: CursorWrapper, account_id: UUID, wanted: NewOrder, retry: Retry | None
) -> _Read | Answered:
    key = retry.asked.key if retry else ""
    cursor.execute(
        "SELECT at, number, storefront::text, products::text,"
        " status, fingerprint, body, location"
        " FROM orders_read_for_placing_v2($1, $2, $3, $4, $5)",
        [account_id, wanted.storefront, wanted.items.skus, key, KEPT_SECONDS],
    )
    at, number, storefront, products, *answer = cursor.fetchone()
    if retry is not None and answer[0] is not None:
        columns = zip(("status", "fingerprint", "body", "location"), answer, strict=True)
        return Answered(IdempotencyKey(**dict(columns)), retry.asked)
    return _Read(at, number, Catalogue.of(storefront and f"[{storefront}]", products))


def _write(
    cursor: CursorWrapper, placed: Placed, actor: Actor, retry: Retry | None
) -> tuple[str, dict[str, int]]:
    content, payload = document(placed, actor)
    body = b""
    if retry is not None:
        answer = retry.answer(placed)
        body = answer.pop("body")
        content["answer"] = {"id": uuid7(), "lock_name": retry.asked.lock_name, **answer}
    cursor.execute(
        "SELECT outcome, available::text FROM orders_place_v2($1, $2, $3, $4)",
        [orjson.dumps(content).decode(), payload, body, KEPT_SECONDS],
    )
    outcome, available = cursor.fetchone()
    return outcome, orjson.loads(available or "{}")
