"""Where accounts want their events sent, and how their endpoints do."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.webhooks.enums import EndpointStatus, OnFailure


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
