"""Payments of orders: what a payment service said is recorded, nothing is processed."""

from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from apps.common.actor import Actor
from apps.common.errors import Fault
from apps.common.ids import uuid7_at
from apps.common.money import MAX_AMOUNT
from apps.common.retries import retried
from apps.orders.enums import PaymentKind
from apps.orders.errors import OrderInvalid, ReferenceTaken, RefundTooLarge
from apps.orders.models import Order, Payment
from apps.orders.services.asked import CORRECT
from apps.orders.services.edits import locked_edit
from apps.orders.services.saving import save


class Recorded(NamedTuple):
    """A payment, and whether it was recorded just now."""

    payment: Payment
    is_new: bool


@retried
@transaction.atomic
def record_payment(
    *,
    account_id: UUID,
    order_id: UUID,
    kind: PaymentKind,
    amount: int,
    reference: str,
    actor: Actor,
) -> Recorded:
    """Record one payment and add it to the order's sums; again with the same reference does nothing.

    A payment service names an authorisation and its capture alike, so a reference stands for one payment
    of each kind. In whatever state the order is: money moves after it was canceled too. Raises
    OrderNotFound, ReferenceTaken when the amount differs, RefundTooLarge and OrderInvalid.
    """
    edit = locked_edit(order_id, actor, account_id=account_id, deleted_at=None)
    order = edit.order
    present = Payment.objects.filter(order=order, kind=kind, reference=reference).first()
    if present is not None:
        if present.amount != amount:
            raise reference_taken(kind, reference, present.amount)
        return Recorded(present, is_new=False)
    _require_bounds(order, kind, amount)
    payment = Payment(
        id=uuid7_at(edit.at),
        order=order,
        kind=kind.value,
        amount=amount,
        reference=reference,
        created_at=edit.at,
    )
    edit.pay(payment)
    save([edit])
    return Recorded(payment, is_new=True)


def reference_taken(kind: PaymentKind, reference: str, amount: int) -> ReferenceTaken:
    """The error for a second amount under one reference."""
    detail = f"{amount} were {kind} under {reference!r} before. Take another reference."
    return ReferenceTaken(detail, faults=[Fault("/reference", ReferenceTaken.code, detail)])


def refund_too_large(left: int) -> RefundTooLarge:
    """The error for a refund above the `left` that is captured and not refunded."""
    detail = f"{left} can be refunded at the most: what was captured less what was refunded."
    return RefundTooLarge(detail, faults=[Fault("/amount", RefundTooLarge.code, detail)])


def _require_bounds(order: Order, kind: PaymentKind, amount: int) -> None:
    left = order.captured - order.refunded
    if kind is PaymentKind.REFUNDED and amount > left:
        raise refund_too_large(left)
    total: int = getattr(order, kind.value) + amount
    if total > MAX_AMOUNT:
        detail = f"The sum of what was {kind} may be {MAX_AMOUNT} at the most."
        raise OrderInvalid(CORRECT, faults=[Fault("/amount", "total_too_large", detail)])
