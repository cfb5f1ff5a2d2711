"""One change of one order, as a unit: what it does to the order, its lines and the stock is collected
here; `saving.save` writes it together with its history row and its event.

The order must be locked before anything else is (`locked_edit`); `save` locks stock after it, in id
order. So no two changes wait for each other in a circle.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Model

from apps.common import clock
from apps.common.actor import Actor
from apps.common.errors import Fault
from apps.common.ids import uuid7_at
from apps.events.catalogue import EventType
from apps.orders.enums import RESERVING, Fulfillment, MovementKind, OrderStatus
from apps.orders.errors import (
    AlreadyShipped,
    InvalidTransition,
    OrderNotEditable,
    OrderNotFound,
)
from apps.orders.events import (
    ORDER_UPDATED,
    REACHED,
    fulfillment,
    line_object,
    moment,
    payments_object,
    returned_items,
    shipment_object,
)
from apps.orders.models import (
    Order,
    OrderLine,
    Payment,
    Product,
    Return,
    ReturnItem,
    Shipment,
    ShipmentItem,
    Stock,
)
from apps.orders.selectors import lines_of
from apps.orders.services.asked import Asked, line_for, total_of
from apps.orders.services.ledger import Move
from apps.orders.states import transition

# Of the order; when it has shipments, of its newest one.
TRACKING = ("tracking_company", "tracking_number", "tracking_link")


class Back(NamedTuple):
    """So many pieces of a line that came back; those not to be restocked are written off."""

    line_id: UUID
    quantity: int
    restock: bool = True


class Edit:
    """A change in the making; nothing is written before `saving.save`."""

    def __init__(self, order: Order, actor: Actor, at: datetime) -> None:
        self.order = order
        self.actor = actor
        self.at = at
        self.before = lines_of(order)
        self.lines = self.before
        self.asked = Asked.of({"sku": line.sku, "quantity": line.quantity} for line in self.before)
        holds = order.status in RESERVING and order.deleted_at is None
        self.held = {line.product_id: line.unshipped for line in self.before} if holds else {}
        self.event: EventType = ORDER_UPDATED
        self.changes: dict[str, tuple[Any, Any]] = {}
        self.columns: set[str] = set()
        self.moves: list[Move] = []
        self.rows: list[Model] = []

    def set(self, name: str, value: Any) -> None:
        """Give a plain field another value."""
        self._note(name, getattr(self.order, name), value)
        self._store(name, value)

    def set_moment(self, name: str, value: datetime | None) -> None:
        """Give a field that holds a time another value."""
        self._note(name, moment(getattr(self.order, name)), moment(value))
        self._store(name, value)

    def blank(self, name: str, empty: Any) -> None:
        """Take the value of a field away; the history tells that it went, not what it was."""
        if getattr(self.order, name) != empty:
            self.changes[name] = (None, None)
            self._store(name, empty)

    def move_to(self, status: OrderStatus, *, tracked: Collection[str] = ()) -> None:
        """Take the step to `status`; raises InvalidTransition. To where the order stands is no step.

        `tracked` names the tracking fields that were given with the step: a second shipment does not
        take over the others from the first.
        """
        if status == self.order.status:
            return
        if self.event is not ORDER_UPDATED:
            raise InvalidTransition(
                "These items complete the shipment: take the next step after it."
            )
        step = transition(self.order, self.lines, status, self.actor, self.at)
        if step.stock is MovementKind.SHIPPED:
            is_first = fulfillment(self.before) is Fulfillment.NONE
            names = TRACKING if is_first else tracked
            self.ship(self._unshipped(), {name: getattr(self.order, name) for name in names})
        elif step.stock is MovementKind.RETURNED:
            self.take_back([Back(line.id, line.out) for line in self.lines if line.out])
        else:
            if step.stock is MovementKind.RELEASED:
                self.release()
            self._reach(status)

    def reserve(self) -> None:
        """Reserve stock for what an order that is to hold some has not shipped yet."""
        self._hold(MovementKind.RESERVED)

    def release(self) -> None:
        """Let go of the stock that the order holds."""
        self._hold(MovementKind.RELEASED)

    def ship(self, parts: Mapping[UUID, int], tracking: Mapping[str, str | None]) -> None:
        """Ship so many pieces of these lines under one tracking; with the last of them the order is
        shipped. Raises InvalidTransition unless the order may be."""
        transition(self.order, self.lines, OrderStatus.SHIPPED, self.actor, self.at)
        shipment = Shipment(id=uuid7_at(self.at), order=self.order, created_at=self.at, **tracking)
        items = [
            ShipmentItem(shipment=shipment, line_id=line_id, quantity=quantity)
            for line_id, quantity in parts.items()
        ]
        self.rows += [shipment, *items]
        for line in self.lines:
            if line.id in parts:
                self._move(MovementKind.SHIPPED, line.product_id, parts[line.id])
        self._set_lines(
            _with(line, shipped=line.shipped + parts.get(line.id, 0)) for line in self.lines
        )
        for name in TRACKING:
            self.set(name, tracking.get(name))
        self._note("shipment", None, shipment_object(shipment, items, self._skus()))
        if fulfillment(self.lines) is Fulfillment.FULL:
            self._reach(OrderStatus.SHIPPED)

    def take_back(self, parts: Sequence[Back], reason: str = "") -> None:
        """Have pieces come back, into stock or to be written off; with the last of all that was ordered
        the order is returned."""
        record = Return(id=uuid7_at(self.at), order=self.order, reason=reason, created_at=self.at)
        items = [ReturnItem(returned_in=record, **part._asdict()) for part in parts]
        self.rows += [record, *items]
        back: Counter[UUID] = Counter()
        products = {line.id: line.product_id for line in self.lines}
        for part in parts:
            back[part.line_id] += part.quantity
            self._move(MovementKind.RETURNED, products[part.line_id], part.quantity)
            if not part.restock:
                self._move(
                    MovementKind.ADJUSTED, products[part.line_id], -part.quantity, "written off"
                )
        self._set_lines(_with(line, returned=line.returned + back[line.id]) for line in self.lines)
        told = {"id": str(record.id), "items": returned_items(items, self._skus())}
        self._note("return", None, told)
        if all(line.returned == line.quantity for line in self.lines):
            transition(self.order, self.lines, OrderStatus.RETURNED, self.actor, self.at)
            self._reach(OrderStatus.RETURNED)

    def pay(self, payment: Payment) -> None:
        """Add what a payment service said to the order's sums."""
        before = payments_object(self.order)
        self._store(payment.kind, getattr(self.order, payment.kind) + payment.amount)
        self.rows.append(payment)
        self._note("payments", before, payments_object(self.order))

    def replace_items(self, asked: Asked) -> None:
        """Have the order hold what is asked and nothing else, never less than was shipped; when nothing
        is left to ship by that, the order is shipped.

        A sku that stays keeps its price, a new one gets today's. Raises OrderNotEditable, AlreadyShipped
        and OrderInvalid.
        """
        if asked.quantities == self.asked.quantities:
            return
        if self.order.status not in RESERVING:
            raise OrderNotEditable(
                f"The order is {self.order.status}; items change while it is pending or confirmed."
            )
        _require_shipped(asked, self.before)
        self.asked = asked
        self._set_lines(self._lines_for(asked))
        self._move_difference()
        self._note("items", _objects(self.before), _objects(self.lines))
        self.set("total", total_of(self.lines))
        if fulfillment(self.lines) is Fulfillment.FULL:
            if not any(line.out for line in self.lines):
                raise OrderNotEditable("All of these items came back: cancel the order instead.")
            transition(self.order, self.lines, OrderStatus.SHIPPED, self.actor, self.at)
            self._reach(OrderStatus.SHIPPED)

    def shortages(self, stock: Mapping[UUID, Stock]) -> dict[str, int]:
        """The skus of which there is too little for the moves, with how many the order could have."""
        change: Counter[UUID] = Counter()
        for one in self.moves:
            change[one.product_id] += one.on_hand - one.reserved
        return {
            line.sku: stock[line.product_id].available
            + self.held.get(line.product_id, 0)
            + line.shipped
            for line in self.lines
            if line.product_id in change
            and stock[line.product_id].available + change[line.product_id] < 0
        }

    def _reach(self, status: OrderStatus) -> None:
        self.set("status", status.value)
        self.set_moment("reservation_expires_at", None)
        self.event = REACHED[status]

    def _hold(self, kind: MovementKind) -> None:
        if self.order.status in RESERVING:
            for line in self.lines:
                if line.unshipped:
                    self._move(kind, line.product_id, line.unshipped)

    def _unshipped(self) -> dict[UUID, int]:
        return {line.id: line.unshipped for line in self.lines if line.unshipped}

    def _skus(self) -> dict[UUID, str]:
        return {line.id: line.sku for line in self.lines}

    def _move(self, kind: MovementKind, product_id: UUID, quantity: int, reason: str = "") -> None:
        self.moves.append(Move(kind, product_id, quantity, self.order.id, reason))

    def _set_lines(self, lines: Iterable[OrderLine]) -> None:
        before = fulfillment(self.lines)
        self.lines = list(lines)
        self._note("fulfillment", before.value, fulfillment(self.lines).value)

    def _lines_for(self, asked: Asked) -> list[OrderLine]:
        present = {line.sku: line for line in self.before}
        new = [sku for sku in asked.skus if sku not in present]
        rows = Product.objects.filter(account_id=self.order.account_id, sku__in=new)
        products = {product.sku: product for product in rows}
        asked.check_sellable(new, products, self.order.currency)
        lines = [
            _with(present[sku], quantity=quantity)
            if sku in present
            else line_for(self.order, products[sku], quantity)
            for sku, quantity in asked.quantities.items()
        ]
        return sorted(lines, key=lambda line: line.id)

    def _move_difference(self) -> None:
        wanted = Counter({line.product_id: line.unshipped for line in self.lines})
        wanted.subtract(self.held)
        for product_id, more in wanted.items():
            if more:
                kind = MovementKind.RESERVED if more > 0 else MovementKind.RELEASED
                self._move(kind, product_id, abs(more))

    def _store(self, name: str, value: Any) -> None:
        setattr(self.order, name, value)
        self.columns.add(name)

    def _note(self, name: str, old: Any, new: Any) -> None:
        if old != new:
            self.changes[name] = (self.changes[name][0] if name in self.changes else old, new)


def locked_edit(order_id: UUID, actor: Actor, **scope: Any) -> Edit:
    """An edit of the order, which is locked until the transaction ends; raises OrderNotFound."""
    order = (
        Order.objects.select_for_update(no_key=True, of=("self",))
        .select_related("storefront")
        .filter(pk=order_id, **scope)
        .first()
    )
    if order is None:
        raise OrderNotFound("There is no such order.")
    return Edit(order, actor, clock.now())


def _require_shipped(asked: Asked, lines: Iterable[OrderLine]) -> None:
    """Raise AlreadyShipped unless `asked` has at least what was shipped of each line."""
    faults = [
        Fault(
            asked.pointer(line.sku) if line.sku in asked.first else "/items",
            AlreadyShipped.code,
            f"{line.shipped} of {line.sku} have been shipped.",
            {
                "sku": line.sku,
                "requested": asked.quantities.get(line.sku, 0),
                "shipped": line.shipped,
            },
        )
        for line in lines
        if asked.quantities.get(line.sku, 0) < line.shipped
    ]
    if faults:
        raise AlreadyShipped(
            "Nothing was changed; errors names each item that would fall below what was shipped.",
            faults=faults,
        )


def _with(line: OrderLine, **values: int) -> OrderLine:
    """The line itself when it has these values, a changed copy otherwise."""
    if all(getattr(line, name) == value for name, value in values.items()):
        return line
    changed = copy(line)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed


def _objects(lines: Sequence[OrderLine]) -> list[dict[str, Any]]:
    return [line_object(line) for line in lines]
