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
from apps.webhooks.enums import (
    DeliveryStatus,
    EndpointStatus,
    Lane,
    OnFailure,
    ReplayOnly,
    ReplayStatus,
)

KEPT = timedelta(days=30)


class EndpointManager(models.Manager["Endpoint"]):
    """Leaves the secret in the database until it is asked for: whoever does not sign needs none, and can do
    with one that cannot be read."""

    def get_queryset(self) -> "models.QuerySet[Endpoint]":
        return super().get_queryset().defer("secret")


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
    ordered = models.BooleanField(default=False, db_default=False)
    on_failure = models.CharField(
        max_length=5, choices=OnFailure, default=OnFailure.BLOCK, db_default=OnFailure.BLOCK
    )
    rate_limit = models.PositiveSmallIntegerField(
        null=True, help_text="Requests a second at most; null for no limit."
    )
    warned_at = models.DateTimeField(
        null=True, editable=False, help_text="When its account was last mailed that it fails."
    )
    backlog_stale = models.BooleanField(
        default=False, help_text="Deliveries may not follow the endpoint's status yet."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = EndpointManager()

    class Meta:
        base_manager_name = "objects"
        permissions = [("rotate_secret", "Can rotate the secret of an endpoint")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=EndpointStatus.values), name="endpoint_status"
            ),
            models.CheckConstraint(
                condition=models.Q(status=EndpointStatus.DISABLED) ^ models.Q(disabled_reason=""),
                name="endpoint_disabled_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(on_failure__in=OnFailure.values), name="endpoint_on_failure"
            ),
            models.CheckConstraint(
                condition=models.Q(rate_limit=None) | models.Q(rate_limit__gte=1),
                name="endpoint_rate_limit",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="endpoint_account"),
            models.Index(
                fields=["id"], name="endpoint_stale", condition=models.Q(backlog_stale=True)
            ),
            models.Index(
                fields=["id"],
                name="endpoint_failing",
                condition=models.Q(status=EndpointStatus.FAILING),
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
            models.Index(fields=["endpoint", "status", "-id"], name="delivery_endpoint_status"),
            models.Index(fields=["endpoint", "event_type", "-id"], name="delivery_endpoint_type"),
            models.Index(fields=["event_id"], name="delivery_event"),
            models.Index(fields=["subject", "-id"], name="delivery_subject"),
            models.Index(
                fields=["replay_id", "status", "-id"],
                name="delivery_replay",
                condition=models.Q(replay_id__isnull=False),
            ),
            models.Index(
                fields=["status", "-id"],
                name="delivery_undelivered",
                condition=models.Q(status__in=["failed", "parked", "canceled"]),
            ),
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
        ]

    def __str__(self) -> str:
        return str(self.id)


class Pace(models.Model):
    """How an endpoint does that failed, keeps the sender waiting or has a rate limit, and how fast it is
    sent to therefore. An endpoint without a row is sent to as fast as any."""

    endpoint = models.OneToOneField(
        Endpoint,
        models.DO_NOTHING,
        primary_key=True,
        related_name="+",
        db_constraint=False,
    )
    failures = models.PositiveIntegerField(db_default=0, help_text="In a row.")
    failing_since = models.DateTimeField(
        null=True, help_text="The first failure after the last success."
    )
    failed_at = models.DateTimeField(null=True, help_text="The last failure.")
    sluggish = models.PositiveIntegerField(
        db_default=0, help_text="Timeouts and answers after more than 5 s, in a row."
    )
    window_at = models.DateTimeField(
        null=True, help_text="Since when, up to 5 minutes, the next two count."
    )
    window_sent = models.PositiveIntegerField(db_default=0)
    window_failed = models.PositiveIntegerField(db_default=0)
    closed_until = models.DateTimeField(null=True, help_text="Nothing is sent before.")
    openings = models.PositiveSmallIntegerField(
        db_default=0, help_text="Of the circuit breaker, without a recovery between."
    )
    places = models.PositiveSmallIntegerField(
        null=True, help_text="Requests in flight at most while it is tried out; null: as usual."
    )
    next_at = models.DateTimeField(
        null=True, help_text="When its rate limit has room for the next request."
    )

    def __str__(self) -> str:
        return f"of {self.endpoint_id}"


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


partitions.register(Delivery._meta.db_table, keep=KEPT)
partitions.register(Attempt._meta.db_table, keep=KEPT)


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


class Replay(models.Model):
    """Events of a span of time, sent to one endpoint again: a job, and how far it has come.

    It walks what it concerns twice, to count it and then to owe it, each time from its beginning to where
    the fan-out was when it was asked for: all events by their positions, failed deliveries by their ids.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="+", db_index=False)
    since = models.DateTimeField()
    until = models.DateTimeField()
    event_types = ArrayField(
        models.CharField(max_length=60), null=True, help_text="Patterns; null: all it listens to."
    )
    only = models.CharField(max_length=6, choices=ReplayOnly)
    rate = models.PositiveIntegerField(help_text="Deliveries owed a second at most.")
    status = models.CharField(max_length=9, choices=ReplayStatus, default=ReplayStatus.RUNNING)
    due_at = models.DateTimeField(
        null=True, db_default=Now(), help_text="When it goes on; null unless it is running."
    )
    is_counted = models.BooleanField(default=False)
    is_owed = models.BooleanField(
        default=False, help_text="All of it; what is left is to see it tried."
    )
    total = models.PositiveIntegerField(default=0)
    processed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(
        default=0, help_text="Of the processed, those on their way already."
    )
    first_position = models.BigIntegerField(help_text="It concerns events after this position…")
    last_position = models.BigIntegerField(help_text="…up to this one.")
    after_position = models.BigIntegerField(help_text="How far it has come.")
    after_delivery = models.UUIDField(null=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"],
                name="replay_one_at_a_time",
                condition=models.Q(status__in=["running", "paused"]),
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=ReplayStatus.values), name="replay_status"
            ),
            models.CheckConstraint(
                condition=models.Q(status=ReplayStatus.RUNNING) ^ models.Q(due_at=None),
                name="replay_due",
            ),
            models.CheckConstraint(condition=models.Q(rate__gte=1), name="replay_rate"),
        ]
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="replay_endpoint"),
            models.Index(
                fields=["due_at"], name="replay_due_at", condition=models.Q(due_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.only} since {self.since:%Y-%m-%d %H:%M}"
