"""Invoices: issued with a sale, paid, taken back, overdue. Each change with its event and its history in
one transaction."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common import clock
from apps.common.actor import Actor, system
from apps.common.errors import Fault, Invalid
from apps.deals.billing import bill
from apps.deals.enums import (
    INVOICE_TRANSITIONS,
    DocumentSeries,
    InvoiceMailKind,
    InvoiceStatus,
)
from apps.deals.errors import InvoiceClosed
from apps.deals.events.invoices import (
    INVOICE_ISSUED,
    INVOICE_OVERDUE,
    INVOICE_PAID,
    INVOICE_VOIDED,
    invoice_object,
    state_object,
)
from apps.deals.models import CreditNote, Deal, Invoice, InvoiceHistory
from apps.deals.selectors.invoices import own_invoice_locked
from apps.deals.services.invoice_mail import owe_mail
from apps.events.catalogue import EventType
from apps.events.publishing import draft, publish

REMIND = "deals.remind"
REMIND_BATCH = 100
REMINDERS = 3
BETWEEN_REMINDERS = timedelta(days=7)

_TAKE_NUMBER = """
INSERT INTO deals_documentcounter AS counter (id, seller_id, series, last)
VALUES (gen_random_uuid(), %s, %s, 1)
ON CONFLICT (seller_id, series) DO UPDATE SET last = counter.last + 1
RETURNING last
"""


def issue(*, deal: Deal, buyer_id: UUID, amount: int, actor: Actor, at: datetime) -> Invoice:
    """Invoice the sale of `deal` (with its `item_objects`) for `amount`, net, in the transaction of the sale.

    Call it as the last of a sale, one sale to a transaction: the seller's counter stays locked from here
    to the commit. Raises RuntimeError outside a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("issue() must be called in the transaction of the sale.")
    parties = Account.objects.in_bulk([deal.seller_id, buyer_id])
    invoice = compose(
        deal=deal, seller=parties[deal.seller_id], buyer=parties[buyer_id], amount=amount, at=at
    )
    invoice.number = _take_number(deal.seller_id, DocumentSeries.INVOICE)
    invoice.save(force_insert=True)
    owe_mail(invoice, InvoiceMailKind.INVOICE)
    _record(INVOICE_ISSUED, invoice, actor=actor, at=at)
    return invoice


def preview(deal: Deal) -> Invoice:
    """The invoice of a sale now, at the final price, to a buyer that is not known yet; nothing is stored."""
    buyer = Account(name="(the buyer)")
    return compose(
        deal=deal, seller=deal.seller, buyer=buyer, amount=deal.final_price, at=clock.now()
    )


def compose(*, deal: Deal, seller: Account, buyer: Account, amount: int, at: datetime) -> Invoice:
    """The invoice of a sale, complete but for its number; nothing is stored."""
    charged = bill(
        agreed=amount,
        total_price=deal.total_price,
        discount=deal.discount,
        final_price=deal.final_price,
        tax_rate=seller.tax_rate,
    )
    due_date = at.astimezone(UTC).date() + timedelta(days=settings.INVOICE_PAYMENT_DAYS)
    items = [item["name"] for item in deal.item_objects]
    return Invoice(
        seller=seller,
        buyer=buyer,
        deal=deal,
        currency=deal.currency,
        lines=[{"description": deal.name, "items": items, "amount": charged.subtotal}],
        subtotal=charged.subtotal,
        discount=charged.discount
        and {"type": charged.discount.type.value, "amount": charged.discount.amount},
        discount_amount=charged.discount_amount,
        net_amount=charged.net_amount,
        tax_rate=charged.tax_rate,
        tax_amount=charged.tax_amount,
        total=charged.total,
        seller_details=_details(seller),
        buyer_details=_details(buyer),
        issued_at=at,
        due_date=due_date,
        remind_at=datetime.combine(due_date + timedelta(days=1), time.min, UTC),
        updated_at=at,
    )


@transaction.atomic
def mark_paid(
    *,
    seller_id: UUID,
    invoice_id: UUID,
    actor: Actor,
    paid_at: datetime | None = None,
    reference: str = "",
) -> Invoice:
    """Record that the seller was paid, now unless `paid_at` says when.

    Raises InvoiceNotFound, InvoiceClosed when it is paid or void, Invalid when `paid_at` is to come.
    """
    invoice = own_invoice_locked(seller_id, invoice_id)
    _require_transition(invoice, InvoiceStatus.PAID)
    at = clock.now()
    if paid_at is not None and paid_at > at:
        fault = Fault(
            "/paid_at", "in_the_future", "Send the time at which the money came, or none."
        )
        raise Invalid("Nobody has paid yet at a time that is still to come.", faults=[fault])
    state = {"status": InvoiceStatus.PAID, "paid_at": paid_at or at, "payment_reference": reference}
    _change(INVOICE_PAID, invoice, {**state, "remind_at": None}, actor=actor, at=at)
    return invoice


@transaction.atomic
def void(*, seller_id: UUID, invoice_id: UUID, actor: Actor, reason: str = "") -> Invoice:
    """Take an unpaid invoice back by a credit note of the whole of it.

    Raises InvoiceNotFound, InvoiceClosed when it is paid or void.
    """
    invoice = own_invoice_locked(seller_id, invoice_id)
    _require_transition(invoice, InvoiceStatus.VOID)
    at = clock.now()
    CreditNote.objects.create(
        invoice=invoice,
        seller_id=seller_id,
        buyer_id=invoice.buyer_id,
        number=_take_number(seller_id, DocumentSeries.CREDIT_NOTE),
        reason=reason,
        issued_at=at,
    )
    owe_mail(invoice, InvoiceMailKind.CREDIT_NOTE)
    state = {"status": InvoiceStatus.VOID, "voided_at": at, "remind_at": None}
    _change(INVOICE_VOIDED, invoice, state, actor=actor, at=at)
    return invoice


@transaction.atomic
def remind() -> int:
    """Owe the reminders that are due, of a batch of invoices; returns of how many.

    With its first reminder, on the day after its due date, an invoice becomes overdue. The next follow a
    week after the last, whenever that was: after a downtime a buyer gets one and not several at once.
    Invoices that someone has locked are left for the next sweep: they are just being paid or reminded of.
    """
    due = list(
        Invoice.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(remind_at__lte=Now())
        .order_by("remind_at")[:REMIND_BATCH]
    )
    at = clock.now()
    for invoice in due:
        _remind(invoice, at)
    return len(due)


def _remind(invoice: Invoice, at: datetime) -> None:
    reminders = invoice.reminders + 1
    remind_at = at + BETWEEN_REMINDERS if reminders < REMINDERS else None
    owe_mail(invoice, InvoiceMailKind.REMINDER)
    schedule = {"reminders": reminders, "remind_at": remind_at}
    if InvoiceStatus.OVERDUE in INVOICE_TRANSITIONS[InvoiceStatus(invoice.status)]:
        state = {"status": InvoiceStatus.OVERDUE, **schedule}
        _change(INVOICE_OVERDUE, invoice, state, actor=system(REMIND), at=at)
    else:
        Invoice.objects.filter(pk=invoice.pk).update(**schedule)


def _take_number(seller_id: UUID, series: DocumentSeries) -> int:
    """The next number of the seller; given back if the transaction fails, and nobody else's until then."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_NUMBER, [seller_id, series.value])
        return int(cursor.fetchone()[0])


def _details(account: Account) -> dict[str, str]:
    """Of an account, what its invoices show."""
    return {
        "name": account.name,
        "legal_name": account.legal_name,
        "address": account.address,
        "email": account.email,
        "tax_id": account.tax_id,
    }


def _require_transition(invoice: Invoice, target: InvoiceStatus) -> None:
    if target not in INVOICE_TRANSITIONS[InvoiceStatus(invoice.status)]:
        raise InvoiceClosed(f"The invoice is {invoice.status} and stays so.")


def _change(
    type: EventType, invoice: Invoice, state: Mapping[str, Any], *, actor: Actor, at: datetime
) -> None:
    """Give the invoice another state, as one version with its event."""
    old = state_object(invoice)
    for name, value in {**state, "version": invoice.version + 1, "updated_at": at}.items():
        setattr(invoice, name, value)
    invoice.save(update_fields=[*state, "version", "updated_at"])
    new = state_object(invoice)
    changes = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
    _record(type, invoice, actor=actor, at=at, changes=changes)


def _record(
    type: EventType,
    invoice: Invoice,
    *,
    actor: Actor,
    at: datetime,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
) -> None:
    """Write it down in the invoice's history, and tell the seller and the buyer."""
    InvoiceHistory.objects.create(
        invoice=invoice,
        type=type.name,
        actor=actor.as_json(),
        request_id=actor.request_id,
        changes=changes or {},
        at=at,
    )
    publish(
        draft(
            type,
            account_id=invoice.seller_id,
            readers=[invoice.buyer_id],
            subject=invoice.id,
            object=invoice_object(invoice),
            changes=changes,
            actor=actor,
            at=at,
        )
    )
