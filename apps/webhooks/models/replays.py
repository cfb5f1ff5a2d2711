"""Deliveries sent again, as a job."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.webhooks.enums import ReplayOnly, ReplayStatus
from apps.webhooks.models.endpoints import Endpoint


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
