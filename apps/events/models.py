"""The event log: outbox and feed in one table, and who may read which part of it."""

from datetime import timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common import partitions
from apps.common.ids import uuid7

KEPT = timedelta(days=30)


class Event(models.Model):
    """Something that happened, written in the transaction that made it happen.

    `payload` is the very body that is signed and sent. `position` is stamped afterwards, gap-free over
    the installation and in the order of `sequence`, the order of insertion; readers only ever see
    positions (a sequence taken at insert would make them skip what commits late).
    Partitioned by week on `id` (apps.common.partitions).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sequence = models.BigIntegerField(
        db_default=models.Func(models.Value("events_sequence"), function="nextval"), editable=False
    )
    position = models.BigIntegerField(null=True, editable=False)
    type = models.CharField(max_length=60)
    version = models.PositiveSmallIntegerField(default=1)
    account_id = models.UUIDField()
    channel_id = models.UUIDField(null=True)
    readers = ArrayField(models.UUIDField(), default=list)
    subject = models.UUIDField(help_text="The object it is about.")
    actor: "models.JSONField[Any, Any]" = models.JSONField()
    request_id = models.CharField(max_length=128, blank=True)
    payload = models.BinaryField()
    occurred_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(
                fields=["sequence"], name="event_pending", condition=models.Q(position=None)
            ),
            models.Index(fields=["position"], name="event_position"),
            models.Index(fields=["account_id", "position"], name="event_account"),
            models.Index(
                fields=["channel_id", "position"],
                name="event_channel",
                condition=models.Q(channel_id__isnull=False),
            ),
            models.Index(fields=["subject", "position"], name="event_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


partitions.register(Event._meta.db_table, keep=KEPT)


class Reader(models.Model):
    """An account named on an event; written when the event is stamped, so that feeds need no search."""

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    position = models.BigIntegerField()
    event_id = models.UUIDField()

    class Meta:
        indexes = [
            models.Index(fields=["account_id", "position"], name="reader_account"),
            models.Index(fields=["event_id"], name="reader_event"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} at {self.position}"


class Counter(models.Model):
    """The last position given; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.position)


class Channel(models.Model):
    """A circle of accounts that see the same events of one account, e.g. a seller's buyers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    name = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "name"], name="channel_account_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.account_id}"


class ChannelMember(models.Model):
    """A member now; whoever leaves is out of it for everything not yet read or sent."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="members")
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["channel", "account"], name="member_channel_account")
        ]

    def __str__(self) -> str:
        return f"{self.account_id} in {self.channel_id}"


class Consumer(models.Model):
    """A durable consumer: how far one handler has come in the log."""

    name = models.CharField(primary_key=True, max_length=80)
    position = models.BigIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0, help_text="In a row, on the next event.")
    error = models.TextField(blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
