"""Endpoints, what is owed to them, and what was sent."""

from datetime import timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common import partitions
from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.common.leases import Leased
from apps.webhooks.enums import DeliveryStatus, EndpointStatus

KEPT = timedelta(days=30)


class Endpoint(models.Model):
    """Where an account wants its events sent.

    A deleted one stays as a row without secrets, so that the log of its deliveries can be read.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    url = models.TextField()
    event_types = ArrayField(models.CharField(max_length=60))
    description = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=10, choices=EndpointStatus, default=EndpointStatus.ENABLED)
    disabled_reason = models.CharField(max_length=20, blank=True)
    secret = EncryptedTextField()
    backlog_stale = models.BooleanField(
        default=False, help_text="Deliveries may not follow the endpoint's status yet."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=EndpointStatus.values), name="endpoint_status"
            ),
            models.CheckConstraint(
                condition=models.Q(status=EndpointStatus.DISABLED) ^ models.Q(disabled_reason=""),
                name="endpoint_disabled_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="endpoint_account"),
            models.Index(
                fields=["id"], name="endpoint_stale", condition=models.Q(backlog_stale=True)
            ),
        ]

    def __str__(self) -> str:
        return self.url


class RetiredSecret(models.Model):
    """A secret that was rotated away and still signs until its time is over."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="retired_secrets")
    secret = EncryptedTextField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"of {self.endpoint_id} until {self.expires_at}"


class Delivery(models.Model):
    """One event for one endpoint, from the fan-out to its end.

    What is still owed stands in `Due`, a small table that is claimed from; this one is the log,
    partitioned by week on `id`. No foreign key constraints: endpoints are never removed, events are
    dropped by the week as deliveries are.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=60)
    subject = models.UUIDField(help_text="The object that the event is about.")
    status = models.CharField(max_length=10, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    reason = models.CharField(max_length=20, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    retry_step = models.PositiveSmallIntegerField(
        default=0, help_text="How far it is on the retry schedule; a redelivery starts it anew."
    )
    last_status_code = models.PositiveSmallIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=DeliveryStatus.values), name="delivery_status"
            )
        ]
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="delivery_endpoint"),
            models.Index(fields=["endpoint", "status", "-id"], name="delivery_endpoint_status"),
            models.Index(fields=["event_id"], name="delivery_event"),
            models.Index(fields=["subject", "-id"], name="delivery_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} to {self.endpoint_id}"


class Due(Leased):
    """Work owed on a pending delivery; `id` is the delivery's. The row goes when the delivery rests.

    It is `ready` to be claimed, or waits for `due_at`: the time of the next try, or the end of the lease
    under which somebody sends it. So an expired lease is just a row that has become due again.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    ready = models.BooleanField(default=True)
    holder = models.TextField(
        db_default="", editable=False, help_text="The process that took the last lease."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(ready=True, lease_id__isnull=False), name="due_ready_unleased"
            )
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "due_at"], name="due_ready", condition=models.Q(ready=True)
            ),
            models.Index(fields=["due_at"], name="due_waiting", condition=models.Q(ready=False)),
            models.Index(
                fields=["endpoint"],
                name="due_leased",
                condition=models.Q(lease_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Attempt(models.Model):
    """One request: what was sent and what came back. Partitioned by week on `id`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    delivery = models.ForeignKey(
        Delivery, models.DO_NOTHING, related_name="attempts", db_constraint=False, db_index=False
    )
    number = models.PositiveIntegerField()
    url = models.TextField()
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=30, blank=True, help_text="When no answer came.")
    request_headers: "models.JSONField[Any, Any]" = models.JSONField()
    response_body = models.BinaryField(help_text="The first 20,000 bytes.")

    class Meta:
        indexes = [models.Index(fields=["delivery", "-number"], name="attempt_delivery")]

    def __str__(self) -> str:
        return f"{self.number} of {self.delivery_id}"


partitions.register(Delivery._meta.db_table, keep=KEPT)
partitions.register(Attempt._meta.db_table, keep=KEPT)


class FanOut(models.Model):
    """An event with more endpoints than one transaction makes deliveries for: how far that has come."""

    event_id = models.UUIDField(primary_key=True)
    after = models.UUIDField(
        help_text="The last endpoint, in the order of ids, that has its delivery."
    )

    def __str__(self) -> str:
        return str(self.event_id)
