"""Streams, how far each has come and how fast, and its runs."""

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
from apps.datafetch.enums import RunStatus, SchemaPolicy, State, Trigger

RUNS_KEPT = timedelta(days=30)


class Stream(models.Model):
    """What to fetch, how and how often: what its owner writes.

    A deleted one stays, without secrets, until all that it fetched has been removed in batches.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    url = models.TextField()
    interval_seconds = models.PositiveIntegerField(null=True)
    cron = models.CharField(max_length=100, blank=True, help_text="In UTC.")
    records_path = models.TextField(blank=True, help_text="JMESPath; empty: the body itself.")
    primary_key = models.JSONField(null=True, help_text="A JMESPath, or a list of them.")
    cursor: "models.JSONField[Any, Any]" = models.JSONField(null=True)
    pagination: "models.JSONField[Any, Any]" = models.JSONField()
    auth: "models.JSONField[Any, Any]" = models.JSONField(help_text="Without its secrets.")
    headers: "models.JSONField[Any, Any]" = models.JSONField(default=dict)
    params: "models.JSONField[Any, Any]" = models.JSONField(default=dict)
    secret_headers = ArrayField(models.TextField(), default=list, help_text="Names alone.")
    secret_params = ArrayField(models.TextField(), default=list, help_text="Names alone.")
    secrets = EncryptedTextField(help_text="JSON: of auth, headers and params what is secret.")
    mapping: "models.JSONField[Any, Any]" = models.JSONField(null=True)
    schema_policy = models.CharField(
        max_length=10, choices=SchemaPolicy, default=SchemaPolicy.EVOLVE, db_default="evolve"
    )
    rate_limit = models.FloatField(null=True, help_text="Requests a second at most.")
    state = models.CharField(max_length=10, choices=State, default=State.STOPPED)
    version = models.PositiveIntegerField(default=1, editable=False)
    keyed_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When its records were given other keys: earlier pages do not hold those.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="stream_state"),
            models.CheckConstraint(
                condition=models.Q(interval_seconds=None) ^ models.Q(cron=""),
                name="stream_one_schedule",
            ),
            models.CheckConstraint(
                condition=models.Q(rate_limit=None) | models.Q(rate_limit__gt=0),
                name="stream_rate_limit",
            ),
            models.CheckConstraint(
                condition=models.Q(schema_policy__in=SchemaPolicy.values),
                name="stream_schema_policy",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="stream_account"),
            models.Index(
                fields=["deleted_at"],
                name="stream_deleted",
                condition=models.Q(deleted_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Progress(Leased):
    """How far a stream has come, and when it is due: what its worker writes.

    The row is locked by whoever commits a page, so that offsets are given in the order of commits. A
    run is in progress while `run_id` is set; one stream cannot have two.
    """

    stream = models.OneToOneField(
        Stream, models.DO_NOTHING, primary_key=True, db_column="id", related_name="progress"
    )
    account_id = models.UUIDField(editable=False)
    run_id = models.UUIDField(null=True, help_text="The run in progress.")
    last_run = models.ForeignKey(
        "Run",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text="The newest run, in progress or not.",
    )
    stop_requested = models.BooleanField(default=False)
    next_run_at = models.DateTimeField(null=True, help_text="By schedule; null when stopped.")
    position = EncryptedTextField(
        null=True, help_text="Where the run in progress goes on (sources.position)."
    )
    attempt = models.PositiveSmallIntegerField(
        default=0, help_text="Failed tries of the page that comes next."
    )
    cursor_value: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="The greatest value of the cursor's field that a whole run has seen."
    )
    token = EncryptedTextField(null=True, help_text="OAuth 2 access token.")
    token_expires_at = models.DateTimeField(null=True)
    last_offset = models.BigIntegerField(default=0)
    record_count = models.BigIntegerField(default=0, help_text="Records that are there at present.")
    whole_pages = models.PositiveIntegerField(
        null=True,
        help_text="How many pages have all that is there, as a run has found; null since another was stored.",
    )
    strangers: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="Fields and types that the policy did not let in, as told."
    )
    failures = models.PositiveIntegerField(default=0, help_text="Failed runs in a row.")
    failing_since = models.DateTimeField(
        null=True, help_text="When the first of the failed runs in a row had failed."
    )
    told = ArrayField(
        models.TextField(),
        default=list,
        db_default=[],
        help_text="Causes by which it is failing, its account told of each; none: it is not failing.",
    )
    warned_at = models.DateTimeField(null=True, help_text="Last e-mail about failed runs.")
    drift_warned_at = models.DateTimeField(null=True, help_text="Last e-mail about its schema.")
    succeeded_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(
        null=True, help_text="Since when it failed so often that it is only probed."
    )

    class Meta:
        verbose_name_plural = "progress"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(last_offset__gte=0, record_count__gte=0),
                name="progress_counts",
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="progress_due", condition=models.Q(due_at__isnull=False)
            ),
            models.Index(fields=["account_id"], name="progress_account"),
        ]

    def __str__(self) -> str:
        return f"of {self.stream_id}"


class Run(models.Model):
    """One reading of a stream from its first page to its last. Partitioned by week on `id`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    stream = models.ForeignKey(
        Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    trigger = models.CharField(max_length=10, choices=Trigger)
    status = models.CharField(max_length=10, choices=RunStatus, default=RunStatus.RUNNING)
    full_refresh = models.BooleanField(
        help_text="Reads everything, so that what is missing has been deleted."
    )
    allow_deletes = models.BooleanField(
        default=False, help_text="However many have vanished (somebody has looked)."
    )
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    pages = models.PositiveIntegerField(default=0)
    requests = models.PositiveIntegerField(default=0, help_text="With retries and 304s.")
    bytes = models.BigIntegerField(default=0, help_text="Received, as on the wire.")
    records_new = models.BigIntegerField(default=0)
    records_changed = models.BigIntegerField(default=0)
    records_unchanged = models.BigIntegerField(default=0)
    records_deleted = models.BigIntegerField(default=0)
    records_rejected = models.BigIntegerField(default=0)
    deletes_held_back = models.BigIntegerField(
        default=0, help_text="Too many vanished at once to be believed."
    )
    checkpoint: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, help_text="How far it has come, to be shown."
    )
    error: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="Why it failed, or what its last retry waits for."
    )
    actor: "models.JSONField[Any, Any]" = models.JSONField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=RunStatus.values), name="run_status"
            ),
            models.CheckConstraint(
                condition=models.Q(status=RunStatus.RUNNING) ^ models.Q(ended_at__isnull=False),
                name="run_ended",
            ),
        ]
        indexes = [models.Index(fields=["stream", "-id"], name="run_stream")]

    def __str__(self) -> str:
        return f"{self.status} run of {self.stream_id}"


partitions.register(Run._meta.db_table, keep=RUNS_KEPT)


class HostBudget(models.Model):
    """When an account may ask a host again: shared by all its streams and all workers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    host = models.CharField(max_length=260, help_text="Host and port.")
    free_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "host"], name="budget_host")]

    def __str__(self) -> str:
        return self.host
