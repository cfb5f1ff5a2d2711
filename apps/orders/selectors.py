"""Reads of the orders app, each within the rows of one account."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet, prefetch_related_objects

from apps.common.ids import uuid7_floor
from apps.orders.errors import OrderNotFound, ProductNotFound, StorefrontNotFound
from apps.orders.models import (
    Order,
    OrderChange,
    OrderLine,
    Payment,
    Product,
    Return,
    Shipment,
    Stock,
    StockMovement,
    Storefront,
)


def storefronts(account_id: UUID) -> "QuerySet[Storefront]":
    """The storefronts of an account."""
    return Storefront.objects.filter(account_id=account_id)


def storefront(account_id: UUID, storefront_id: UUID) -> Storefront:
    """One of them; raises StorefrontNotFound."""
    found = storefronts(account_id).filter(pk=storefront_id).first()
    if found is None:
        raise StorefrontNotFound("There is no such storefront.")
    return found


def products(
    account_id: UUID,
    *,
    q: str | None = None,
    sku: str | None = None,
    currency: str | None = None,
    active: bool | None = None,
) -> "QuerySet[Product]":
    """The products of an account with their stock; `q` is the start of a sku or part of a name."""
    rows = Product.objects.select_related("stock").filter(account_id=account_id)
    if q is not None:
        rows = rows.filter(Q(sku__startswith=q) | Q(name__icontains=q))
    if sku is not None:
        rows = rows.filter(sku=sku)
    if currency is not None:
        rows = rows.filter(currency=currency)
    if active is not None:
        rows = rows.filter(is_active=active)
    return rows


def product(account_id: UUID, product_id: UUID) -> Product:
    """One of them; raises ProductNotFound."""
    found = products(account_id).filter(pk=product_id).first()
    if found is None:
        raise ProductNotFound("There is no such product.")
    return found


def product_by_sku(account_id: UUID, sku: str) -> Product | None:
    """The product that orders name by `sku`."""
    return products(account_id, sku=sku).first()


def stock_movements(account_id: UUID, product_id: UUID) -> "QuerySet[StockMovement]":
    """The ledger of a product; raises ProductNotFound."""
    return StockMovement.objects.filter(product=product(account_id, product_id))


def orders(
    account_id: UUID,
    *,
    status: str | None = None,
    storefront: str | None = None,
    customer_id: str | None = None,
    external_id: str | None = None,
    sku: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> "QuerySet[Order]":
    """The orders of an account that are not deleted; `created_*` are exclusive."""
    rows = Order.objects.select_related("storefront").filter(account_id=account_id, deleted_at=None)
    if status is not None:
        rows = rows.filter(status=status)
    # Storefront and product are looked up first: their ids as constants let the planner choose by how
    # many orders this very one has, between an index of its own and the account's.
    if storefront is not None:
        rows = rows.filter(storefront_id=_only(storefronts(account_id).filter(code=storefront)))
    if customer_id is not None:
        rows = rows.filter(customer_id=customer_id)
    if external_id is not None:
        # By the unique index of each storefront; an account has a few.
        rows = rows.filter(storefront__in=storefronts(account_id), external_id=external_id)
    if sku is not None:
        # A join without duplicates: an order has one line of a product.
        rows = rows.filter(lines__product_id=_only(products(account_id, sku=sku)))
    # Order ids carry the millisecond of created_at (uuid7_at), so that their index finds the range.
    if created_after is not None:
        rows = rows.filter(pk__gte=uuid7_floor(created_after), created_at__gt=created_after)
    if created_before is not None:
        rows = rows.filter(created_at__lt=created_before, pk__lt=_ceiling(created_before))
    return rows


def order(account_id: UUID, order_id: UUID) -> Order:
    """One order that is not deleted; raises OrderNotFound."""
    found = orders(account_id).filter(pk=order_id).first()
    if found is None:
        raise OrderNotFound("There is no such order.")
    return found


def order_version(account_id: UUID, order_id: UUID) -> int:
    """The version of one order, and nothing else of it; raises OrderNotFound."""
    mine = Order.objects.filter(pk=order_id, account_id=account_id, deleted_at=None)
    version = mine.values_list("version", flat=True).first()
    if version is None:
        raise OrderNotFound("There is no such order.")
    return version


def whole_orders(
    rows: "QuerySet[Order]", *, after: UUID | None = None, chunk: int = 200
) -> Iterator[list[Order]]:
    """Those of `orders` with all that belongs to them, newest first, a chunk at a time: each is a read of
    its own, so that no transaction stays open however long the reader takes."""
    rows = rows.prefetch_related("lines", "shipments__items").order_by("-pk")
    while found := list((rows if after is None else rows.filter(pk__lt=after))[:chunk]):
        yield found
        after = found[-1].pk
        for order in found:
            # Order and line know each other: a circle, which the collector of garbage ends late.
            order._prefetched_objects_cache.clear()  # type: ignore[attr-defined]  # Django's own


def lines_of(order: Order) -> list[OrderLine]:
    """The lines in the order in which they were added; from memory when they were prefetched."""
    return sorted(order.lines.all(), key=lambda line: line.id)


def shipments_of(order: Order, lines: Iterable[OrderLine]) -> list[Shipment]:
    """The shipments, oldest first; from memory when they were prefetched (`shipments__items`), and
    without a query when nothing was shipped."""
    if not any(line.shipped for line in lines):
        return []
    prefetch_related_objects([order], "shipments__items")
    return sorted(order.shipments.all(), key=lambda shipment: shipment.id)


def shipments(account_id: UUID, order_id: UUID) -> "QuerySet[Shipment]":
    """The shipments of an order with their items; raises OrderNotFound."""
    rows = Shipment.objects.filter(order=order(account_id, order_id))
    return rows.prefetch_related("items__line")


def returns(account_id: UUID, order_id: UUID) -> "QuerySet[Return]":
    """The returns of an order with their items; raises OrderNotFound."""
    rows = Return.objects.filter(order=order(account_id, order_id))
    return rows.prefetch_related("items__line")


def payments(account_id: UUID, order_id: UUID) -> "QuerySet[Payment]":
    """The payments of an order; raises OrderNotFound."""
    rows = Payment.objects.select_related("order")
    return rows.filter(order=order(account_id, order_id))


def orders_of_customer(
    account_id: UUID, customer_id: str, *, after: UUID, limit: int
) -> list[UUID]:
    """Ids of a customer's orders after this one, in their order, deleted ones among them."""
    rows = Order.objects.filter(account_id=account_id, customer_id=customer_id, pk__gt=after)
    # Each half has an index of its own.
    halves = (rows.filter(deleted_at=None), rows.filter(deleted_at__isnull=False))
    ids = [half.order_by("pk").values_list("pk", flat=True)[:limit] for half in halves]
    return sorted({*ids[0], *ids[1]})[:limit]


def history(account_id: UUID, order_id: UUID) -> "QuerySet[OrderChange]":
    """Every change of an order; raises OrderNotFound."""
    return OrderChange.objects.filter(order=order(account_id, order_id))


def low_products(order_ids: Iterable[UUID]) -> list[UUID]:
    """The products in these orders that are at their threshold without that having been told."""
    ordered = OrderLine.objects.filter(order__in=list(order_ids)).values("product")
    low = Stock.objects.filter(
        product__in=ordered,
        is_low=False,
        low_stock_threshold__gte=F("on_hand") - F("reserved"),
    )
    return list(low.values_list("pk", flat=True))


class Drift(NamedTuple):
    """The counters of a product beside the sums of its ledger."""

    product_id: UUID
    on_hand: int
    reserved: int
    ledger_on_hand: int
    ledger_reserved: int

    @property
    def has_drifted(self) -> bool:
        return (self.on_hand, self.reserved) != (self.ledger_on_hand, self.ledger_reserved)


# One statement, so one snapshot: counters and ledger always change together.
_DRIFT = """
WITH batch AS (
  SELECT product_id, on_hand, reserved FROM orders_stock
   WHERE product_id > %(after)s ORDER BY product_id LIMIT %(limit)s
)
SELECT b.product_id, b.on_hand, b.reserved, m.on_hand, m.reserved FROM batch b
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(on_hand), 0)::bigint AS on_hand, coalesce(sum(reserved), 0)::bigint AS reserved
     FROM orders_stockmovement WHERE product_id = b.product_id) m
 ORDER BY b.product_id
"""


def compared_stock(*, after: UUID, limit: int) -> list[Drift]:
    """The next `limit` products after the id `after`, counters beside the sums of their ledgers."""
    with connection.cursor() as cursor:
        cursor.execute(_DRIFT, {"after": after, "limit": limit})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [Drift(*row) for row in rows]


def _only(rows: "QuerySet[Any]") -> UUID:
    """The id of the one row; when there is none, one that nothing has."""
    found: UUID | None = rows.values_list("pk", flat=True).first()
    return found or UUID(int=0)


def _ceiling(moment: datetime) -> UUID:
    """Above every id of the millisecond of `moment`."""
    return UUID(int=uuid7_floor(moment).int + (1 << 80))
