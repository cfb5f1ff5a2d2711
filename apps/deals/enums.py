"""The states of deals and invoices, and what may become what."""

from django.db import models

from apps.common.actor import ActorKind


class DealStatus(models.TextChoices):
    AVAILABLE = "available"
    SOLD = "sold"
    WITHDRAWN = "withdrawn"


class DiscountType(models.TextChoices):
    FLAT = "flat"
    PERCENTAGE = "percentage"


# Whoever acts for a seller or a buyer: one of their keys, or a person in the back office.
_PEOPLE = frozenset({ActorKind.API_KEY, ActorKind.USER})
_ANYBODY = frozenset(ActorKind)  # an auction that ends sells its deal, or withdraws it, by itself

# (from, to) -> who may; a deal that does not exist yet is None. What is not here does not happen.
TRANSITIONS: dict[tuple[DealStatus | None, DealStatus], frozenset[ActorKind]] = {
    (None, DealStatus.AVAILABLE): _PEOPLE,
    (DealStatus.AVAILABLE, DealStatus.SOLD): _ANYBODY,
    (DealStatus.AVAILABLE, DealStatus.WITHDRAWN): _ANYBODY,
}

# A deal that can become nothing else any more can no longer be edited either.
CLOSED = frozenset(DealStatus) - {source for source, _ in TRANSITIONS}


class BidStatus(models.TextChoices):
    """Where a bid stands; who may move it where is in `states`."""

    ACTIVE = "active"
    COUNTERED = "countered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


# Bids that may still lead to a sale: by the seller's acceptance, or by the bidder's taking the counter.
OPEN = (BidStatus.ACTIVE, BidStatus.COUNTERED)


class InvoiceStatus(models.TextChoices):
    ISSUED = "issued"
    OVERDUE = "overdue"
    PAID = "paid"
    VOID = "void"


# From -> to. An invoice that is paid or void stays so.
INVOICE_TRANSITIONS: dict[InvoiceStatus, frozenset[InvoiceStatus]] = {
    InvoiceStatus.ISSUED: frozenset(
        {InvoiceStatus.OVERDUE, InvoiceStatus.PAID, InvoiceStatus.VOID}
    ),
    InvoiceStatus.OVERDUE: frozenset({InvoiceStatus.PAID, InvoiceStatus.VOID}),
    InvoiceStatus.PAID: frozenset(),
    InvoiceStatus.VOID: frozenset(),
}


class DocumentSeries(models.TextChoices):
    """Each seller numbers each of these by itself."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class InvoiceMailKind(models.TextChoices):
    INVOICE = "invoice"
    REMINDER = "reminder"
    CREDIT_NOTE = "credit_note"
