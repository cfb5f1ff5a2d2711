"""How an account is connected to HubSpot, and how HubSpot fares."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import JSONField, Q, Value
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.encryption import EncryptedTextField
from apps.common.leases import Leased
from apps.crm.enums import MissingContact, PortalStatus, default_deal_stages


class Connection(models.Model):
    """How an account is connected to HubSpot; without one the environment's token and defaults hold."""

    account = models.OneToOneField(
        Account, models.PROTECT, primary_key=True, related_name="+", db_column="id"
    )
    access_token = EncryptedTextField(null=True, help_text="Empty: the environment's token.")
    token_digest = models.CharField(max_length=64, blank=True, editable=False)
    missing_contact = models.CharField(
        max_length=10, choices=MissingContact.choices, default=MissingContact.CREATE.value
    )
    mapping: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, help_text="{field of the customer: HubSpot property}, besides the e-mail."
    )
    send_orders = models.BooleanField(default=True)
    send_deals = models.BooleanField(default=True)
    deal_stages: "models.JSONField[Any, Any]" = models.JSONField(
        default=default_deal_stages,
        db_default=Value(default_deal_stages(), JSONField()),
        help_text="HubSpot's ids: {pipeline, won, lost}.",
    )
    resync_after = models.UUIDField(
        null=True,
        editable=False,
        help_text="While all customers are being owed anew: the last one that was.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(access_token=None, token_digest="")
                | Q(access_token__isnull=False) & ~Q(token_digest=""),
                name="connection_token",
            )
        ]
        indexes = [
            models.Index(
                fields=["account"],
                name="connection_resync",
                condition=Q(resync_after__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.account}"


class Portal(models.Model):
    """A token at an address of HubSpot's: what is left of its limits, and whether it answers.

    All workers share this row, so the budget holds over all of them; it is locked for single
    statements only, never while HubSpot is asked.
    """

    key = models.CharField(
        primary_key=True, max_length=64, help_text="SHA-256 of the address and the token's digest."
    )
    hub_id = models.BigIntegerField(
        null=True, db_index=True, help_text="HubSpot's number of the account, once it was asked."
    )
    recent = ArrayField(models.DateTimeField(), default=list, help_text="The latest calls.")
    rate_limit = models.PositiveIntegerField(default=100, help_text="Calls per interval.")
    interval_seconds = models.FloatField(default=10)
    daily_limit = models.PositiveIntegerField(null=True)
    daily_remaining = models.IntegerField(null=True)
    status = models.CharField(
        max_length=20, choices=PortalStatus.choices, default=PortalStatus.OK.value
    )
    resume_at = models.DateTimeField(null=True, help_text="Not called before.")
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    error_reason = models.CharField(max_length=100, blank=True, help_text="HubSpot's code.")
    error_detail = models.CharField(max_length=1000, blank=True)
    has_deal_property = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether HubSpot's deals have our unique property.",
    )
    deals_resume_at = models.DateTimeField(null=True, help_text="No call about deals before.")
    deals_error = models.CharField(
        max_length=1000, blank=True, default="", db_default="", help_text="Why."
    )
    since = models.DateTimeField(db_default=Now(), help_text="When it came to this status.")
    calls = models.BigIntegerField(default=0, help_text="Calls made, ever.")
    changed = models.BigIntegerField(
        default=0, help_text="Customers and deals of which HubSpot acknowledged a change, ever."
    )

    def __str__(self) -> str:
        return f"{self.key[:12]}… {self.status}"


class MappingCheck(Leased):
    """What an account's mapping looks like beside HubSpot's own list of properties. `id` is the account's."""

    account = models.OneToOneField(
        Account, models.PROTECT, primary_key=True, related_name="+", db_column="id"
    )
    checked_at = models.DateTimeField(null=True)
    findings: "models.JSONField[Any, Any]" = models.JSONField(default=list)
    error = models.CharField(max_length=1000, blank=True, help_text="Why it could not be checked.")

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], name="mappingcheck_due", condition=Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return "not checked yet" if self.checked_at is None else f"{len(self.findings)} findings"
