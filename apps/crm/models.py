"""Customers, what HubSpot has of them, and the connection of an account to HubSpot."""

from datetime import timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, JSONField, Q, Value
from django.db.models.functions import Lower, Now

from apps.accounts.models import Account
from apps.common import partitions
from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.common.leases import Leased
from apps.crm.enums import (
    MAX_EMAIL,
    MAX_EXTERNAL_ID,
    MAX_NAME,
    Call,
    ErasureStage,
    MissingContact,
    NoticeKind,
    NoticeOutcome,
    Outcome,
    PortalStatus,
    SyncState,
    default_deal_stages,
)

ATTEMPTS_KEPT = timedelta(days=30)


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


class Owed(Leased):
    """What HubSpot has of something, and what it is still owed: a due row.

    Level-triggered: HubSpot is owed something while `revision` is above `synced_revision`, however
    many edits lie between. Who sends notes in `sending` what is on its way, before it goes, and what
    HubSpot confirmed in `acknowledged`, afterwards; a worker killed in between leaves `sending`, and its
    members are in doubt whatever they are now. So only what differs is ever sent, and nothing is
    believed to be there of which that is not certain.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(
        max_length=20, choices=SyncState.choices, default=SyncState.PENDING.value
    )
    revision = models.PositiveIntegerField(default=1, help_text="Counts what HubSpot has to learn.")
    synced_revision = models.PositiveIntegerField(default=0)
    portal_key = models.CharField(
        max_length=64, blank=True, help_text="Where its record is known; another token asks again."
    )
    acknowledged: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, help_text="HubSpot properties as HubSpot last confirmed them."
    )
    sending: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="Those sent without a known outcome."
    )
    batch_limit = models.PositiveSmallIntegerField(
        null=True, help_text="How many may go with it, after a batch was refused as a whole."
    )
    failures = models.PositiveSmallIntegerField(default=0, help_text="In a row, without outcome.")
    error_code = models.CharField(max_length=20, choices=Outcome.choices, blank=True)
    error_reason = models.CharField(
        max_length=100, blank=True, help_text="HubSpot's code, or ours."
    )
    error_property = models.CharField(max_length=200, blank=True)
    error_detail = models.CharField(max_length=1000, blank=True)
    synced_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.state} {self.synced_revision}/{self.revision}"


def _owed_constraints(name: str) -> list[models.BaseConstraint]:
    """Those of every table of what is owed."""
    return [
        models.CheckConstraint(
            condition=Q(synced_revision__lte=F("revision")), name=f"{name}_revision"
        ),
        models.CheckConstraint(
            condition=Q(state=SyncState.PENDING, due_at__isnull=False)
            | Q(due_at=None) & ~Q(state=SyncState.PENDING),
            name=f"{name}_due",
        ),
    ]


def _owed_index(name: str) -> models.Index:
    """By which the workers walk from account to account that waits."""
    return models.Index(
        fields=["account", "due_at"], name=f"{name}_owed", condition=Q(due_at__isnull=False)
    )


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
            *_owed_constraints("contact"),
            # Two customers never write to one contact.
            models.UniqueConstraint(
                fields=["contact_id", "portal_key", "account"],
                name="contact_of_one_customer",
                condition=Q(contact_id__isnull=False) & ~Q(portal_key=""),
            ),
        ]
        indexes = [
            _owed_index("contact"),
            models.Index(fields=["account", "state", "-customer"], name="contact_state"),
            models.Index(
                fields=["-customer"], name="contact_failed", condition=Q(state=SyncState.FAILED)
            ),
        ]


class OrderFold(models.Model):
    """An order as its latest event told it: what the figures of a customer are made of. `id` is the
    order's.

    Written over by a newer version alone, so an event that comes again counts once. Of an order whose
    customer was erased only the id is left, so that no later event brings it back.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    customer_id = models.CharField(
        max_length=MAX_EXTERNAL_ID, blank=True, help_text="The external_id of a customer, perhaps."
    )
    number = models.BigIntegerField(null=True)
    placed_at = models.DateTimeField(null=True)
    counts = models.BooleanField(help_text="Whether it is confirmed, shipped or completed.")
    spent = models.BigIntegerField(default=0, help_text="Its total less refunds, in minor units.")
    currency = models.CharField(max_length=3, blank=True)
    version = models.PositiveIntegerField(help_text="The order's, in that event.")
    is_erased = models.BooleanField(default=False)
    is_news = models.BooleanField(
        default=True, help_text="Whether its customer's figures may not have been looked at since."
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["account", "customer_id"],
                name="orderfold_customer",
                condition=Q(is_erased=False),
            ),
            models.Index(fields=["id"], name="orderfold_news", condition=Q(is_news=True)),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"


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
        constraints = [*_owed_constraints("solddeal")]
        indexes = [
            _owed_index("solddeal"),
            models.Index(fields=["account", "buyer"], name="solddeal_buyer"),
            models.Index(fields=["account", "state", "-id"], name="solddeal_state"),
        ]


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


class Erasure(Leased):
    """What is left to be erased of a customer; gone when nothing is. `id` is the customer's."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    stage = models.CharField(
        max_length=10, choices=ErasureStage.choices, default=ErasureStage.EVENTS.value
    )
    after = models.CharField(max_length=255, blank=True, help_text="How far the stage has come.")
    call_over_at = models.DateTimeField(
        null=True, help_text="Until then HubSpot may be told of the customer by a call under way."
    )
    portal_key = models.CharField(max_length=64, blank=True, help_text="Where contact_id is known.")
    contact_id = models.CharField(max_length=40, blank=True, help_text="To be deleted in HubSpot.")
    email = EncryptedTextField(null=True, help_text="To find that contact by.")
    error = models.CharField(max_length=1000, blank=True, help_text="Why HubSpot will not do it.")

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], name="erasure_due_at", condition=Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.stage}"


class ContactImport(Leased):
    """How far the first load of an account has come. `id` is the account's."""

    account = models.OneToOneField(
        Account, models.PROTECT, primary_key=True, related_name="+", db_column="id"
    )
    portal_key = models.CharField(max_length=64, help_text="Where the contacts come from.")
    after = models.CharField(max_length=200, blank=True, help_text="Where the next page begins.")
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
