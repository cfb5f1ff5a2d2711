"""What orders and products look like, to the API and to the listeners of their events, and which
events there are."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.common.clock import rfc3339
from apps.common.schemas import (
    array,
    boolean,
    component,
    enum,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.events.catalogue import EventType, define
from apps.orders.enums import Fulfillment, OrderStatus
from apps.orders.models import (
    Order,
    OrderLine,
    Product,
    ReturnItem,
    Shipment,
    ShipmentItem,
    Stock,
)

PRODUCT = component(
    "Product",
    obj(
        {
            "id": uuid(),
            "sku": string("What orders name it by."),
            "name": string(),
            "price": integer("In the currency's minor unit."),
            "currency": string("ISO 4217."),
            "active": boolean("Whether it can be ordered."),
            "low_stock_threshold": nullable(
                integer("At this much available or less, `product.stock_low` is told; null = off.")
            ),
            "stock": obj(
                {
                    "on_hand": integer("On the shelf, reserved or not."),
                    "reserved": integer("Held for orders not yet shipped."),
                    "available": integer("What can still be ordered."),
                }
            ),
            "version": integer("Counts what clients write, not what orders do to the stock."),
            "created_at": timestamp(),
            "updated_at": timestamp(),
        }
    ),
    example={
        "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b06",
        "sku": "MUG-BLUE",
        "name": "Blue mug",
        "price": 1250,
        "currency": "EUR",
        "active": True,
        "low_stock_threshold": None,
        "stock": {"on_hand": 100, "reserved": 2, "available": 98},
        "version": 1,
        "created_at": "2026-11-21T09:30:00.000000Z",
        "updated_at": "2026-11-21T09:30:00.000000Z",
    },
)

_LINE = component(
    "OrderItem",
    obj(
        {
            "id": uuid(),
            "sku": string(),
            "name": string("The product's, when it was ordered."),
            "quantity": integer(),
            "shipped": integer("How many of them have been shipped."),
            "returned": integer("How many of those came back."),
            "unit_price": integer("The product's, when it was ordered."),
            "total": integer(),
        }
    ),
)

ORDER_PROPERTIES = {
    "id": uuid(),
    "number": integer("For people: unique, increasing, with gaps."),
    "external_id": nullable(string("The caller's own id, unique per storefront.")),
    "storefront": string("Its code."),
    "customer_id": string("The caller's own id of the customer."),
    "status": enum(list(OrderStatus.values)),
    "fulfillment": enum(list(Fulfillment.values), "How much of it has been shipped."),
    "currency": string("ISO 4217."),
    "total": integer("In the currency's minor unit."),
    "items": array(_LINE),
    "payments": obj(
        {
            "authorized": integer("Sums of what was recorded, in the currency's minor unit."),
            "captured": integer(),
            "refunded": integer(),
        }
    ),
    "tracking_company": nullable(string("Of the newest shipment, as the two below.")),
    "tracking_number": nullable(string()),
    "tracking_link": nullable(string(format="uri")),
    "reservation_expires_at": nullable(timestamp("When a pending order loses its stock.")),
    "version": integer(),
    "created_at": timestamp(),
    "updated_at": timestamp(),
}

ORDER_EXAMPLE: dict[str, Any] = {
    "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b07",
    "number": 1001,
    "external_id": None,
    "storefront": "demo-shop",
    "customer_id": "customer-1",
    "status": "pending",
    "fulfillment": "none",
    "currency": "EUR",
    "total": 2500,
    "items": [
        {
            "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b08",
            "sku": "MUG-BLUE",
            "name": "Blue mug",
            "quantity": 2,
            "shipped": 0,
            "returned": 0,
            "unit_price": 1250,
            "total": 2500,
        }
    ],
    "payments": {"authorized": 0, "captured": 0, "refunded": 0},
    "tracking_company": None,
    "tracking_number": None,
    "tracking_link": None,
    "reservation_expires_at": "2026-11-21T10:00:00.000000Z",
    "version": 1,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:00.000000Z",
}

# Events outlive an erasure, so they tell neither the address nor the caller's metadata.
ORDER_TOLD = component("OrderTold", obj(ORDER_PROPERTIES), example=ORDER_EXAMPLE)
PRIVATE_FIELDS = ("shipping_address", "metadata")

ORDER_CREATED = define("order.created", "An order was placed, its stock reserved.", ORDER_TOLD)
ORDER_UPDATED = define(
    "order.updated",
    "Details or items of an order changed, a part of it was shipped or came back (`shipment`, `return` "
    "in `changes`), a payment was recorded, or a deleted order was restored. `changes` leaves out "
    "`shipping_address` and `metadata`: read the order.",
    ORDER_TOLD,
    changes=True,
)
ORDER_DELETED = define("order.deleted", "An order was deleted.", ORDER_TOLD)
PRODUCT_STOCK_LOW = define(
    "product.stock_low",
    "What is available of a product fell to its `low_stock_threshold` or below; told once until "
    "there is enough again.",
    PRODUCT,
)


def _step(status: OrderStatus, summary: str) -> EventType:
    return define(f"order.{status.value}", summary, ORDER_TOLD, changes=True)


# The event of reaching a status.
REACHED: dict[OrderStatus, EventType] = {
    OrderStatus.CONFIRMED: _step(OrderStatus.CONFIRMED, "An order was confirmed."),
    OrderStatus.SHIPPED: _step(OrderStatus.SHIPPED, "An order was shipped; it left the stock."),
    OrderStatus.COMPLETED: _step(OrderStatus.COMPLETED, "An order was completed."),
    OrderStatus.CANCELED: _step(OrderStatus.CANCELED, "An order was canceled, its stock released."),
    OrderStatus.EXPIRED: _step(
        OrderStatus.EXPIRED, "An order's reservation ran out, its stock was released."
    ),
    OrderStatus.RETURNED: _step(
        OrderStatus.RETURNED, "An order came back; its items are in stock again."
    ),
}


def product_object(product: Product, stock: Stock) -> dict[str, Any]:
    return {
        "id": str(product.id),
        "sku": product.sku,
        "name": product.name,
        "price": product.price,
        "currency": product.currency,
        "active": product.is_active,
        "low_stock_threshold": stock.low_stock_threshold,
        "stock": {
            "on_hand": stock.on_hand,
            "reserved": stock.reserved,
            "available": stock.available,
        },
        "version": product.version,
        "created_at": rfc3339(product.created_at),
        "updated_at": rfc3339(product.updated_at),
    }


def line_object(line: OrderLine) -> dict[str, Any]:
    return {
        "id": str(line.id),
        "sku": line.sku,
        "name": line.name,
        "quantity": line.quantity,
        "shipped": line.shipped,
        "returned": line.returned,
        "unit_price": line.unit_price,
        "total": line.total,
    }


def fulfillment(lines: Sequence[OrderLine]) -> Fulfillment:
    """How much of an order with these lines has been shipped."""
    if not any(line.shipped for line in lines):
        return Fulfillment.NONE
    return Fulfillment.PARTIAL if any(line.unshipped for line in lines) else Fulfillment.FULL


def payments_object(order: Order) -> dict[str, int]:
    """What was recorded of the customer's money, summed."""
    return {
        "authorized": order.authorized,
        "captured": order.captured,
        "refunded": order.refunded,
    }


def shipment_object(
    shipment: Shipment, items: Iterable[ShipmentItem], skus: Mapping[UUID, str]
) -> dict[str, Any]:
    """`skus` are those of the order's lines, by their ids."""
    return {
        "id": str(shipment.id),
        "items": [
            {"sku": skus[item.line_id], "quantity": item.quantity}
            for item in sorted(items, key=lambda item: item.id)
        ],
        "tracking_company": shipment.tracking_company,
        "tracking_number": shipment.tracking_number,
        "tracking_link": shipment.tracking_link,
        "created_at": rfc3339(shipment.created_at),
    }


def returned_items(items: Iterable[ReturnItem], skus: Mapping[UUID, str]) -> list[dict[str, Any]]:
    """What came back in one return; `skus` are those of the order's lines, by their ids."""
    return [
        {"sku": skus[item.line_id], "quantity": item.quantity, "restock": item.restock}
        for item in sorted(items, key=lambda item: item.id)
    ]


def order_object(order: Order, lines: Sequence[OrderLine]) -> dict[str, Any]:
    """The order as every reader of its events may see it; `order.storefront` must be loaded."""
    return {
        "id": str(order.id),
        "number": order.number,
        "external_id": order.external_id,
        "storefront": order.storefront.code,
        "customer_id": order.customer_id,
        "status": order.status,
        "fulfillment": fulfillment(lines).value,
        "currency": order.currency,
        "total": order.total,
        "items": [line_object(line) for line in lines],
        "payments": payments_object(order),
        "tracking_company": order.tracking_company,
        "tracking_number": order.tracking_number,
        "tracking_link": order.tracking_link,
        "reservation_expires_at": moment(order.reservation_expires_at),
        "version": order.version,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
    }


def moment(value: datetime | None) -> str | None:
    """A time that may be missing, as the API tells it."""
    return None if value is None else rfc3339(value)
