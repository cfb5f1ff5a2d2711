"""Reads of invoices and credit notes: the seller's own, and those that were issued to a buyer.

A buyer keeps seeing its invoices when the seller revokes its authorisation: they are its books too.
"""

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.accounts.errors import AccountNotFound
from apps.accounts.selectors import account_by_reference
from apps.deals.errors import CreditNoteNotFound, InvoiceNotFound
from apps.deals.models import CreditNote, Invoice
from apps.deals.selectors.windows import Window

SELLER, BUYER = "seller", "buyer"
_ROLES = {SELLER: "seller_id", BUYER: "buyer_id"}

# Parameter of the list -> what it asks of an invoice.
_FILTERS = {"status": "status", "deal": "deal_id", "due_before": "due_date__lt"}


def visible_invoice(account_id: UUID, invoice_id: UUID) -> Invoice:
    """One invoice that the account issued or received; raises InvoiceNotFound."""
    invoices = Invoice.objects.select_related("credit_note")
    found = invoices.filter(_party(account_id), pk=invoice_id).first()
    if found is None:
        raise _no_invoice()
    return found


def visible_version(account_id: UUID, invoice_id: UUID) -> int:
    """The version of an invoice that the account issued or received; raises InvoiceNotFound."""
    invoices = Invoice.objects.filter(_party(account_id), pk=invoice_id)
    found = invoices.values_list("version", flat=True).first()
    if found is None:
        raise _no_invoice()
    return found


def own_invoice_locked(seller_id: UUID, invoice_id: UUID) -> Invoice:
    """One that the seller issued, for changing it in this transaction; raises InvoiceNotFound."""
    invoices = Invoice.objects.select_for_update(no_key=True)
    found = invoices.filter(pk=invoice_id, seller_id=seller_id).first()
    if found is None:
        raise InvoiceNotFound("There is no such invoice of yours.")
    return found


def visible_invoices(
    account_id: UUID, *, filters: dict[str, Any], window: Window
) -> QuerySet[Invoice]:
    """The invoices that the account issued or received, as far as the page needs them.

    `filters` are those of `_FILTERS`; `role` (`seller` or `buyer`: what the account is on it); `seller`
    and `buyer`, an account's id or slug. An account that is unknown matches nothing.
    """
    rows = Invoice.objects.filter(
        **{_FILTERS[name]: value for name, value in filters.items() if name in _FILTERS}
    )
    try:
        for name, column in _ROLES.items():
            if name in filters:
                rows = rows.filter(**{column: account_by_reference(filters[name]).id})
    except AccountNotFound:
        return Invoice.objects.none()
    roles = [filters["role"]] if "role" in filters else list(_ROLES)
    return _of_roles(rows, account_id, roles, window).select_related("credit_note")


def visible_credit_note(account_id: UUID, credit_note_id: UUID) -> CreditNote:
    """One credit note that the account issued or received; raises CreditNoteNotFound."""
    notes = CreditNote.objects.select_related("invoice")
    found = notes.filter(_party(account_id), pk=credit_note_id).first()
    if found is None:
        raise CreditNoteNotFound("There is no such credit note, or your account may not see it.")
    return found


def visible_credit_notes(account_id: UUID, window: Window) -> QuerySet[CreditNote]:
    """The credit notes that the account issued or received, as far as the page needs them."""
    notes = _of_roles(CreditNote.objects.all(), account_id, list(_ROLES), window)
    return notes.select_related("invoice")


def _party(account_id: UUID) -> Q:
    return Q(seller_id=account_id) | Q(buyer_id=account_id)


def _of_roles(
    rows: "QuerySet[Any]", account_id: UUID, roles: list[str], window: Window
) -> "QuerySet[Any]":
    """Those of `rows` on which the account has one of the roles: one index range for each."""
    first, *others = (
        window.of(rows.filter(**{_ROLES[role]: account_id})).values("pk") for role in roles
    )
    chosen: QuerySet[Any] = rows.model._default_manager.filter(
        pk__in=first.union(*others, all=True)
    )
    return chosen


def _no_invoice() -> InvoiceNotFound:
    return InvoiceNotFound("There is no such invoice, or your account may not see it.")
