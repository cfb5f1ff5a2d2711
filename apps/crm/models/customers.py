"""Customers."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.crm.enums import MAX_EMAIL, MAX_EXTERNAL_ID, MAX_NAME


class Customer(models.Model):
    """Somebody who buys, as the account's own programs know them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    email = models.CharField(
        max_length=MAX_EMAIL, null=True, help_text="In lower case; empty once erased."
    )
    first_name = models.CharField(max_length=MAX_NAME, null=True, blank=True)
    last_name = models.CharField(max_length=MAX_NAME, null=True, blank=True)
    external_id = models.CharField(
        max_length=MAX_EXTERNAL_ID, null=True, help_text="What orders call it: their customer_id."
    )
    properties: "models.JSONField[Any, Any]" = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            # HubSpot has one contact of an address, so two customers cannot have one.
            models.UniqueConstraint(fields=["account", "email"], name="customer_email"),
            models.UniqueConstraint(fields=["account", "external_id"], name="customer_external_id"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="customer_email_lower"),
            models.CheckConstraint(
                condition=Q(email=None, erased_at__isnull=False)
                | Q(email__isnull=False, erased_at=None),
                name="customer_erased",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="customer_account"),
            # For the start of an address or id, whatever the database's collation.
            models.Index(
                fields=["account", "email"],
                name="customer_email_start",
                opclasses=["uuid_ops", "varchar_pattern_ops"],
            ),
            models.Index(
                fields=["account", "external_id"],
                name="customer_external_id_start",
                opclasses=["uuid_ops", "varchar_pattern_ops"],
            ),
        ]

    def __str__(self) -> str:
        return self.email or "(erased)"
