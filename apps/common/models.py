"""Tables that every app shares: stored answers of retried POSTs, and the heartbeats of workers."""

from django.db import models
from django.db.models.functions import Now

from apps.common.ids import uuid7


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
