"""What HubSpot has of customers and deals, what it is still owed, and each call about them."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import JSONField, Q, Value
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common import partitions
from apps.common.ids import uuid7
from apps.crm.enums import Call, Outcome, SyncState
from apps.crm.models.customers import Customer
from apps.crm.models.owed import Owed, owed_constraints, owed_index

ATTEMPTS_KEPT = timedelta(days=30)


class Contact(Owed):
    """What HubSpot has of a customer: the due row of `crm.sync`."""

    customer = models.OneToOneField(
        Customer, models.PROTECT, primary_key=True, db_column="id", related_name="contact"
    )
    contact_id = models.CharField(max_length=40, null=True)
    property_times: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict,
        db_default=Value({}, JSONField()),
        help_text="{HubSpot property: when HubSpot last told of it or was told, in ms}.",
    )

    class Meta:
        constraints = [
            *owed_constraints("contact"),
            # Two customers never write to one contact.
            models.UniqueConstraint(
                fields=["contact_id", "portal_key", "account"],
                name="contact_of_one_customer",
                condition=Q(contact_id__isnull=False) & ~Q(portal_key=""),
            ),
        ]
        indexes = [
            owed_index("contact"),
            models.Index(fields=["account", "state", "-customer"], name="contact_state"),
            models.Index(
                fields=["-customer"], name="contact_failed", condition=Q(state=SyncState.FAILED)
            ),
        ]


class SoldDeal(Owed):
    """A deal that was sold to a buyer, and what HubSpot has of it: the due row of `crm.deals`. `id` is the
    deal's, here and in the unique property of HubSpot's."""

    id = models.UUIDField(primary_key=True, editable=False)
    buyer = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=200)
    amount = models.BigIntegerField(help_text="What it was sold for, net, in minor units.")
    currency = models.CharField(max_length=3)
    sold_at = models.DateTimeField()
    is_voided = models.BooleanField(default=False, help_text="Its invoice was taken back.")
    hubspot_id = models.CharField(max_length=40, null=True)

    class Meta:
        constraints = [*owed_constraints("solddeal")]
        indexes = [
            owed_index("solddeal"),
            models.Index(fields=["account", "buyer"], name="solddeal_buyer"),
            models.Index(fields=["account", "state", "-id"], name="solddeal_state"),
        ]


class SyncAttempt(models.Model):
    """What a call to HubSpot meant for one customer or deal. Partitioned by week on `id`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account_id = models.UUIDField()
    customer_id = models.UUIDField(help_text="Of a deal: the deal's.")
    call = models.CharField(max_length=20, choices=Call.choices)
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    revision = models.PositiveIntegerField(help_text="The revision that was sent.")
    status = models.PositiveSmallIntegerField(null=True, help_text="HTTP; empty without answer.")
    code = models.CharField(max_length=100, blank=True)
    property = models.CharField(max_length=200, blank=True)
    detail = models.CharField(max_length=1000, blank=True)
    correlation_id = models.CharField(max_length=100, blank=True, help_text="HubSpot's.")
    batch_size = models.PositiveSmallIntegerField(help_text="Customers in the same call.")
    duration_ms = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["customer_id", "-id"], name="syncattempt_customer")]

    def __str__(self) -> str:
        return f"{self.call} {self.outcome} {self.code}".strip()


partitions.register(SyncAttempt._meta.db_table, keep=ATTEMPTS_KEPT)
