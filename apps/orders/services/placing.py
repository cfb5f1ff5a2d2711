"""Placing an order: two calls of the database, however many items it has.

The first reads everything that the order depends on; ids, event and answer are then made here; the
second decides and writes. Both are functions of the database: migrations/0001_functions.sql.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection

from apps.common import wakeups
from apps.common.actor import Actor
from apps.common.errors import Fault, Unavailable
from apps.common.idempotency import KEPT_SECONDS, Retryable, in_flight
from apps.common.ids import uuid7, uuid7_at
from apps.common.models import IdempotencyKey
from apps.common.retries import retried
from apps.events.publishing import DISPATCH, draft
from apps.orders.enums import OrderStatus
from apps.orders.errors import OrderInvalid
from apps.orders.events import ORDER_CREATED, order_object
from apps.orders.models import Order, OrderLine, Product, Storefront
from apps.orders.services.asked import (
    CORRECT,
    Asked,
    external_id_taken,
    insufficient_stock,
    line_for,
    reservation_end,
    total_of,
)

MAX_ATTEMPTS = 4
_COLUMNS = (
    "id",
    "account_id",
    "storefront_id",
    "number",
    "external_id",
    "customer_id",
    "status",
    "currency",
    "total",
    "shipping_address",
    "metadata",
    "reservation_expires_at",
    "created_at",
)
_LINE_COLUMNS = ("id", "product_id", "sku", "name", "quantity", "unit_price")


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What the caller wants."""

    storefront: str
    customer_id: str
    items: Asked
    external_id: str | None = None
    shipping_address: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class Placed(NamedTuple):
    """An order as it was stored."""

    order: Order
    lines: list[OrderLine]


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


@dataclass(frozen=True, slots=True)
class _Read:
    """What the first call brings."""

    at: datetime
    number: int
    storefront: Storefront
    products: dict[str, Product]


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
        read = _read(account_id, wanted, retry)
        if isinstance(read, Answered):
            return read
        placed = _build(account_id, wanted, read)
        outcome, available = _write(placed, actor, retry)
        if outcome == "placed":
            wakeups.wake(DISPATCH)
            return placed
        _refuse(outcome, available, wanted, placed)
    raise Unavailable("The products are being changed just now.", code="busy")


def _read(account_id: UUID, wanted: NewOrder, retry: Retry | None) -> _Read | Answered:
    key = retry.asked.key if retry else None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT at, number, storefront::text, products::text, status, fingerprint, body, location"
            " FROM orders_read_for_placing(%s, %s, %s, %s, %s)",
            [account_id, wanted.storefront, wanted.items.skus, key, KEPT_SECONDS],
        )
        at, number, storefront, products, *answer = cursor.fetchone()
    if retry is not None and answer[0] is not None:
        columns = zip(("status", "fingerprint", "body", "location"), answer, strict=True)
        return Answered(IdempotencyKey(**dict(columns)), retry.asked)
    if storefront is None:
        fault = Fault("/storefront", "unknown_storefront", "You have no storefront of this code.")
        raise OrderInvalid(CORRECT, faults=[fault])
    return _Read(
        at=at,
        number=number,
        storefront=Storefront(**_with_id(orjson.loads(storefront))),
        products={row["sku"]: Product(**_with_id(row)) for row in orjson.loads(products or "[]")},
    )


def _build(account_id: UUID, wanted: NewOrder, read: _Read) -> Placed:
    storefront = read.storefront
    wanted.items.check_sellable(wanted.items.skus, read.products, storefront.currency)
    order = Order(
        id=uuid7_at(read.at),
        account_id=account_id,
        storefront=storefront,
        number=read.number,
        external_id=wanted.external_id,
        customer_id=wanted.customer_id,
        status=OrderStatus.PENDING.value,
        currency=storefront.currency,
        shipping_address=wanted.shipping_address,
        metadata=wanted.metadata or {},
        reservation_expires_at=reservation_end(storefront, read.at),
        created_at=read.at,
        updated_at=read.at,
    )
    lines = [
        line_for(order, read.products[sku], quantity)
        for sku, quantity in wanted.items.quantities.items()
    ]
    order.total = total_of(lines)
    return Placed(order, lines)


def _write(placed: Placed, actor: Actor, retry: Retry | None) -> tuple[str, dict[str, int]]:
    order, lines = placed
    told = order_object(order, lines)
    created = draft(
        ORDER_CREATED,
        account_id=order.account_id,
        subject=order.id,
        object=told,
        actor=actor,
        at=order.created_at,
    )
    document = {
        "order": {name: getattr(order, name) for name in _COLUMNS},
        "storefront_version": order.storefront.version,
        "lines": [_line_row(line) for line in lines],
        "change": {
            "id": uuid7_at(order.created_at),
            "changes": {name: [None, told[name]] for name in ("status", "total", "items")},
        },
        "event": _without(created.row(), "payload"),
    }
    body = None
    if retry is not None:
        answer = retry.answer(placed)
        body = answer["body"]
        document["answer"] = {"id": uuid7(), **_without(answer, "body")}
        document["lock_name"] = retry.asked.lock_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, available::text FROM orders_place(%s, %s, %s, %s)",
            [orjson.dumps(document).decode(), created.payload, body, KEPT_SECONDS],
        )
        outcome, available = cursor.fetchone()
    return outcome, orjson.loads(available or "{}")


def _refuse(outcome: str, available: dict[str, int], wanted: NewOrder, placed: Placed) -> None:
    """Raise what the outcome calls for; return when another attempt may go better."""
    if outcome == "in_flight":
        raise in_flight()
    if outcome == "external_id_taken":
        raise external_id_taken(placed.order.external_id)
    if outcome == "short":
        by_sku = {
            line.sku: available[str(line.product_id)]
            for line in placed.lines
            if str(line.product_id) in available
        }
        raise insufficient_stock(wanted.items, by_sku)


def _line_row(line: OrderLine) -> dict[str, Any]:
    return {"movement_id": uuid7(), **{name: getattr(line, name) for name in _LINE_COLUMNS}}


def _with_id(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "id": UUID(row["id"])}


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {column: value for column, value in row.items() if column != name}
