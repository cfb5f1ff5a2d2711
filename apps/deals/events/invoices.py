"""How invoices and credit notes look, in answers and in events, and what can happen to them.

Events carry no names or addresses of people, which would outlive their erasure: these are added where an
invoice is read (`apps.deals.api.representations.invoices`).
"""

from typing import Any

from apps.common.clock import rfc3339
from apps.common.schemas import (
    Schema,
    array,
    component,
    enum,
    integer,
    nullable,
    number,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.deals.enums import InvoiceStatus
from apps.deals.events.deals import DISCOUNT
from apps.deals.models import CreditNote, Invoice
from apps.events.catalogue import define

_ID = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a66"
_CREDIT_NOTE_ID = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a77"
_SELLER = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a22"
_BUYER = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a44"
_DEAL = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11"

_LINE = component(
    "InvoiceLine",
    obj(
        {
            "description": string("The deal's name."),
            "items": array(
                string(), "What it consists of; their prices are no part of the sale's."
            ),
            "amount": integer("Net."),
        }
    ),
)

_AMOUNTS: dict[str, Schema] = {
    "currency": string("ISO 4217. All amounts are in its minor unit."),
    "subtotal": integer("The sum of the lines."),
    "discount": nullable(DISCOUNT),
    "discount_amount": integer("What the discount takes off the subtotal."),
    "net_amount": integer("`subtotal` less `discount_amount`: what was bid, without tax."),
    "tax_rate": number("Percent: the seller's when it was issued."),
    "tax_amount": integer("`tax_rate` of `net_amount`; half a minor unit is rounded up."),
    "total": integer("What is to be paid: `net_amount` and `tax_amount`."),
}

INVOICE_PROPERTIES: dict[str, Schema] = {
    "id": uuid(),
    "number": integer("Counts the seller's invoices from 1, without gaps."),
    "seller": uuid("The seller's account."),
    "buyer": uuid("The buyer's account."),
    "deal": uuid("What was sold."),
    "status": enum(
        list(InvoiceStatus.values), "An overdue invoice can still be paid or become void."
    ),
    "lines": array(_LINE),
    **_AMOUNTS,
    "issued_at": timestamp(),
    "due_date": string("The last day to pay it in time, in UTC.", format="date"),
    "paid_at": nullable(timestamp("When the seller was paid, by its word.")),
    "payment_reference": string("What the seller noted of the payment."),
    "voided_at": nullable(timestamp()),
    "credit_note": nullable(obj({"id": uuid(), "number": integer()})),
    "version": integer("Counts the changes of its state; the ETag."),
    "updated_at": timestamp(),
}

_AMOUNTS_EXAMPLE = {
    "currency": "EUR",
    "subtotal": 120000,
    "discount": {"type": "percentage", "amount": 10},
    "discount_amount": 12000,
    "net_amount": 108000,
    "tax_rate": 19.0,
    "tax_amount": 20520,
    "total": 128520,
}
INVOICE_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "number": 42,
    "seller": _SELLER,
    "buyer": _BUYER,
    "deal": _DEAL,
    "status": "issued",
    "lines": [
        {
            "description": "12 office chairs",
            "items": ["Office chair, grey", "Delivery"],
            "amount": 120000,
        }
    ],
    **_AMOUNTS_EXAMPLE,
    "issued_at": "2026-11-21T09:30:00.000000Z",
    "due_date": "2026-12-05",
    "paid_at": None,
    "payment_reference": "",
    "voided_at": None,
    "credit_note": None,
    "version": 1,
    "updated_at": "2026-11-21T09:30:00.000000Z",
}

CREDIT_NOTE_PROPERTIES: dict[str, Schema] = {
    "id": uuid(),
    "number": integer("Counts the seller's credit notes from 1, without gaps."),
    "seller": uuid("The seller's account."),
    "buyer": uuid("The buyer's account."),
    "invoice": uuid("The invoice, the whole of which is taken back."),
    "invoice_number": integer(),
    "reason": string("As the seller gave it."),
    "lines": array(_LINE, "Of the invoice; amounts are positive here too."),
    **_AMOUNTS,
    "issued_at": timestamp(),
}
CREDIT_NOTE_EXAMPLE: dict[str, Any] = {
    "id": _CREDIT_NOTE_ID,
    "number": 3,
    "seller": _SELLER,
    "buyer": _BUYER,
    "invoice": _ID,
    "invoice_number": 42,
    "reason": "Delivered damaged.",
    "lines": INVOICE_EXAMPLE["lines"],
    **_AMOUNTS_EXAMPLE,
    "issued_at": "2026-11-28T14:00:00.000000Z",
}

INVOICE_TOLD = component("InvoiceTold", obj(INVOICE_PROPERTIES), example=INVOICE_EXAMPLE)

INVOICE_ISSUED = define("invoice.issued", "A sale was invoiced.", INVOICE_TOLD)
INVOICE_OVERDUE = define(
    "invoice.overdue", "An invoice was not paid by its due date.", INVOICE_TOLD, changes=True
)
INVOICE_PAID = define("invoice.paid", "A seller was paid.", INVOICE_TOLD, changes=True)
INVOICE_VOIDED = define(
    "invoice.voided", "A seller took an invoice back by a credit note.", INVOICE_TOLD, changes=True
)


def invoice_object(invoice: Invoice) -> dict[str, Any]:
    return {
        "id": str(invoice.id),
        "number": invoice.number,
        "seller": str(invoice.seller_id),
        "buyer": str(invoice.buyer_id),
        "deal": str(invoice.deal_id),
        "lines": invoice.lines,
        **_amounts(invoice),
        "issued_at": rfc3339(invoice.issued_at),
        "due_date": invoice.due_date.isoformat(),
        **state_object(invoice),
        "version": invoice.version,
        "updated_at": rfc3339(invoice.updated_at),
    }


def state_object(invoice: Invoice) -> dict[str, Any]:
    """What of an invoice can change."""
    credit_note = invoice.credit_note if invoice.status == InvoiceStatus.VOID else None
    return {
        "status": str(invoice.status),
        "paid_at": invoice.paid_at and rfc3339(invoice.paid_at),
        "payment_reference": invoice.payment_reference,
        "voided_at": invoice.voided_at and rfc3339(invoice.voided_at),
        "credit_note": credit_note and {"id": str(credit_note.id), "number": credit_note.number},
    }


def credit_note_object(note: CreditNote) -> dict[str, Any]:
    return {
        "id": str(note.id),
        "number": note.number,
        "seller": str(note.seller_id),
        "buyer": str(note.buyer_id),
        "invoice": str(note.invoice_id),
        "invoice_number": note.invoice.number,
        "reason": note.reason,
        "lines": note.invoice.lines,
        **_amounts(note.invoice),
        "issued_at": rfc3339(note.issued_at),
    }


def _amounts(invoice: Invoice) -> dict[str, Any]:
    return {
        "currency": invoice.currency,
        "subtotal": invoice.subtotal,
        "discount": invoice.discount,
        "discount_amount": invoice.discount_amount,
        "net_amount": invoice.net_amount,
        "tax_rate": float(invoice.tax_rate),
        "tax_amount": invoice.tax_amount,
        "total": invoice.total,
    }
