"""Input of the account calls."""

from rest_framework import serializers

from apps.accounts.enums import SCOPES
from apps.common.api.fields import Choice, Integer, Many, Percent, Text
from apps.common.api.serializers import Body

MAX_OVERLAP_SECONDS = 7 * 24 * 3600


class AccountInput(Body):
    name = Text(max_length=200, required=False)
    legal_name = Text(max_length=200, required=False, allow_blank=True)
    address = Text(max_length=2000, required=False, allow_blank=True)
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True)
    tax_id = Text(max_length=50, required=False, allow_blank=True)
    tax_rate = Percent(required=False, help_text="Percent, for invoices.")


class ApiKeyInput(Body):
    name = Text(max_length=100)
    scopes = Many(child=Choice(choices=SCOPES), min_length=1, max_length=16)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class ApiKeyRotation(Body):
    overlap_seconds = Integer(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        default=0,
        help_text="How long the old key goes on working beside the new one.",
    )
