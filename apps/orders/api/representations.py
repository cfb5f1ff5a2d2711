"""How the objects of the orders app look to their owner; what events tell too is in `events`."""

from collections.abc import Iterable, Sequence
from typing import Any

from apps.common.clock import rfc3339
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
from apps.orders.enums import MovementKind, OrderStatus, PaymentKind
from apps.orders.events import (
    ORDER_EXAMPLE,
    ORDER_PROPERTIES,
    order_object,
    returned_items,
    shipment_object,
)
from apps.orders.models import (
    Order,
    OrderChange,
    OrderLine,
    Payment,
    Return,
    Shipment,
    StockMovement,
    Storefront,
)
from apps.orders.selectors import shipments_of
from apps.orders.states import Way

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

SHIPMENT = component(
    "Shipment",
    obj(
        {
            "id": uuid(),
            "items": array(obj({"sku": string(), "quantity": integer()})),
            "tracking_company": nullable(string()),
            "tracking_number": nullable(string()),
            "tracking_link": nullable(string(format="uri")),
            "created_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b09",
        "items": [{"sku": "MUG-BLUE", "quantity": 1}],
        "tracking_company": "DHL",
        "tracking_number": "00340434161094042557",
        "tracking_link": "https://www.dhl.com/track?id=00340434161094042557",
        "created_at": "2026-11-21T09:50:00.000000Z",
    },
)

RETURN = component(
    "Return",
    obj(
        {
            "id": uuid(),
            "items": array(
                obj(
                    {
                        "sku": string(),
                        "quantity": integer(),
                        "restock": boolean("Back in stock; if not, written off."),
                    }
                )
            ),
            "reason": string(),
            "created_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b0a",
        "items": [{"sku": "MUG-BLUE", "quantity": 1, "restock": False}],
        "reason": "broken on the way",
        "created_at": "2026-11-25T14:10:00.000000Z",
    },
)

PAYMENT = component(
    "Payment",
    obj(
        {
            "id": uuid(),
            "kind": enum(list(PaymentKind.values)),
            "amount": integer("In the currency's minor unit."),
            "currency": string("The order's; ISO 4217."),
            "reference": string("The payment service's own; one payment of each kind has it."),
            "created_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b0b",
        "kind": "captured",
        "amount": 2500,
        "currency": "EUR",
        "reference": "ch_3Qx7",
        "created_at": "2026-11-21T09:31:00.000000Z",
    },
)

TRANSITIONS = component(
    "OrderTransitions",
    obj(
        {
            "order_id": uuid(),
            "status": enum(list(OrderStatus.values), "Where the order stands."),
            "transitions": array(
                obj(
                    {
                        "to": enum(list(OrderStatus.values)),
                        "open": boolean("Whether PATCH with this status would go through now."),
                        "reason": nullable(string("Why it is closed; null when it is open.")),
                        "actors": array(
                            enum(["api_key", "system", "user"]), "Who can ever take this step."
                        ),
                    }
                )
            ),
        }
    ),
    example={
        "order_id": ORDER_EXAMPLE["id"],
        "status": "completed",
        "transitions": [
            {"to": "returned", "open": True, "reason": None, "actors": ["api_key", "user"]},
            {
                "to": "canceled",
                "open": False,
                "reason": "The order is completed and cannot become canceled; from there it can "
                "become returned.",
                "actors": [],
            },
        ],
    },
)

ORDER = component(
    "Order",
    obj(
        ORDER_PROPERTIES
        | {
            "shipments": array(SHIPMENT, "Oldest first."),
            "shipping_address": nullable(_ADDRESS),
            "metadata": free_object("The caller's own."),
        }
    ),
    example={
        **ORDER_EXAMPLE,
        "shipments": [],
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


def own_order_object(order: Order, lines: Sequence[OrderLine]) -> dict[str, Any]:
    """The order with what only its owner may see; prefetch `shipments__items` for many."""
    skus = {line.id: line.sku for line in lines}
    return {
        **order_object(order, lines),
        "shipments": [
            shipment_object(shipment, shipment.items.all(), skus)
            for shipment in shipments_of(order, lines)
        ],
        "shipping_address": order.shipping_address,
        "metadata": order.metadata,
    }


def part_object(shipment: Shipment) -> dict[str, Any]:
    """A shipment by itself, its items and their lines prefetched."""
    items = shipment.items.all()
    return shipment_object(shipment, items, {item.line_id: item.line.sku for item in items})


def return_object(record: Return) -> dict[str, Any]:
    """A return, its items and their lines prefetched."""
    items = record.items.all()
    return {
        "id": str(record.id),
        "items": returned_items(items, {item.line_id: item.line.sku for item in items}),
        "reason": record.reason,
        "created_at": rfc3339(record.created_at),
    }


def payment_object(payment: Payment) -> dict[str, Any]:
    """`payment.order` must be loaded."""
    return {
        "id": str(payment.id),
        "kind": payment.kind,
        "amount": payment.amount,
        "currency": payment.order.currency,
        "reference": payment.reference,
        "created_at": rfc3339(payment.created_at),
    }


def transitions_object(order: Order, ways: Iterable[Way]) -> dict[str, Any]:
    return {
        "order_id": str(order.id),
        "status": order.status,
        "transitions": [
            {
                "to": way.target.value,
                "open": way.closed is None,
                "reason": way.closed,
                "actors": sorted(kind.value for kind in way.actors),
            }
            for way in ways
        ],
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
