"""What HubSpot tells, and the first load from there."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.common.leases import Leased
from apps.crm.enums import NoticeKind, NoticeOutcome


class Notice(models.Model):
    """Something that HubSpot told by a webhook: owed to the customers while `due_at` is set.

    Kept for longer than HubSpot repeats it, so that it is known again; without its value, once that was
    dealt with.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    digest = models.CharField(max_length=64, unique=True, help_text="Of what tells it from others.")
    hub_id = models.BigIntegerField()
    kind = models.CharField(max_length=10, choices=NoticeKind.choices)
    contact_id = models.CharField(max_length=40, help_text="Of a merge: the one that is left.")
    merged_ids = ArrayField(models.CharField(max_length=40), default=list)
    property_name = models.CharField(max_length=200, blank=True)
    value = models.TextField(blank=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, db_default=Now())
    outcome = models.CharField(max_length=10, choices=NoticeOutcome.choices, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(due_at=None, value="") ^ Q(outcome=""), name="notice_due"
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="notice_due_at", condition=Q(due_at__isnull=False)
            ),
            models.Index(
                fields=["contact_id"], name="notice_contact", condition=Q(due_at__isnull=False)
            ),
            models.Index(fields=["received_at"], name="notice_received"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.contact_id} {self.property_name}".strip()

    @property
    def told_ms(self) -> int:
        """When it happened, as HubSpot writes it: in ms."""
        return round(self.occurred_at.timestamp() * 1000)


class ContactImport(Leased):
    """How far the first load of an account has come. `id` is the account's."""

    account = models.OneToOneField(
        Account, models.PROTECT, primary_key=True, related_name="+", db_column="id"
    )
    portal_key = models.CharField(max_length=64, help_text="Where the contacts come from.")
    after = models.CharField(max_length=200, blank=True, help_text="Where the next page begins.")
    pages = models.PositiveIntegerField(db_default=0, help_text="Pages so far.")
    milestone = models.CharField(
        max_length=200,
        db_default="",
        blank=True,
        help_text="A place that was passed; who comes there again walks in a circle.",
    )
    total = models.PositiveIntegerField(
        null=True, help_text="Contacts in HubSpot when it began; 0 when it did not say."
    )
    read = models.PositiveIntegerField(default=0, help_text="Contacts so far.")
    created = models.PositiveIntegerField(default=0, help_text="Customers made of them.")
    updated = models.PositiveIntegerField(default=0, help_text="Customers that were here.")
    unchanged = models.PositiveIntegerField(default=0)
    without_email = models.PositiveIntegerField(default=0, help_text="Left in HubSpot.")
    refused = models.PositiveIntegerField(
        default=0, help_text="Left in HubSpot: no customer can be what they are."
    )
    error = models.CharField(max_length=1000, blank=True, help_text="Why it does not go on.")
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], name="contactimport_due_at", condition=Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.read}"
