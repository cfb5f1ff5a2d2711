"""What streams have fetched: pages, records and what these look like; and who reads them."""

from datetime import timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.datafetch.enums import Change
from apps.datafetch.models.streams import Stream

# How long a version is kept that is no longer the present one.
VERSIONS_KEPT = timedelta(days=30)
RAW_KEPT = timedelta(days=7)
PAGES_KEPT = timedelta(days=30)
REJECTED_KEPT = timedelta(days=30)


class Page(models.Model):
    """The newest answer to one request of a stream: what a conditional request needs, what was on the
    page, and for a time its body as it came, so that a new mapping can be applied to it.

    A 304 says that all is as this row tells, `next` included. Rows that a complete run did not visit
    go, so that nothing is believed unchanged that has been deleted meanwhile.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    stream = models.ForeignKey(
        Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    request = models.BinaryField(max_length=16, help_text="Digest of the URL asked for.")
    url = models.TextField(help_text="Without secrets.")
    run_id = models.UUIDField(help_text="The run that visited it last.")
    reading = models.PositiveSmallIntegerField(help_text="Which reading of that run.")
    number = models.PositiveIntegerField(help_text="Its place in that run, from 1.")
    visited_at = models.DateTimeField(db_default=Now())
    fetched_at = models.DateTimeField(db_default=Now(), help_text="When its body came.")
    etag = models.TextField(blank=True)
    last_modified = models.TextField(blank=True)
    shape = models.BinaryField(
        max_length=16, help_text="Digest of what of the stream decides how a body is read."
    )
    digest = models.BinaryField(max_length=16, help_text="Of the body.")
    body = models.BinaryField(null=True, help_text="In gzip's format; null when trimmed.")
    body_bytes = models.BigIntegerField(help_text="Of the body, unpacked.")
    record_count = models.PositiveIntegerField()
    rejected_count = models.PositiveIntegerField(
        db_default=0, help_text="Of these, the rejected ones."
    )
    keys = ArrayField(
        models.BigIntegerField(), help_text="Of each record's key, its hashtextextended."
    )
    cursor_value: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="The greatest on the page."
    )
    next = EncryptedTextField(null=True, help_text="Position of the page after it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stream", "request"], name="page_stream_request")
        ]
        indexes = [
            models.Index(fields=["stream", "run_id", "number"], name="page_visit"),
            models.Index(
                fields=["fetched_at"],
                name="page_raw",
                condition=models.Q(body__isnull=False),
            ),
            models.Index(fields=["visited_at"], name="page_visited"),
        ]

    def __str__(self) -> str:
        return self.url


class Record(models.Model):
    """One version of a record, at its offset: gap-free within the stream, in the order of commits.

    The present version of a key has no `superseded_at`; a `deleted` one never is the present one. So
    what was there at a moment is `fetched_at <= moment` and not superseded by then.
    """

    pk = models.CompositePrimaryKey("stream_id", "offset")
    stream = models.ForeignKey(
        Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    offset = models.BigIntegerField()
    key = models.CharField(max_length=500)
    change = models.CharField(max_length=10, choices=Change)
    hash = models.BinaryField(max_length=16, help_text="Of `data`.")
    data = models.TextField(help_text="JSON, as it is served.")
    run_id = models.UUIDField()
    schema_number = models.PositiveIntegerField(null=True)
    fetched_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True)
    missing_in = models.UUIDField(
        null=True, help_text="The run whose first reading did not find it."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["stream", "key"],
                name="record_present",
                condition=models.Q(superseded_at=None),
            ),
            models.CheckConstraint(condition=models.Q(offset__gte=1), name="record_offset"),
            models.CheckConstraint(
                condition=models.Q(change__in=Change.values), name="record_change"
            ),
            models.CheckConstraint(
                condition=~models.Q(change=Change.DELETED, superseded_at=None),
                name="record_deleted_is_past",
            ),
        ]
        indexes = [
            models.Index(
                fields=["superseded_at"],
                name="record_superseded",
                condition=models.Q(superseded_at__isnull=False),
            ),
            models.Index(
                fields=["stream", "key"],
                name="record_past",
                condition=models.Q(superseded_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} at {self.offset}"


class Rejected(models.Model):
    """A fetched record that could not be taken in, and why."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    stream = models.ForeignKey(
        Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    run_id = models.UUIDField()
    code = models.CharField(max_length=40)
    detail = models.CharField(max_length=500)
    data = models.TextField(help_text="JSON, cut to 16 kB.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "rejected"
        indexes = [
            models.Index(fields=["stream", "-id"], name="rejected_stream"),
            models.Index(fields=["created_at"], name="rejected_created"),
        ]

    def __str__(self) -> str:
        return f"{self.code} in {self.stream_id}"


class SchemaVersion(models.Model):
    """What records looked like from some run on."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    stream = models.ForeignKey(Stream, models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    schema: "models.JSONField[Any, Any]" = models.JSONField()
    shape = models.BinaryField(
        max_length=16,
        default=bytes,
        db_default=b"",
        help_text="Digest of the mapping that it came by.",
    )
    run_id = models.UUIDField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stream", "number"], name="schema_stream_number")
        ]

    def __str__(self) -> str:
        return f"{self.number} of {self.stream_id}"


class Consumer(models.Model):
    """A reader by name: the offset up to which it has committed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    stream = models.ForeignKey(Stream, models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    offset = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    committed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stream", "name"], name="consumer_stream_name"),
            models.CheckConstraint(condition=models.Q(offset__gte=0), name="consumer_offset"),
        ]

    def __str__(self) -> str:
        return self.name
