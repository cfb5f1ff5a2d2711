"""What is owed to endpoints, and what was sent."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now

from apps.common import partitions
from apps.common.ids import uuid7
from apps.common.leases import Leased
from apps.webhooks.enums import DeliveryStatus, Lane
from apps.webhooks.models.endpoints import Endpoint

KEPT = timedelta(days=30)
# Half of a page is left for what an outcome makes of the rows on it.
FILL = 50


class Delivery(models.Model):
    """One event for one endpoint, from the fan-out to its end.

    What is still owed stands in `Due`, a small table that is claimed from; this one is the log,
    partitioned by week on `id`. No foreign key constraints: endpoints are never removed, events are
    dropped by the week as deliveries are. No index has what an outcome changes: it would have to write
    anew all entries of the row (docs/adr/0040).
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
    replay_id = models.UUIDField(
        null=True,
        help_text="The replay that last sent it again, or its own id when it was asked for alone.",
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
            models.Index(fields=["endpoint", "event_type", "-id"], name="delivery_endpoint_type"),
            models.Index(fields=["event_id"], name="delivery_event"),
            models.Index(fields=["subject", "-id"], name="delivery_subject"),
            models.Index(
                fields=["replay_id", "-id"],
                name="delivery_replayed",
                condition=models.Q(replay_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} to {self.endpoint_id}"


class Undelivered(models.Model):
    """A delivery that rests without success: failed, parked or canceled. Found here by its status, because no
    index of the log has what an outcome changes (docs/adr/0040). Partitioned as the log is.

    A trigger of the log keeps it: nobody writes it by hand.
    """

    delivery = models.OneToOneField(
        Delivery,
        models.DO_NOTHING,
        primary_key=True,
        db_column="id",
        related_name="undelivered",
        db_constraint=False,
    )
    endpoint = models.ForeignKey(
        Endpoint, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    status = models.CharField(max_length=10, choices=DeliveryStatus)
    replay_id = models.UUIDField(null=True)

    class Meta:
        verbose_name_plural = "undelivered"
        indexes = [
            models.Index(fields=["endpoint", "status", "-delivery"], name="undelivered_endpoint"),
            models.Index(fields=["status", "-delivery"], name="undelivered_status"),
            models.Index(
                fields=["replay_id", "status", "-delivery"],
                name="undelivered_replay",
                condition=models.Q(replay_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id}, {self.status}"


class Due(Leased):
    """Work owed on a pending delivery; `id` is the delivery's. The row goes when the delivery rests.

    It is `ready` to be claimed, or waits for `due_at`: the time of the next try, or the end of the lease
    under which somebody sends it. So an expired lease is just a row that has become due again.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    # No column: its id is the delivery's.
    delivery = models.ForeignObject(
        Delivery,
        models.DO_NOTHING,
        from_fields=["id"],
        to_fields=["id"],
        related_name="due",
        unique=True,
    )
    ready = models.BooleanField(default=True)
    lane = models.PositiveSmallIntegerField(choices=Lane, default=Lane.FIRST, db_default=Lane.FIRST)
    order_key = models.UUIDField(
        null=True, help_text="The subject whose deliveries go one after the other; null: no order."
    )
    position = models.BigIntegerField(
        null=True, help_text="The event's, for what has an order_key: its place in that order."
    )
    is_behind = models.BooleanField(
        default=False,
        db_default=False,
        help_text="It waits for what comes before it in its order.",
    )
    holder = models.TextField(
        db_default="", editable=False, help_text="The process that took the last lease."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(ready=True, lease_id__isnull=False), name="due_ready_unleased"
            ),
            models.CheckConstraint(
                condition=models.Q(order_key=None) | models.Q(position__isnull=False),
                name="due_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lane", "endpoint", "due_at"],
                name="due_unordered",
                condition=models.Q(ready=True, order_key=None),
            ),
            models.Index(
                fields=["endpoint", "lane", "due_at"],
                name="due_in_order",
                condition=models.Q(ready=True, order_key__isnull=False),
            ),
            models.Index(
                fields=["endpoint", "order_key", "position"],
                name="due_ordered",
                condition=models.Q(order_key__isnull=False),
            ),
            models.Index(fields=["due_at"], name="due_waiting", condition=models.Q(ready=False)),
            models.Index(
                fields=["endpoint"],
                name="due_leased",
                condition=models.Q(lease_id__isnull=False),
            ),
            models.Index(
                fields=["endpoint", "-id"],
                name="due_unleased",
                condition=models.Q(lease_id=None),
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
    response_headers: "models.JSONField[Any, Any]" = models.JSONField(null=True)
    response_body = models.BinaryField(help_text="The first 20,000 bytes.")
    # Microseconds of each phase; null for one that did not end, or was not needed.
    dns_us = models.PositiveIntegerField(null=True, help_text="Until the address was known.")
    connect_us = models.PositiveIntegerField(null=True, help_text="Until TCP was connected.")
    tls_us = models.PositiveIntegerField(null=True, help_text="Until TLS was agreed on.")
    first_byte_us = models.PositiveIntegerField(
        null=True, help_text="From the connection to the answer's first byte."
    )

    class Meta:
        indexes = [models.Index(fields=["delivery", "-number"], name="attempt_delivery")]

    def __str__(self) -> str:
        return f"{self.number} of {self.delivery_id}"


class FanOut(models.Model):
    """An event with more endpoints than one transaction makes deliveries for: how far that has come."""

    event_id = models.UUIDField(primary_key=True)
    subject = models.UUIDField(null=True)
    position = models.BigIntegerField(null=True)
    after = models.UUIDField(
        help_text="The last endpoint, in the order of ids, that has its delivery."
    )

    def __str__(self) -> str:
        return str(self.event_id)


partitions.register(Delivery._meta.db_table, keep=KEPT, fillfactor=FILL)
partitions.register(Undelivered._meta.db_table, keep=KEPT)
partitions.register(Attempt._meta.db_table, keep=KEPT)
