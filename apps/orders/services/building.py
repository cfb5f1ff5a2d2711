"""An order in the making: built here from what the database said, written by its functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from apps.common.actor import Actor
from apps.common.errors import Fault
from apps.common.ids import uuid7, uuid7_at
from apps.common.instances import loaded, made
from apps.events.publishing import draft
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
# What `orders_place_v2` calls the lists of the lines' columns.
_LISTS = {
    "line_ids": "id",
    "products": "product_id",
    "skus": "sku",
    "names": "name",
    "quantities": "quantity",
    "prices": "unit_price",
}


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


class Catalogue(NamedTuple):
    """The storefronts and products that orders name, by code and sku, as they were read."""

    storefronts: dict[str, Storefront]
    products: dict[str, Product]

    @classmethod
    def of(cls, storefronts: str | None, products: str | None) -> "Catalogue":
        """From the JSON arrays of the database's functions, None for an empty one."""
        return cls(
            {row["code"]: loaded(Storefront, row) for row in _rows(storefronts)},
            {row["sku"]: loaded(Product, row) for row in _rows(products)},
        )


class Document(NamedTuple):
    """What `orders_place_v2` writes: its argument as JSON values, and the event's body."""

    content: dict[str, Any]
    payload: bytes


def build(
    wanted: NewOrder, catalogue: Catalogue, *, account_id: UUID, number: int, at: datetime
) -> Placed:
    """The order as it will be stored; raises OrderInvalid."""
    storefront = catalogue.storefronts.get(wanted.storefront)
    if storefront is None:
        fault = Fault("/storefront", "unknown_storefront", "You have no storefront of this code.")
        raise OrderInvalid(CORRECT, faults=[fault])
    wanted.items.check_sellable(wanted.items.skus, catalogue.products, storefront.currency)
    order = made(
        Order,
        {
            "id": uuid7_at(at),
            "account_id": account_id,
            "storefront_id": storefront.id,
            "number": number,
            "external_id": wanted.external_id,
            "customer_id": wanted.customer_id,
            "status": OrderStatus.PENDING.value,
            "currency": storefront.currency,
            "shipping_address": wanted.shipping_address,
            "metadata": wanted.metadata or {},
            "reservation_expires_at": reservation_end(storefront, at),
            "created_at": at,
            "updated_at": at,
        },
    )
    Order._meta.get_field("storefront").set_cached_value(order, storefront)
    lines = [
        line_for(order, catalogue.products[sku], quantity)
        for sku, quantity in wanted.items.quantities.items()
    ]
    order.total = total_of(lines)
    return Placed(order, lines)


def document(placed: Placed, actor: Actor) -> Document:
    """Order, lines, history and event, as the database writes them."""
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
    event = created.row()
    payload = event.pop("payload")
    content = {
        **{name: getattr(order, name) for name in _COLUMNS},
        **{name: [getattr(line, column) for line in lines] for name, column in _LISTS.items()},
        "storefront_version": order.storefront.version,
        "movement_ids": [uuid7() for _ in lines],
        "change_id": uuid7_at(order.created_at),
        "changes": {name: [None, told[name]] for name in ("status", "total", "items")},
        "event": event,
    }
    return Document(content, payload)


def refuse(outcome: str, available: Mapping[str, int], wanted: NewOrder, placed: Placed) -> None:
    """Raise what an outcome of `orders_place_v2` calls for; return when another attempt may go better."""
    if outcome == "external_id_taken":
        raise external_id_taken(placed.order.external_id)
    if outcome == "short":
        by_sku = {
            line.sku: available[str(line.product_id)]
            for line in placed.lines
            if str(line.product_id) in available
        }
        raise insufficient_stock(wanted.items, by_sku)


def _rows(array: str | None) -> list[dict[str, Any]]:
    """The rows of a JSON array, their ids as UUIDs."""
    rows: list[dict[str, Any]] = orjson.loads(array or "[]")
    for row in rows:
        row["id"] = UUID(row["id"])
    return rows
