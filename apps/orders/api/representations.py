"""How the objects of the orders app look to their owner; what events tell too is in `events`."""

from collections.abc import Iterable
from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import (
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
from apps.orders.enums import MovementKind
from apps.orders.events import ORDER_EXAMPLE, ORDER_PROPERTIES, order_object
from apps.orders.models import Order, OrderChange, OrderLine, StockMovement, Storefront

ADDRESS_FIELDS: dict[str, int] = {
    "name": 200,
    "company": 200,
    "line1": 200,
    "line2": 200,
    "city": 100,
    "state": 100,
    "postal_code": 20,
    "country": 2,
    "phone": 50,
    "email": 254,
}

_ADDRESS = component(
    "ShippingAddress",
    obj({name: string() for name in ADDRESS_FIELDS}, optional=tuple(ADDRESS_FIELDS)),
)

_ACTOR_EXAMPLE = {
    "kind": "api_key",
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02",
    "label": "tp_x4k9m2qa",
}
_ACTOR = obj(
    {
        "kind": enum(["api_key", "user", "system"]),
        "id": string("Of the key or user; the name of the job."),
        "label": string("The key's prefix, the user's name, the job's name."),
    }
)

STOREFRONT = component(
    "Storefront",
    obj(
        {
            "id": uuid(),
            "code": string("What orders name it by."),
            "name": string(),
            "currency": string("ISO 4217."),
            "reservation_minutes": nullable(
                integer("How long a pending order holds its stock; null = without end.")
            ),
            "version": integer(),
            "created_at": timestamp(),
            "updated_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b01",
        "code": "demo-shop",
        "name": "Demo shop",
        "currency": "EUR",
        "reservation_minutes": 30,
        "version": 1,
        "created_at": "2026-11-21T09:30:00.000000Z",
        "updated_at": "2026-11-21T09:30:00.000000Z",
    },
)

ORDER = component(
    "Order",
    obj(
        ORDER_PROPERTIES
        | {"shipping_address": nullable(_ADDRESS), "metadata": free_object("The caller's own.")}
    ),
    example={
        **ORDER_EXAMPLE,
        "shipping_address": {
            "name": "Ada Lovelace",
            "line1": "12 St James's Square",
            "city": "London",
            "postal_code": "SW1Y 4JH",
            "country": "GB",
        },
        "metadata": {"gift": True},
    },
)

CHANGE = component(
    "OrderChange",
    obj(
        {
            "id": uuid(),
            "at": timestamp(),
            "type": string("Of the event that told of it."),
            "version": integer("The order's version after it."),
            "actor": _ACTOR,
            "request_id": string("Of the request that caused it; empty when none did."),
            "changes": free_object('What changed: {"field": [old, new]}.'),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b03",
        "at": "2026-11-21T09:40:00.000000Z",
        "type": "order.confirmed",
        "version": 2,
        "actor": _ACTOR_EXAMPLE,
        "request_id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b04",
        "changes": {"status": ["pending", "confirmed"]},
    },
)

MOVEMENT = component(
    "StockMovement",
    obj(
        {
            "id": uuid(),
            "kind": enum(list(MovementKind.values)),
            "on_hand": integer("By how much it changed what is on the shelf."),
            "reserved": integer("By how much it changed what is held for orders."),
            "order_id": nullable(uuid("The order that caused it.")),
            "reason": string(),
            "actor": _ACTOR,
            "created_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b05",
        "kind": "reserved",
        "on_hand": 0,
        "reserved": 2,
        "order_id": ORDER_EXAMPLE["id"],
        "reason": "",
        "actor": _ACTOR_EXAMPLE,
        "created_at": "2026-11-21T09:30:00.000000Z",
    },
)


def storefront_object(storefront: Storefront) -> dict[str, Any]:
    return {
        "id": str(storefront.id),
        "code": storefront.code,
        "name": storefront.name,
        "currency": storefront.currency,
        "reservation_minutes": storefront.reservation_minutes,
        "version": storefront.version,
        "created_at": rfc3339(storefront.created_at),
        "updated_at": rfc3339(storefront.updated_at),
    }


def own_order_object(order: Order, lines: Iterable[OrderLine]) -> dict[str, Any]:
    """The order with what only its owner may see."""
    return {
        **order_object(order, lines),
        "shipping_address": order.shipping_address,
        "metadata": order.metadata,
    }


def change_object(change: OrderChange) -> dict[str, Any]:
    return {
        "id": str(change.id),
        "at": rfc3339(change.at),
        "type": change.type,
        "version": change.version,
        "actor": change.actor,
        "request_id": change.request_id,
        "changes": change.changes,
    }


def movement_object(movement: StockMovement) -> dict[str, Any]:
    return {
        "id": str(movement.id),
        "kind": movement.kind,
        "on_hand": movement.on_hand,
        "reserved": movement.reserved,
        "order_id": movement.order_id and str(movement.order_id),
        "reason": movement.reason,
        "actor": movement.actor,
        "created_at": rfc3339(movement.created_at),
    }
