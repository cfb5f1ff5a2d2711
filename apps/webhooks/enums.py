"""The states of endpoints and deliveries, and the words that say why."""

from django.db import models


class EndpointStatus(models.TextChoices):
    """A `failing` endpoint is sent to like an enabled one, as far as its pace allows."""

    ENABLED = "enabled"
    FAILING = "failing"
    DISABLED = "disabled"


class OnFailure(models.TextChoices):
    """What becomes of an ordered subject when one of its deliveries fails."""

    BLOCK = "block"  # what comes after it waits until it is delivered or its retries have ended
    PARK = "park"  # it is set aside, and what comes after it goes on


class DisabledReason(models.TextChoices):
    """Why an endpoint is disabled."""

    GONE = "gone"  # it answered 410
    FAILURES = "failures"  # for days nothing was delivered
    OPERATOR = "operator"  # by a person in the back office


class Lane(models.IntegerChoices):
    """What is owed comes in lanes; each has slots of its own in every sender, so that none waits for
    another."""

    FIRST = 0  # first attempts
    RETRY = 1
    REPLAY = 2
    SLOW = 3  # whatever is owed to endpoints that keep the sender waiting; only claims put it here


class DeliveryStatus(models.TextChoices):
    """`pending` is owed and has a row in webhooks_due; all others rest."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    PARKED = "parked"
    CANCELED = "canceled"


# What rests without success has a row in webhooks_undelivered.
UNDELIVERED = (DeliveryStatus.FAILED, DeliveryStatus.PARKED, DeliveryStatus.CANCELED)


class Reason(models.TextChoices):
    """Why a delivery rests without having been delivered."""

    EXHAUSTED = "exhausted"  # failed: the last retry did
    REFUSED = "refused"  # failed: the receiver wants no retry
    EVENT_GONE = "event_gone"  # failed: the event is older than events are kept
    ENDPOINT_DISABLED = "endpoint_disabled"  # parked until it is enabled
    QUARANTINED = "quarantined"  # parked: claimed again and again, it came to no attempt
    UNREADABLE = "unreadable"  # parked: the secret of its endpoint cannot be decrypted
    SET_ASIDE = "set_aside"  # parked: it failed, and its ordered subject went on
    ENDPOINT_DELETED = "endpoint_deleted"  # canceled
    NOT_VISIBLE = "not_visible"  # canceled: the account may not see the event any more
    REPLAY_CANCELED = "replay_canceled"  # canceled: before it was sent for the first time


class ReplayOnly(models.TextChoices):
    """What a replay sends again."""

    FAILED = "failed"
    ALL = "all"


class ReplayStatus(models.TextChoices):
    """`completed` when each delivery has been tried at least once."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELED = "canceled"
