"""One change of one order, as a unit: what it does to the order, its lines and the stock is collected,
then written together with its history row and its event.

The order must be locked before anything else is; `save` locks stock after it, in id order. So no two
changes wait for each other in a circle.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.common.actor import Actor
from apps.common.ids import uuid7_at
from apps.events.catalogue import EventType
from apps.events.publishing import draft, publish
from apps.orders.enums import RESERVING, MovementKind, OrderStatus
from apps.orders.errors import OrderNotEditable
from apps.orders.events import (
    ORDER_UPDATED,
    PRIVATE_FIELDS,
    REACHED,
    line_object,
    moment,
    order_object,
)
from apps.orders.models import Order, OrderChange, OrderLine, Product, Stock
from apps.orders.selectors import lines_of
from apps.orders.services.asked import Asked, insufficient_stock, line_for, total_of
from apps.orders.services.ledger import Move, locked_stock, move, moves_of
from apps.orders.states import transition


class Edit:
    """A change in the making; nothing is written before `save`."""

    def __init__(self, order: Order, actor: Actor, at: datetime) -> None:
        self.order = order
        self.actor = actor
        self.at = at
        self.before = lines_of(order)
        self.lines = self.before
        self.asked = Asked.of({"sku": line.sku, "quantity": line.quantity} for line in self.before)
        holds = order.status in RESERVING and order.deleted_at is None
        self.held = {line.product_id: line.quantity for line in self.before} if holds else {}
        self.event: EventType = ORDER_UPDATED
        self.changes: dict[str, tuple[Any, Any]] = {}
        self.moves: list[Move] = []

    def set(self, name: str, value: Any) -> None:
        """Give a plain field another value."""
        self._note(name, getattr(self.order, name), value)
        setattr(self.order, name, value)

    def set_moment(self, name: str, value: datetime | None) -> None:
        """Give a field that holds a time another value."""
        self._note(name, moment(getattr(self.order, name)), moment(value))
        setattr(self.order, name, value)

    def move_to(self, status: OrderStatus) -> None:
        """Take the step to `status`; raises InvalidTransition. To where the order stands is no step."""
        if status == self.order.status:
            return
        step = transition(self.order, status, self.actor, self.at)
        if step.stock is not None:
            self.moves += moves_of(step.stock, self.lines)
        self.set("status", status.value)
        self.set_moment("reservation_expires_at", None)
        self.event = REACHED[status]

    def reserve(self) -> None:
        """Reserve stock for all lines of an order that is to hold some."""
        if self.order.status in RESERVING:
            self.moves += moves_of(MovementKind.RESERVED, self.lines)

    def release(self) -> None:
        """Let go of the stock that the order holds."""
        if self.order.status in RESERVING:
            self.moves += moves_of(MovementKind.RELEASED, self.lines)

    def replace_items(self, asked: Asked) -> None:
        """Have the order hold what is asked and nothing else; raises OrderNotEditable and OrderInvalid.

        A sku that stays keeps its price, a new one gets today's.
        """
        if asked.quantities == self.asked.quantities:
            return
        if self.order.status not in RESERVING:
            raise OrderNotEditable(
                f"The order is {self.order.status}; items change while it is pending or confirmed."
            )
        self.asked = asked
        self.lines = self._lines_for(asked)
        self._move_difference()
        self._note("items", _objects(self.before), _objects(self.lines))
        self.set("total", total_of(self.lines))

    def shortages(self, stock: Mapping[UUID, Stock]) -> dict[str, int]:
        """The skus of which there is too little for the moves, with how many the order could have."""
        change: Counter[UUID] = Counter()
        for one in self.moves:
            change[one.product_id] += one.on_hand - one.reserved
        return {
            line.sku: stock[line.product_id].available + self.held.get(line.product_id, 0)
            for line in self.lines
            if line.product_id in change
            and stock[line.product_id].available + change[line.product_id] < 0
        }

    def _lines_for(self, asked: Asked) -> list[OrderLine]:
        present = {line.sku: line for line in self.before}
        new = [sku for sku in asked.skus if sku not in present]
        rows = Product.objects.filter(account_id=self.order.account_id, sku__in=new)
        products = {product.sku: product for product in rows}
        asked.check_sellable(new, products, self.order.currency)
        lines = [
            _with_quantity(present[sku], quantity)
            if sku in present
            else line_for(self.order, products[sku], quantity)
            for sku, quantity in asked.quantities.items()
        ]
        return sorted(lines, key=lambda line: line.id)

    def _move_difference(self) -> None:
        wanted = Counter({line.product_id: line.quantity for line in self.lines})
        wanted.subtract(self.held)
        for product_id, more in wanted.items():
            if more:
                kind = MovementKind.RESERVED if more > 0 else MovementKind.RELEASED
                self.moves.append(Move(kind, product_id, abs(more), self.order.id))

    def _note(self, name: str, old: Any, new: Any) -> None:
        if old != new:
            self.changes[name] = (self.changes[name][0] if name in self.changes else old, new)


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
        ["quantity"],
    )
    OrderLine.objects.bulk_create(line for line in edit.lines if line.id not in before)


def _write_order(edit: Edit) -> None:
    order = edit.order
    order.version += 1
    order.updated_at = edit.at
    names = [name for name in edit.changes if name != "items"]
    order.save(update_fields=[*names, "version", "updated_at"])
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


def _tell(edit: Edit) -> None:
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


def _with_quantity(line: OrderLine, quantity: int) -> OrderLine:
    """The line itself when it has that quantity, a changed copy otherwise."""
    if line.quantity == quantity:
        return line
    changed = copy(line)
    changed.quantity = quantity
    return changed


def _objects(lines: Sequence[OrderLine]) -> list[dict[str, Any]]:
    return [line_object(line) for line in lines]
