"""Reads of the orders app, each within the rows of one account."""

from collections.abc import Iterable, Iterator, Set
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import BooleanField, F, Func, QuerySet, Value, prefetch_related_objects

from apps.common.ids import uuid7_bounds
from apps.common.keyset import OneOf, older
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
    """The products of an account with their stock; `q` is the start of a sku, or words of sku and name,
    each by its start, in either case."""
    rows = Product.objects.select_related("stock").filter(account_id=account_id)
    if q is not None:
        rows = rows.filter(OneOf("pk", _found(account_id, q)))
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
    """The orders of an account that are not deleted, for apps.common.keyset; `created_*` are exclusive."""
    rows = Order.objects.select_related("storefront").filter(deleted_at=None)
    wanted: dict[str, Any] = {"account_id": account_id}
    ids = ["pk"]
    # Storefront and product are looked up first: indexes begin with their ids.
    if storefront is not None:
        wanted["storefront_id"] = _only(storefronts(account_id).filter(code=storefront))
    if status is not None:
        wanted["status"] = status
    if customer_id is not None:
        wanted["customer_id"] = customer_id
    if external_id is not None:
        # By the unique index of each storefront; an account has a few.
        rows = rows.filter(storefront__in=storefronts(account_id))
        wanted["external_id"] = external_id
    if sku is not None:
        # A join without duplicates: an order has one line of a product.
        rows = rows.alias(product_id=F("lines__product_id"), line_order=F("lines__order_id"))
        wanted["product_id"] = _only(products(account_id, sku=sku))
        # A list by its lines alone is bounded by them alone: by both it would be thought much shorter.
        ids = ["line_order"] if _index(wanted.keys()) == ("product_id",) else ["pk", "line_order"]
    rows = _by_index(rows, wanted, ids)
    # Order ids carry created_at to the microsecond (uuid7_at). A condition on that beside those on the id
    # would make the planner think the range much smaller than it is.
    if created_after is not None:
        _, above = uuid7_bounds(created_after)
        rows = rows.filter(**{f"{name}__gt": above for name in ids})
    if created_before is not None:
        below, _ = uuid7_bounds(created_before)
        rows = rows.filter(**{f"{name}__lt": below for name in ids})
    return rows


def _by_index(rows: "QuerySet[Order]", wanted: dict[str, Any], ids: list[str]) -> "QuerySet[Order]":
    """Those of `rows` that have what is `wanted`, in the order of the index that serves it."""
    index = _index(wanted.keys())
    equal = {name: value for name, value in wanted.items() if name not in index}
    exactly = (OneOf(name, Value([wanted[name]])) for name in index)
    return rows.filter(*exactly, **equal).order_by(*index, *(f"-{name}" for name in ids))


def _index(wanted: Set[str]) -> tuple[str, ...]:
    """The columns before the id in the index that serves a list by `wanted`; none: the planner chooses."""
    if "external_id" in wanted:
        return ()
    if "customer_id" in wanted:
        return ("account_id", "customer_id")
    if "product_id" in wanted:
        # Beside a status the planner chooses: it knows how many orders have which.
        return () if "status" in wanted else ("product_id",)
    if "storefront_id" in wanted:
        return ("storefront_id", "status") if "status" in wanted else ("storefront_id",)
    return ("account_id", "status") if "status" in wanted else ("account_id",)


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
    rows = rows.prefetch_related("lines", "shipments__items")
    while found := list(older(rows, after)[:chunk]):
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
    account_id: UUID, customer_id: str, *, after: UUID, until: UUID, limit: int
) -> list[UUID]:
    """Ids of a customer's orders between these, in their order, deleted ones among them."""
    rows = Order.objects.filter(account_id=account_id, customer_id=customer_id)
    rows = rows.filter(pk__gt=after, pk__lte=until)
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


def _found(account_id: UUID, q: str) -> ArraySubquery:
    """The ids of the products that `q` finds. As an array: then they are found by their words, never by
    looking through all products from the newest on."""
    words = Func("account_id", "sku", "name", function="orders_product_words")
    asked = Func(Value(account_id), Value(q), function="orders_product_query")
    found = Func(
        words, asked, template="%(expressions)s", arg_joiner=" @@ ", output_field=BooleanField()
    )
    return ArraySubquery(Product.objects.filter(found).values("pk"))


def _only(rows: "QuerySet[Any]") -> UUID:
    """The id of the one row; when there is none, one that nothing has."""
    found: UUID | None = rows.values_list("pk", flat=True).first()
    return found or UUID(int=0)
