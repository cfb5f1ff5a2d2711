"""The one way in which stock moves after an order was placed: lock, write movements, fold them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import F

from apps.common.actor import Actor
from apps.common.ids import uuid7_at
from apps.events.publishing import draft, publish
from apps.orders.enums import MovementKind
from apps.orders.events import PRODUCT_STOCK_LOW, product_object
from apps.orders.models import Stock, StockMovement

# What a movement of one piece does: (on_hand, reserved).
_EFFECT: dict[MovementKind, tuple[int, int]] = {
    MovementKind.RECEIVED: (1, 0),
    MovementKind.ADJUSTED: (1, 0),
    MovementKind.RESERVED: (0, 1),
    MovementKind.RELEASED: (0, -1),
    MovementKind.SHIPPED: (-1, -1),
    MovementKind.RETURNED: (1, 0),
}


@dataclass(frozen=True, slots=True)
class Move:
    """`quantity` pieces of a product move; only ADJUSTED takes a negative number of them."""

    kind: MovementKind
    product_id: UUID
    quantity: int
    order_id: UUID | None = None
    reason: str = ""

    @property
    def on_hand(self) -> int:
        return self.quantity * _EFFECT[self.kind][0]

    @property
    def reserved(self) -> int:
        return self.quantity * _EFFECT[self.kind][1]


def locked_stock(product_ids: Iterable[UUID]) -> dict[UUID, Stock]:
    """The stock of these products, locked in the order of their ids, as everybody locks it."""
    rows = Stock.objects.select_for_update(no_key=True).filter(product_id__in=set(product_ids))
    return {row.product_id: row for row in rows.order_by("product_id")}


def move(moves: Iterable[Move], stock: Mapping[UUID, Stock], actor: Actor, at: datetime) -> None:
    """Write `moves` into the ledger and fold them into the counters.

    `stock` comes from `locked_stock` of this transaction. The caller has made sure that no counter
    leaves its bounds; if not, a constraint refuses.
    """
    moves = list(moves)
    for one in moves:
        row = stock[one.product_id]
        row.on_hand += one.on_hand
        row.reserved += one.reserved
    touched = [stock[product_id] for product_id in {one.product_id for one in moves}]
    for row in touched:
        row.is_low = row.is_low and _is_at_threshold(row)
    Stock.objects.bulk_update(touched, ["on_hand", "reserved", "is_low"])
    StockMovement.objects.bulk_create(
        StockMovement(
            id=uuid7_at(at),
            product_id=one.product_id,
            order_id=one.order_id,
            kind=one.kind,
            on_hand=one.on_hand,
            reserved=one.reserved,
            reason=one.reason,
            actor=actor.as_json(),
            created_at=at,
        )
        for one in moves
    )


def tell_low_stock(product_ids: Iterable[UUID], *, actor: Actor, at: datetime) -> None:
    """Publish product.stock_low for those of the products that reached their threshold and of which
    that was not told yet; call it in a transaction."""
    reached = (
        Stock.objects.select_for_update(no_key=True, of=("self",))
        .select_related("product")
        .filter(
            product_id__in=set(product_ids),
            is_low=False,
            low_stock_threshold__gte=F("on_hand") - F("reserved"),
        )
        .order_by("product_id")
    )
    low = list(reached)
    Stock.objects.filter(pk__in=[row.pk for row in low]).update(is_low=True)
    for row in low:
        told = draft(
            PRODUCT_STOCK_LOW,
            account_id=row.product.account_id,
            subject=row.product_id,
            object=product_object(row.product, row),
            actor=actor,
            at=at,
        )
        publish(told)


def _is_at_threshold(row: Stock) -> bool:
    return row.low_stock_threshold is not None and row.available <= row.low_stock_threshold
