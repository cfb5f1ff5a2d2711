"""Orders as lines of a file, for programs (NDJSON) and for spreadsheets (CSV)."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from apps.common.api.streaming import csv_rows
from apps.orders.api.representations import ADDRESS_FIELDS, own_order_object
from apps.orders.models import Order
from apps.orders.selectors import lines_of

_OF_ORDER = (
    "id",
    "number",
    "external_id",
    "storefront",
    "customer_id",
    "status",
    "fulfillment",
    "currency",
    "total",
    "created_at",
    "updated_at",
    "tracking_company",
    "tracking_number",
    "tracking_link",
)
_OF_ITEM = ("sku", "name", "quantity", "unit_price", "total")
COLUMNS = (
    *_OF_ORDER,
    *(f"shipping_{name}" for name in ADDRESS_FIELDS),
    *(f"item_{name}" for name in _OF_ITEM),
)


def ndjson(chunks: Iterable[list[Order]]) -> Iterator[bytes]:
    """A line of JSON for each order, as `GET /orders/{id}` shows it."""
    for orders in chunks:
        yield b"".join(
            orjson.dumps(own_order_object(order, lines_of(order)), option=orjson.OPT_APPEND_NEWLINE)
            for order in orders
        )


def comma_separated(chunks: Iterable[list[Order]]) -> Iterator[bytes]:
    """RFC 4180 with a header line; a row for each item, with the columns of its order repeated.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    yield csv_rows([COLUMNS])
    for orders in chunks:
        yield csv_rows(row for order in orders for row in _rows_of(order))


def _rows_of(order: Order) -> Iterator[list[Any]]:
    shown = own_order_object(order, lines_of(order))
    address = shown["shipping_address"] or {}
    of_order = [shown[name] for name in _OF_ORDER] + [address.get(name) for name in ADDRESS_FIELDS]
    for item in shown["items"]:
        yield [*of_order, *(item[name] for name in _OF_ITEM)]
