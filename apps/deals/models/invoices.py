"""Invoices and credit notes, the counters of their numbers, their history and what is still to be mailed.

Triggers (migration `invoices`) keep what was issued: of an invoice only its state may change, until it is
paid or void; a credit note never changes; neither is deleted.
"""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Round

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.common.leases import Leased
from apps.common.money import MAX_AMOUNT
from apps.deals.enums import DocumentSeries, InvoiceMailKind, InvoiceStatus
from apps.deals.models.deals import Deal

# `apps.deals.billing`, in the database's words.
_ADDS_UP = Q(
    subtotal__range=(0, MAX_AMOUNT),
    discount_amount__range=(0, F("subtotal")),
    net_amount=F("subtotal") - F("discount_amount"),
    # A product is exact in PostgreSQL, a quotient of large numbers is not.
    tax_amount=Round(
        models.ExpressionWrapper(
            F("net_amount") * F("tax_rate") * models.Value(Decimal("0.01")),
            output_field=models.DecimalField(),
        )
    ),
    total=F("net_amount") + F("tax_amount"),
)


class DocumentCounter(models.Model):
    """The last number that a seller has given in a series.

    Its row stays locked from taking a number to the end of the transaction, so that a transaction that
    fails gives its number back: no gaps.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    seller = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    series = models.CharField(max_length=12, choices=DocumentSeries.choices)
    last = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seller", "series"], name="counter_seller_series")
        ]

    def __str__(self) -> str:
        return f"{self.series} of {self.seller_id}: {self.last}"


class Invoice(models.Model):
    """What a buyer owes a seller for a deal. Amounts are in the currency's minor unit.

    Who the two are, the lines and the amounts are as they were when it was issued.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    seller = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    buyer = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    deal = models.OneToOneField(Deal, models.PROTECT, related_name="invoice")
    number = models.BigIntegerField(help_text="Without gaps for each seller.")
    currency = models.CharField(max_length=3)
    lines: "models.JSONField[Any, Any]" = models.JSONField(
        help_text='[{"description", "items": [name], "amount"}]'
    )
    subtotal = models.BigIntegerField(help_text="The sum of the lines.")
    discount: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text='{"type", "amount"}'
    )
    discount_amount = models.BigIntegerField()
    net_amount = models.BigIntegerField()
    tax_rate = models.DecimalField(max_digits=5, decimal_places=2, help_text="Percent.")
    tax_amount = models.BigIntegerField()
    total = models.BigIntegerField()
    seller_details: "models.JSONField[Any, Any]" = models.JSONField()
    buyer_details: "models.JSONField[Any, Any]" = models.JSONField()
    issued_at = models.DateTimeField()
    due_date = models.DateField(help_text="The last day on which it is paid in time, in UTC.")
    # From here on: its state.
    status = models.CharField(
        max_length=10, choices=InvoiceStatus.choices, default=InvoiceStatus.ISSUED
    )
    paid_at = models.DateTimeField(null=True)
    payment_reference = models.CharField(max_length=200, blank=True)
    voided_at = models.DateTimeField(null=True)
    remind_at = models.DateTimeField(null=True, help_text="When the buyer is to be reminded next.")
    reminders = models.PositiveSmallIntegerField(default=0)
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seller", "number"], name="invoice_seller_number"),
            models.CheckConstraint(condition=Q(number__gt=0), name="invoice_number"),
            models.CheckConstraint(condition=_ADDS_UP, name="invoice_adds_up"),
            models.CheckConstraint(condition=~Q(buyer=F("seller")), name="invoice_not_to_oneself"),
            models.CheckConstraint(
                condition=Q(status__in=["issued", "overdue"], paid_at=None, voided_at=None)
                | Q(status="paid", paid_at__isnull=False, voided_at=None, remind_at=None)
                | Q(status="void", paid_at=None, voided_at__isnull=False, remind_at=None),
                name="invoice_state",
            ),
        ]
        # Every list is of a seller or a buyer, newest first; the others serve its filters.
        indexes = [
            models.Index(fields=["seller", "-id"], name="invoice_seller"),
            models.Index(fields=["buyer", "-id"], name="invoice_buyer"),
            models.Index(fields=["seller", "status", "-id"], name="invoice_seller_status"),
            models.Index(fields=["buyer", "status", "-id"], name="invoice_buyer_status"),
            models.Index(
                fields=["remind_at"], name="invoice_remind", condition=Q(remind_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"Invoice {self.number}"


class CreditNote(models.Model):
    """Takes back the whole of an invoice."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.OneToOneField(Invoice, models.PROTECT, related_name="credit_note")
    seller = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    buyer = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    number = models.BigIntegerField(help_text="Without gaps for each seller.")
    reason = models.CharField(max_length=500, blank=True)
    issued_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seller", "number"], name="creditnote_seller_number"),
            models.CheckConstraint(condition=Q(number__gt=0), name="creditnote_number"),
        ]
        indexes = [
            models.Index(fields=["seller", "-id"], name="creditnote_seller"),
            models.Index(fields=["buyer", "-id"], name="creditnote_buyer"),
        ]

    def __str__(self) -> str:
        return f"Credit note {self.number}"


class InvoiceHistory(models.Model):
    """One change of an invoice or one mail about it, written with it and kept as long as the invoice."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="history", db_index=False)
    type = models.CharField(max_length=60, help_text="The event of the change, or mail.<kind>.")
    actor: "models.JSONField[Any, Any]" = models.JSONField()
    request_id = models.CharField(max_length=128, blank=True, db_default="")
    changes: "models.JSONField[Any, Any]" = models.JSONField(help_text='{"field": [old, new]}')
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "invoice history"
        indexes = [models.Index(fields=["invoice", "id"], name="invoicehistory_invoice")]

    def __str__(self) -> str:
        return f"{self.type} {self.at:%Y-%m-%d %H:%M}"


class InvoiceMail(Leased):
    """A mail about an invoice that is still to be written: its PDF is made outside of the transaction
    that owes it. The row goes when the mail is owed to `apps.common.mail`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=InvoiceMailKind.choices)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="invoicemail_due")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.invoice_id}"
