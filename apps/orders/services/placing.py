"""Placing an order: two calls of the database, however many items it has, or one.

The first reads what the order names, unless this process remembers that; ids, event and answer are then made
here; the second decides and writes, together for orders that come at the same time (docs/adr/0047). They are
functions of the database: migrations/0011_placing.sql, 0012_posting.sql, 0014_posting_together.sql and
0017_external_ids_before_stock.sql.
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import DatabaseError

from apps.common import wakeups
from apps.common.actor import Actor
from apps.common.errors import Unavailable
from apps.common.idempotency import KEPT_SECONDS, Retryable, in_flight
from apps.common.ids import uuid7
from apps.common.models import IdempotencyKey
from apps.common.postgresql.prepared import prepared_cursor
from apps.common.retries import is_undone, retried
from apps.common.together import Together
from apps.events.publishing import DISPATCH
from apps.orders.errors import OrderInvalid
from apps.orders.services.asked import reservation_end
from apps.orders.services.building import Catalogue, NewOrder, Placed, build, document, refuse
from apps.orders.services.remembered import recall, remember

MAX_ATTEMPTS = 4

# Orders of as many requests at most are written together.
MOST_TOGETHER = 16
# One with longer documents, of some 35 lines and more, goes alone: the others would wait for it.
LONGEST_TOGETHER = 16_000
# As long does an order wait for its turn, in seconds, and takes it then.
PATIENCE = 1.0

_POST = (
    "SELECT outcome, available::text, id, number, at, status, fingerprint, body, location"
    " FROM orders_post_alone_v1($1, $2, $3, $4, $5, $6, $7, $8)"
)
_POST_SOON = _POST.replace("orders_post_alone_v1", "orders_post_soon_v1")
_POST_TOGETHER = "SELECT ids, numbers, ats FROM orders_post_together_v1($1, $2)"

# From here on for 1,100 years: times that stand in for the one that is not known yet.
_FAR = datetime(2100, 1, 1, tzinfo=UTC)


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


class _Written(NamedTuple):
    """What `orders_post_v1` answers: what became of the order, and what it was given."""

    outcome: str
    available: str | None
    id: UUID
    number: int
    at: datetime
    answer: Sequence[Any] = ()
    is_first: bool = True  # of those that were written together


class _Posting(NamedTuple):
    """What `orders_post_v1` is called with: first the stand-ins for what it gives."""

    id: str
    change_id: str
    number: str
    at: str
    until: str
    minutes: str
    documents: str


@retried
def place_order(
    *, account_id: UUID, actor: Actor, wanted: NewOrder, retry: Retry | None = None
) -> Placed | Answered:
    """Place an order and reserve its stock, or return what the key's first request was answered.

    Call it outside a transaction: the writing call of the database is one. Raises OrderInvalid,
    InsufficientStock, ExternalIdTaken, Conflict while the key's first request is at work, and
    Unavailable when the products keep changing underneath.
    """
    placed = _from_memory(account_id, wanted)
    for _ in range(MAX_ATTEMPTS):
        if placed is None:
            read = _read(account_id, wanted, retry)
            if isinstance(read, Answered):
                return read
            placed = _build(account_id, wanted, read)
        written = _write(placed, actor, retry)
        if written.outcome == "placed":
            if written.is_first:
                wakeups.wake(DISPATCH)
            return _given(placed, written)
        if written.outcome == "in_flight":
            raise in_flight()
        if retry is not None and written.outcome == "answered":
            return _answered(written.answer, retry)
        refuse(written.outcome, orjson.loads(written.available or "{}"), wanted, placed)
        placed = None
    raise busy()


def busy() -> Unavailable:
    """The error for products that change faster than they can be ordered."""
    return Unavailable("The products are being changed just now.", code="busy")


def _from_memory(account_id: UUID, wanted: NewOrder) -> Placed | None:
    """The order, built of what this process remembers; None where the database must be read for it."""
    catalogue = recall(account_id, wanted)
    if catalogue is not None:
        with suppress(OrderInvalid):  # as things were
            return _build(account_id, wanted, catalogue)
    return None


def _build(account_id: UUID, wanted: NewOrder, catalogue: Catalogue) -> Placed:
    """The order with stand-ins for number and time, and so for its id: nobody can name them by chance or on
    purpose, so that the database finds them in what is told of the order."""
    # Odd: JSON is told no microseconds where there are none.
    at = _FAR + timedelta(microseconds=secrets.randbits(54) << 1 | 1)
    number = 1 << 60 | secrets.randbits(60)
    return build(wanted, catalogue, account_id=account_id, number=number, at=at)


def _given(placed: Placed, written: _Written) -> Placed:
    """The order with what the database gave it."""
    order, lines = placed
    order.id, order.number = written.id, written.number
    order.created_at = order.updated_at = written.at
    order.reservation_expires_at = reservation_end(order.storefront, written.at)
    for line in lines:
        line.order_id = written.id
    return placed


def _answered(columns: Sequence[Any], retry: Retry) -> Answered:
    names = ("status", "fingerprint", "body", "location")
    return Answered(IdempotencyKey(**dict(zip(names, columns, strict=True))), retry.asked)


def _read(account_id: UUID, wanted: NewOrder, retry: Retry | None) -> Catalogue | Answered:
    key = retry.asked.key if retry else ""
    with prepared_cursor() as cursor:
        cursor.execute(
            "SELECT storefront::text, products::text, status, fingerprint, body, location"
            " FROM orders_read_for_placing_v3($1, $2, $3, $4, $5)",
            [account_id, wanted.storefront, wanted.items.skus, key, KEPT_SECONDS],
        )
        storefront, products, *answer = cursor.fetchone()
    if retry is not None and answer[0] is not None:
        return _answered(answer, retry)
    catalogue = Catalogue.of(storefront and f"[{storefront}]", products)
    remember(account_id, catalogue)
    return catalogue


def _write(placed: Placed, actor: Actor, retry: Retry | None) -> _Written:
    content, payload = document(placed, actor)
    body = b""
    if retry is not None:
        answer = retry.answer(placed)
        body = answer.pop("body")
        content["answer"] = {"id": uuid7(), "lock_name": retry.asked.lock_name, **answer}
    order = placed.order
    posting = _Posting(
        str(order.id),
        str(content["change_id"]),
        str(order.number),
        _without_zone(order.created_at),
        _without_zone(order.reservation_expires_at),
        str(order.storefront.reservation_minutes or ""),
        b"\x1f".join((orjson.dumps(content), payload, body)).decode(),
    )
    is_small = len(posting.documents) <= LONGEST_TOGETHER
    return (is_small and _together.ask(posting)) or _post(posting)


def _post_some(postings: Sequence[_Posting]) -> Sequence[_Written | None]:
    """What became of orders that came at the same time: None for each when they must be posted one by one, for
    they get in the way of each other, or something else stands in the way of all."""
    try:
        return [_post(postings[0], _POST_SOON)] if len(postings) == 1 else _post_together(postings)
    except DatabaseError as error:
        if not is_undone(error):
            raise
        return [None] * len(postings)


def _post_together(postings: Sequence[_Posting]) -> Sequence[_Written | None]:
    with prepared_cursor() as cursor:
        cursor.execute(
            _POST_TOGETHER,
            ["\x1e".join("\x1f".join(posting) for posting in postings), KEPT_SECONDS],
        )
        given = cursor.fetchone()
    if given[0] is None:
        return [None] * len(postings)
    return [
        _Written("placed", None, order_id, number, at, is_first=not index)
        for index, (order_id, number, at) in enumerate(zip(*given, strict=True))
    ]


def _post(posting: _Posting, statement: str = _POST) -> _Written:
    minutes = int(posting.minutes) if posting.minutes else None
    with prepared_cursor() as cursor:
        cursor.execute(statement, [posting.documents, *posting[:5], minutes, KEPT_SECONDS])
        outcome, available, order_id, number, at, *stored = cursor.fetchone()
    return _Written(outcome, available, order_id, number, at, stored)


def _without_zone(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="microseconds").removesuffix("+00:00")


_together = Together(_post_some, most=MOST_TOGETHER, patience=PATIENCE)
