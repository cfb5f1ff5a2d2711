"""Shipping an order in parts, and taking parts of it back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from apps.common.actor import Actor
from apps.common.errors import Fault
from apps.common.retries import retried
from apps.orders.enums import MAX_SHIPMENTS, OrderStatus
from apps.orders.errors import MoreThanLeft, OrderInvalid, TooManyShipments
from apps.orders.models import Order, OrderLine, Shipment
from apps.orders.services.asked import CORRECT, Asked
from apps.orders.services.edits import Back, Edit, locked_edit
from apps.orders.services.saving import save


class BackBySku(NamedTuple):
    """What the caller says came back: like Back, by sku."""

    sku: str
    quantity: int
    restock: bool = True


@retried
@transaction.atomic
def ship_order(
    *,
    account_id: UUID,
    order_id: UUID,
    items: Asked | None,
    tracking: Mapping[str, str | None],
    actor: Actor,
) -> tuple[Order, list[OrderLine]]:
    """Ship these items of a confirmed order, None for all that is left; with the last the order is
    shipped.

    `tracking` has those of TRACKING that are known. Raises OrderNotFound, InvalidTransition, OrderInvalid
    for a sku that the order does not have, MoreThanLeft and TooManyShipments.
    """
    edit = locked_edit(order_id, actor, account_id=account_id, deleted_at=None)
    left = {line.id: line.unshipped for line in edit.lines if line.unshipped}
    parts = left if items is None else _parts(items, edit.lines, left, "to be shipped")
    if parts != left:
        _require_room(edit)
    edit.ship(parts, tracking)
    save([edit])
    return edit.order, edit.lines


@retried
@transaction.atomic
def return_order(
    *,
    account_id: UUID,
    order_id: UUID,
    items: Sequence[BackBySku] | None,
    reason: str,
    actor: Actor,
) -> tuple[Order, list[OrderLine]]:
    """Record what came back of what was shipped, None for all of it and into stock; with the last piece
    of the order it is returned.

    Raises OrderNotFound, OrderInvalid for a sku that the order does not have, and MoreThanLeft.
    """
    edit = locked_edit(order_id, actor, account_id=account_id, deleted_at=None)
    out = {line.id: line.out for line in edit.lines if line.out}
    if not out:
        raise MoreThanLeft("Nothing of the order is shipped that has not come back.")
    if items is None:
        parts = [Back(line_id, quantity) for line_id, quantity in out.items()]
    else:
        asked = Asked.of(item._asdict() for item in items)
        _parts(asked, edit.lines, out, "out")
        parts = _merged(items, edit.lines)
    edit.take_back(parts, reason)
    save([edit])
    return edit.order, edit.lines


def _parts(
    asked: Asked, lines: Iterable[OrderLine], left: Mapping[UUID, int], what: str
) -> dict[UUID, int]:
    """Quantities by line; raises OrderInvalid and MoreThanLeft."""
    ids = {line.sku: line.id for line in lines}
    strangers = [
        Fault(f"{asked.pointer(sku)}/sku", "not_in_order", f"The order has no {sku}.")
        for sku in asked.skus
        if sku not in ids
    ]
    if strangers:
        raise OrderInvalid(CORRECT, faults=strangers)
    parts = {ids[sku]: quantity for sku, quantity in asked.quantities.items()}
    too_much = [
        more_than_left(asked, sku, left.get(ids[sku], 0), what)
        for sku, quantity in asked.quantities.items()
        if quantity > left.get(ids[sku], 0)
    ]
    if too_much:
        raise MoreThanLeft(
            "Nothing was changed; errors names each item of which too much was asked.",
            faults=too_much,
        )
    return parts


def more_than_left(asked: Asked, sku: str, left: int, what: str) -> Fault:
    """What is wrong with a quantity above the `left` pieces that are still `what`."""
    requested = asked.quantities[sku]
    return Fault(
        asked.pointer(sku),
        MoreThanLeft.code,
        f"{requested} of {sku} were named, {left} are {what}.",
        {"sku": sku, "requested": requested, "left": left},
    )


def _merged(items: Iterable[BackBySku], lines: Iterable[OrderLine]) -> list[Back]:
    ids = {line.sku: line.id for line in lines}
    sums: dict[tuple[UUID, bool], int] = {}
    for item in items:
        place = ids[item.sku], item.restock
        sums[place] = sums.get(place, 0) + item.quantity
    return [Back(line_id, quantity, restock) for (line_id, restock), quantity in sums.items()]


def _require_room(edit: Edit) -> None:
    """Raise TooManyShipments when the next one must be the last; every order can be shipped to the end."""
    if edit.order.status != OrderStatus.CONFIRMED:
        return
    if Shipment.objects.filter(order=edit.order).count() >= MAX_SHIPMENTS - 1:
        raise TooManyShipments(
            f"An order has {MAX_SHIPMENTS} shipments at the most: ship all that is left at once."
        )
