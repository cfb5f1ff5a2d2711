"""Changes of products and of what their owners count or receive of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Fault, Stale
from apps.common.retries import retried
from apps.common.versions import require_version
from apps.orders.enums import MAX_ON_HAND, MovementKind
from apps.orders.errors import OrderInvalid, SkuTaken, StockReserved
from apps.orders.models import Product, Stock
from apps.orders.selectors import product, product_by_sku, products
from apps.orders.services.ledger import Move, locked_stock, move, tell_low_stock

# Columns that clients write; `stock` and `low_stock_threshold` belong to the stock row.
FIELDS = ("name", "price", "currency", "is_active")


class Upserted(NamedTuple):
    """A product, and whether it was made just now."""

    product: Product
    created: bool


@transaction.atomic
def create_product(
    *, account_id: UUID, sku: str, fields: Mapping[str, Any], actor: Actor
) -> Product:
    """Make a product with its stock; raises SkuTaken.

    `fields` has those of FIELDS and, if wanted, `low_stock_threshold` and `stock` (pieces on hand).
    """
    made = _insert(account_id, sku, fields, actor)
    if made is None:
        raise sku_taken(sku)
    return made


def sku_taken(sku: str) -> SkuTaken:
    """The error for a second product under one sku."""
    detail = f"You have a product {sku!r} already. PUT /products/by-sku/{{sku}} replaces it."
    return SkuTaken(detail, faults=[Fault("/sku", SkuTaken.code, detail)])


@retried
@transaction.atomic
def put_product(
    *,
    account_id: UUID,
    sku: str,
    fields: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> Upserted:
    """Make the product of this sku or bring it into this state; raises StockReserved, Stale."""
    if expected is None:
        made = _insert(account_id, sku, fields, actor)
        if made is not None:
            return Upserted(made, created=True)
    present = product_by_sku(account_id, sku)
    if present is None:
        raise Stale("There is no product of this sku yet; to make one, leave If-Match out.")
    changed = _update(account_id, present.pk, fields, actor, expected)
    return Upserted(changed, created=False)


@retried
@transaction.atomic
def update_product(
    *,
    account_id: UUID,
    product_id: UUID,
    changes: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> Product:
    """Change a product; orders placed before keep their prices. Raises ProductNotFound, Stale."""
    return _update(account_id, product_id, changes, actor, expected)


@retried
@transaction.atomic
def adjust_stock(
    *, account_id: UUID, product_id: UUID, delta: int, reason: str, actor: Actor
) -> Product:
    """Add `delta` pieces (received) or take some away (adjusted); raises ProductNotFound, OrderInvalid
    and StockReserved."""
    _lock(account_id, product_id)
    row = locked_stock([product_id])[product_id]
    _move_on_hand(row, delta, reason, actor, "/delta")
    return _touched(account_id, product_id)


@retried
@transaction.atomic
def set_stock(
    *,
    account_id: UUID,
    product_id: UUID,
    on_hand: int,
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> Product:
    """Say how many pieces were counted; raises ProductNotFound, Stale, StockReserved."""
    return _update(account_id, product_id, {"stock": on_hand}, actor, expected)


def _insert(account_id: UUID, sku: str, fields: Mapping[str, Any], actor: Actor) -> Product | None:
    """None when the account has a product of this sku."""
    made = Product(
        account_id=account_id, sku=sku, **{name: fields[name] for name in FIELDS if name in fields}
    )
    Product.objects.bulk_create([made], ignore_conflicts=True)
    if not Product.objects.filter(pk=made.pk).exists():
        return None
    threshold, pieces = fields.get("low_stock_threshold"), fields.get("stock") or 0
    row = Stock.objects.create(
        product=made,
        low_stock_threshold=threshold,
        is_low=threshold is not None and threshold >= pieces,
    )
    if pieces:
        received = Move(MovementKind.RECEIVED, made.pk, pieces, reason="first stock")
        move([received], {made.pk: row}, actor, clock.now())
    return product(account_id, made.pk)


def _update(
    account_id: UUID,
    product_id: UUID,
    changes: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None,
) -> Product:
    present = _lock(account_id, product_id)
    require_version(present.version, expected)
    altered = {
        name: changes[name]
        for name in FIELDS
        if name in changes and changes[name] != getattr(present, name)
    }
    row = locked_stock([product_id])[product_id]
    moved = _change_stock(row, changes, actor)
    if not altered and not moved:
        return present
    return _touched(account_id, product_id, **altered)


def _change_stock(row: Stock, changes: Mapping[str, Any], actor: Actor) -> bool:
    """Bring the stock row to what `changes` say of it; whether that changed anything."""
    changed = False
    threshold = changes.get("low_stock_threshold", row.low_stock_threshold)
    if threshold != row.low_stock_threshold:
        # A threshold set above what there is has been reached already: nothing fell.
        row.low_stock_threshold = threshold
        row.is_low = threshold is not None and row.available <= threshold
        row.save(update_fields=["low_stock_threshold", "is_low"])
        changed = True
    on_hand = changes.get("stock")
    if on_hand is not None and on_hand != row.on_hand:
        _move_on_hand(row, on_hand - row.on_hand, "counted", actor, "/on_hand", counted=True)
        changed = True
    return changed


def _move_on_hand(
    row: Stock, delta: int, reason: str, actor: Actor, pointer: str, *, counted: bool = False
) -> None:
    after = row.on_hand + delta
    if after > MAX_ON_HAND:
        detail = f"Stock may be {MAX_ON_HAND:,} at the most."
        raise OrderInvalid(detail, faults=[Fault(pointer, "max_value", detail)])
    if after < row.reserved:
        raise StockReserved(
            f"{row.on_hand} are on hand, {row.reserved} of them reserved for orders: no less than"
            " those can stay. Cancel orders first."
        )
    kind = MovementKind.RECEIVED if delta > 0 and not counted else MovementKind.ADJUSTED
    at = clock.now()
    move([Move(kind, row.pk, delta, reason=reason)], {row.pk: row}, actor, at)
    tell_low_stock([row.pk], actor=actor, at=at)


def _lock(account_id: UUID, product_id: UUID) -> Product:
    """The product as it is, locked; raises ProductNotFound. FOR NO KEY UPDATE: orders that refer to it
    need not wait."""
    rows = Product.objects.select_for_update(no_key=True).filter(account_id=account_id)
    rows.filter(pk=product_id).first()
    return product(account_id, product_id)


def _touched(account_id: UUID, product_id: UUID, **altered: Any) -> Product:
    products(account_id).filter(pk=product_id).update(
        **altered, version=F("version") + 1, updated_at=Now()
    )
    return product(account_id, product_id)
