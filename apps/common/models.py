"""Tables that every app shares: stored answers of retried POSTs, heartbeats of workers, jobs, owed e-mail,
actions on many objects."""

from typing import Any

from django.db import models
from django.db.models.functions import Now

from apps.common.ids import uuid7
from apps.common.leases import Leased


class IdempotencyKey(models.Model):
    """The answer to a POST, written in the transaction of its effect and kept for 24 hours."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account_id = models.UUIDField()
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField()
    body = models.BinaryField()
    location = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account_id", "key"], name="idempotency_account_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_created")]

    def __str__(self) -> str:
        return self.key


class Heartbeat(models.Model):
    """When a worker's main loop was last seen alive; `/readyz` and the watchdog read it."""

    worker = models.CharField(primary_key=True, max_length=200)
    queue = models.CharField(max_length=50)
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["queue", "seen_at"], name="heartbeat_queue_seen")]

    def __str__(self) -> str:
        return self.worker


class JobRun(models.Model):
    """A job of the schedule: whether it may run, and how it last did. The schedule itself is code."""

    name = models.CharField(primary_key=True, max_length=100)
    is_on = models.BooleanField("on", default=True)
    started_at = models.DateTimeField(null=True, editable=False)
    milliseconds = models.PositiveIntegerField(null=True, editable=False)
    error = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        verbose_name = "job"

    def __str__(self) -> str:
        return self.name


class Message(Leased):
    """An e-mail that is owed while `due_at` is set; then it was sent, or given up."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    to = models.EmailField()
    subject = models.CharField(max_length=200)
    text = models.TextField()
    failures = models.PositiveSmallIntegerField(default=0, editable=False)
    error = models.CharField(max_length=500, blank=True, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "e-mail"
        indexes = [
            models.Index(fields=["to"], name="message_to"),
            models.Index(
                fields=["due_at"], name="message_due", condition=models.Q(due_at__isnull=False)
            ),
            models.Index(
                fields=["created_at"], name="message_done", condition=models.Q(due_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.to})"


class MessageAttachment(models.Model):
    """A file that goes with an e-mail."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(Message, models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=100)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.name


class BulkState(models.TextChoices):
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELED = "canceled"


class BulkOutcome(models.TextChoices):
    DONE = "done"
    REFUSED = "refused"


class BulkAction(models.Model):
    """One thing to be done to many objects, asked for in the back office: a job, and how far it has come."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.CharField(max_length=150)
    title = models.CharField(max_length=200)
    inputs: "models.JSONField[Any, Any]" = models.JSONField(help_text="As they were typed in.")
    actor: "models.JSONField[Any, Any]" = models.JSONField()
    request_id = models.CharField(max_length=128, blank=True)
    state = models.CharField(max_length=10, choices=BulkState, default=BulkState.RUNNING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state=BulkState.RUNNING) ^ models.Q(ended_at__isnull=False),
                name="bulk_ended",
            )
        ]
        indexes = [
            models.Index(
                fields=["id"], name="bulk_running", condition=models.Q(state=BulkState.RUNNING)
            ),
            models.Index(
                fields=["ended_at"],
                name="bulk_ended_at",
                condition=models.Q(ended_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class BulkItem(models.Model):
    """One of the objects; `outcome` is empty until its turn has come."""

    id = models.BigAutoField(primary_key=True)
    action = models.ForeignKey(BulkAction, models.CASCADE, related_name="items", db_index=False)
    object_id = models.CharField(max_length=100)
    outcome = models.CharField(max_length=10, choices=BulkOutcome, blank=True)
    detail = models.CharField(max_length=500, blank=True, help_text="Why it was refused.")

    class Meta:
        indexes = [models.Index(fields=["action", "outcome", "id"], name="bulkitem_outcome")]

    def __str__(self) -> str:
        return self.object_id
