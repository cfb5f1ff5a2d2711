"""How invoices and credit notes look to seller and buyer: what events tell, and who the two are."""

from typing import Any

from apps.common.schemas import Schema, component, obj, string
from apps.deals.events.invoices import (
    CREDIT_NOTE_EXAMPLE,
    CREDIT_NOTE_PROPERTIES,
    INVOICE_EXAMPLE,
    INVOICE_PROPERTIES,
    credit_note_object,
    invoice_object,
)
from apps.deals.models import CreditNote, Invoice

_PARTY = component(
    "InvoiceParty",
    obj(
        {
            "name": string(),
            "legal_name": string(),
            "address": string(),
            "email": string(),
            "tax_id": string(),
        }
    ),
)
_PARTIES: dict[str, Schema] = {
    "seller_details": {**_PARTY, "description": "Of its account when the invoice was issued."},
    "buyer_details": {**_PARTY, "description": "Of its account when the invoice was issued."},
}
_PARTIES_EXAMPLE = {
    "seller_details": {
        "name": "Demo Seller",
        "legal_name": "Demo Seller GmbH",
        "address": "Unter den Linden 5\n10117 Berlin\nGermany",
        "email": "billing@seller.example",
        "tax_id": "DE123456789",
    },
    "buyer_details": {
        "name": "Demo Buyer",
        "legal_name": "Demo Buyer Ltd",
        "address": "12 St James's Square\nLondon SW1Y 4JH",
        "email": "accounts@buyer.example",
        "tax_id": "GB123456789",
    },
}

INVOICE = component(
    "Invoice",
    obj(INVOICE_PROPERTIES | _PARTIES),
    example={**INVOICE_EXAMPLE, **_PARTIES_EXAMPLE},
)
CREDIT_NOTE = component(
    "CreditNote",
    obj(CREDIT_NOTE_PROPERTIES | _PARTIES),
    example={**CREDIT_NOTE_EXAMPLE, **_PARTIES_EXAMPLE},
)


def full_invoice_object(invoice: Invoice) -> dict[str, Any]:
    return {**invoice_object(invoice), **_parties(invoice)}


def full_credit_note_object(note: CreditNote) -> dict[str, Any]:
    return {**credit_note_object(note), **_parties(note.invoice)}


def _parties(invoice: Invoice) -> dict[str, Any]:
    return {"seller_details": invoice.seller_details, "buyer_details": invoice.buyer_details}
