"""Changes of orders that were placed: each locks the order, decides, and writes all or nothing."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor, system
from apps.common.retries import retried
from apps.common.versions import require_version
from apps.orders.enums import OrderStatus
from apps.orders.events import ORDER_DELETED
from apps.orders.models import Order, OrderLine
from apps.orders.services.asked import external_id_taken, reservation_end
from apps.orders.services.edits import TRACKING, Edit, locked_edit
from apps.orders.services.saving import save

EXPIRE = "orders.expire"
EXPIRE_BATCH = 100

# Written as they are; the others mean more than a new value.
PLAIN_FIELDS = (*TRACKING, "shipping_address", "metadata")


@retried
@transaction.atomic
def change_order(
    *,
    account_id: UUID,
    order_id: UUID,
    changes: Mapping[str, Any],
    actor: Actor,
    expected: frozenset[int] | None = None,
) -> tuple[Order, list[OrderLine]]:
    """Change plain fields, `items` (an Asked) and `status` in one step, told by one event.

    Items change first, so that a step moves the stock of the new ones. `shipped` ships what is left,
    `returned` puts all that is out back into stock. Raises OrderNotFound, Stale, OrderNotEditable,
    AlreadyShipped, OrderInvalid, InsufficientStock and InvalidTransition.
    """
    edit = locked_edit(order_id, actor, account_id=account_id, deleted_at=None)
    require_version(edit.order.version, expected)
    for name in PLAIN_FIELDS:
        if name in changes:
            edit.set(name, changes[name])
    if "items" in changes:
        edit.replace_items(changes["items"])
    if "status" in changes:
        tracked = [name for name in TRACKING if name in changes]
        edit.move_to(OrderStatus(changes["status"]), tracked=tracked)
    save([edit])
    return edit.order, edit.lines


@retried
@transaction.atomic
def delete_order(
    *, account_id: UUID, order_id: UUID, actor: Actor, expected: frozenset[int] | None = None
) -> None:
    """Take the order out of sight and release what it holds; raises OrderNotFound, also the second
    time, and Stale."""
    edit = locked_edit(order_id, actor, account_id=account_id, deleted_at=None)
    require_version(edit.order.version, expected)
    edit.release()
    edit.set_moment("reservation_expires_at", None)
    edit.set_moment("deleted_at", edit.at)
    edit.event = ORDER_DELETED
    save([edit])


@retried
@transaction.atomic
def restore_order(*, order_id: UUID, actor: Actor) -> Order:
    """Bring a deleted order back as it was, reserving its stock again; for the back office.

    Raises OrderNotFound when no deleted order has this id, InsufficientStock, and ExternalIdTaken when
    another order has its external_id by now.
    """
    edit = locked_edit(order_id, actor, deleted_at__isnull=False)
    order = edit.order
    if order.external_id is not None and _is_reused(order):
        raise external_id_taken(order.external_id)
    edit.reserve()
    edit.set_moment("deleted_at", None)
    if order.status == OrderStatus.PENDING:
        ends = reservation_end(order.storefront, edit.at)
        edit.set_moment("reservation_expires_at", ends)
    save([edit])
    return order


@retried
@transaction.atomic
def expire_orders() -> int:
    """Expire a batch of pending orders whose reservation ran out; returns how many.

    Orders that someone else has locked are left for the next sweep: they are just being confirmed,
    canceled, or expired by another worker.
    """
    due = (
        Order.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("storefront")
        .filter(reservation_expires_at__lte=Now())
        .order_by("reservation_expires_at")[:EXPIRE_BATCH]
    )
    orders = list(due)
    prefetch_related_objects(orders, "lines")
    actor, at = system(EXPIRE), clock.now()
    edits = [Edit(order, actor, at) for order in orders]
    for edit in edits:
        edit.move_to(OrderStatus.EXPIRED)
    save(edits)
    return len(edits)


def _is_reused(order: Order) -> bool:
    return Order.objects.filter(
        storefront=order.storefront, external_id=order.external_id, deleted_at=None
    ).exists()
