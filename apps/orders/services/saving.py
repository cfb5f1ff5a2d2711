"""Writing collected changes of orders: lines, order, history row, event, and the stock last."""

from collections.abc import Sequence
from itertools import groupby

from apps.common.ids import uuid7_at
from apps.events.publishing import draft, publish
from apps.orders.events import ORDER_DELETED, PRIVATE_FIELDS, order_object
from apps.orders.models import OrderChange, OrderLine, Shipment
from apps.orders.services.asked import insufficient_stock
from apps.orders.services.edits import TRACKING, Edit
from apps.orders.services.ledger import locked_stock, move


def save(edits: Sequence[Edit]) -> None:
    """Write what was collected; call it in the transaction that locked the orders, with edits of one
    actor at one time.

    An edit that changed nothing writes nothing. Stock is touched last, so that its locks, for which
    others wait, are held for a moment only. Raises InsufficientStock.
    """
    edits = [edit for edit in edits if edit.changes]
    for edit in edits:
        _write_lines(edit)
        _write_order(edit)
        _write_rows(edit)
        _tell(edit)
    moves = [one for edit in edits for one in edit.moves]
    if not moves:
        return
    stock = locked_stock(one.product_id for one in moves)
    for edit in edits:
        short = edit.shortages(stock)
        if short:
            raise insufficient_stock(edit.asked, short)
    move(moves, stock, edits[0].actor, edits[0].at)


def _write_lines(edit: Edit) -> None:
    if edit.lines is edit.before:
        return
    before = {line.id: line for line in edit.before}
    now = {line.id: line for line in edit.lines}
    OrderLine.objects.filter(pk__in=before.keys() - now.keys()).delete()
    OrderLine.objects.bulk_update(
        [line for line in edit.lines if line.id in before and line is not before[line.id]],
        ["quantity", "shipped", "returned"],
    )
    OrderLine.objects.bulk_create(line for line in edit.lines if line.id not in before)


def _write_order(edit: Edit) -> None:
    order = edit.order
    order.version += 1
    order.updated_at = edit.at
    order.save(update_fields=[*edit.columns, "version", "updated_at"])
    OrderChange.objects.create(
        id=uuid7_at(edit.at),
        order=order,
        version=order.version,
        type=edit.event.name,
        changes=edit.changes,
        actor=edit.actor.as_json(),
        request_id=edit.actor.request_id,
        at=edit.at,
    )


def _write_rows(edit: Edit) -> None:
    if not edit.rows and edit.columns.intersection(TRACKING):
        newest = Shipment.objects.filter(order=edit.order).order_by("-pk")[:1]
        Shipment.objects.filter(pk__in=newest.values("pk")).update(
            **{name: getattr(edit.order, name) for name in TRACKING}
        )
    for kind, rows in groupby(edit.rows, key=lambda row: row.__class__):
        kind._default_manager.bulk_create(rows)


def _tell(edit: Edit) -> None:
    if edit.order.deleted_at is not None and edit.event is not ORDER_DELETED:
        return  # for those who were told that it is gone, it stays so
    told = {name: both for name, both in edit.changes.items() if name not in PRIVATE_FIELDS}
    publish(
        draft(
            edit.event,
            account_id=edit.order.account_id,
            subject=edit.order.id,
            object=order_object(edit.order, edit.lines),
            actor=edit.actor,
            at=edit.at,
            changes=told,
        )
    )
