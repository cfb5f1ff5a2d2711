"""The states of endpoints and deliveries, and the words that say why."""

from django.db import models


class EndpointStatus(models.TextChoices):
    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledReason(models.TextChoices):
    """Why an endpoint is disabled."""

    GONE = "gone"  # it answered 410
    OPERATOR = "operator"  # by a person in the back office


class DeliveryStatus(models.TextChoices):
    """`pending` is owed and has a row in webhooks_due; all others rest."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    PARKED = "parked"
    CANCELED = "canceled"


class Reason(models.TextChoices):
    """Why a delivery rests without having been delivered."""

    EXHAUSTED = "exhausted"  # failed: the last retry did
    QUARANTINED = "quarantined"  # failed: workers kept dying over it
    EVENT_GONE = "event_gone"  # failed: the event is older than events are kept
    ENDPOINT_DISABLED = "endpoint_disabled"  # parked until it is enabled
    ENDPOINT_DELETED = "endpoint_deleted"  # canceled
    NOT_VISIBLE = "not_visible"  # canceled: the account may not see the event any more
