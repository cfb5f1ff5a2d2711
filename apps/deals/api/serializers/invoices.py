"""Input of the invoice calls."""

from rest_framework import serializers

from apps.common.api.fields import Text
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body
from apps.deals.enums import InvoiceStatus
from apps.deals.selectors.invoices import BUYER, SELLER

_REFERENCE_LENGTH = 63  # of a slug; an id is shorter


class InvoicesQuery(PageQuery):
    status = serializers.ChoiceField(choices=InvoiceStatus.choices, required=False)
    role = serializers.ChoiceField(
        choices=[SELLER, BUYER], required=False, help_text="What the caller is on the invoice."
    )
    seller = serializers.CharField(
        required=False, max_length=_REFERENCE_LENGTH, help_text="Id or slug of an account."
    )
    buyer = serializers.CharField(
        required=False, max_length=_REFERENCE_LENGTH, help_text="Id or slug of an account."
    )
    deal = serializers.UUIDField(required=False, help_text="Id of the deal that was sold.")
    due_before = serializers.DateField(
        required=False, help_text="A date; invoices that are due on an earlier one."
    )


class InvoicePaymentInput(Body):
    """How an invoice was paid."""

    paid_at = serializers.DateTimeField(
        required=False, help_text="RFC 3339; not in the future. Left out: now."
    )
    reference = Text(
        max_length=200,
        required=False,
        allow_blank=True,
        help_text="The seller's note of the payment; the buyer sees it.",
    )


class InvoiceVoidInput(Body):
    """Why an invoice is taken back."""

    reason = Text(
        max_length=500, required=False, allow_blank=True, help_text="Stands on the credit note."
    )
