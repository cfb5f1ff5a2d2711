"""Changes of endpoints and deliveries.

Locks are taken in one order everywhere: endpoint, then webhooks_due, then webhooks_delivery.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Least, Now

from apps.accounts.models import Account
from apps.common import clock
from apps.common.actor import Actor
from apps.common.encryption import UndecipherableError
from apps.common.versions import require_version
from apps.common.wakeups import wake_on_commit
from apps.events.catalogue import EventType
from apps.events.models import Event
from apps.events.publishing import draft, publish
from apps.webhooks.backlog import settle
from apps.webhooks.enums import DeliveryStatus, DisabledReason, EndpointStatus, Lane, Reason
from apps.webhooks.errors import EndpointDeleted, EndpointDisabled, TooManyEndpoints, TooManySecrets
from apps.webhooks.events import DISABLED, RECOVERED, TEST, endpoint_object
from apps.webhooks.models import Delivery, Due, Endpoint, Pace, RetiredSecret
from apps.webhooks.selectors import delivery, endpoint, endpoints
from apps.webhooks.signing import new_secret

DELIVER = "webhooks.deliver"
MAX_RETIRED_SECRETS = 10
DEFAULT_GRACE_SECONDS = 24 * 3600
MAX_GRACE_SECONDS = 7 * 24 * 3600
MAX_ENDPOINTS = 1000  # of an account


class WithSecret(NamedTuple):
    """An endpoint and, for this once, its new secret."""

    endpoint: Endpoint
    secret: str


@transaction.atomic
def create_endpoint(*, account_id: UUID, **columns: Any) -> WithSecret:
    """Register an endpoint; whether its URL may be called is the door's to find out (it takes DNS).

    Raises TooManyEndpoints.
    """
    # One at a time, so that the count holds.
    Account.objects.select_for_update(no_key=True).get(pk=account_id)
    if endpoints(account_id).count() >= MAX_ENDPOINTS:
        raise TooManyEndpoints(
            f"An account has at most {MAX_ENDPOINTS:,} webhook endpoints. Delete one, or let one endpoint "
            "take more event types."
        )
    secret = new_secret()
    created = Endpoint.objects.create(account_id=account_id, secret=secret, **columns)
    if created.rate_limit is not None:
        _limit_rate(created.pk)
    created.refresh_from_db()
    return WithSecret(created, secret)


@transaction.atomic
def update_endpoint(
    *,
    account_id: UUID,
    endpoint_id: UUID,
    changes: dict[str, Any],
    expected: frozenset[int] | None = None,
) -> Endpoint:
    """Change what it is; each attempt from now on goes to the URL of now, at the rate of now.

    `ordered` holds for what becomes owed from now on.
    """
    current = _locked(account_id, endpoint_id)
    require_version(current.version, expected)
    altered = {name: value for name, value in changes.items() if getattr(current, name) != value}
    if altered:
        _change(current, **altered)
    if altered.get("rate_limit") is not None:
        _limit_rate(endpoint_id)
    elif "rate_limit" in altered:
        Pace.objects.filter(pk=endpoint_id).update(next_at=None)
    if "url" in altered:
        # Of another address nothing is known yet: it is tried out at once.
        Pace.objects.filter(pk=endpoint_id).update(closed_until=None)
    return endpoint(account_id, endpoint_id)


@transaction.atomic
def delete_endpoint(
    *, account_id: UUID, endpoint_id: UUID, expected: frozenset[int] | None = None
) -> None:
    """Delete an endpoint and its secrets, cancel what it is still owed; its log stays readable."""
    current = _locked(account_id, endpoint_id)
    require_version(current.version, expected)
    current.retired_secrets.all().delete()
    _change(current, deleted_at=Now(), secret="")
    settle(endpoint_id)


@transaction.atomic
def rotate_secret(*, account_id: UUID, endpoint_id: UUID, grace_seconds: int) -> WithSecret:
    """Sign with a new secret from now on, and with the earlier ones for `grace_seconds` too.

    Raises TooManySecrets when ten earlier ones still sign.
    """
    current = _locked(account_id, endpoint_id)
    end = Now() + timedelta(seconds=grace_seconds)
    current.retired_secrets.update(expires_at=Least(F("expires_at"), end))
    current.retired_secrets.filter(expires_at__lte=Now()).delete()
    if grace_seconds:
        if current.retired_secrets.count() >= MAX_RETIRED_SECRETS:
            raise TooManySecrets(
                f"{MAX_RETIRED_SECRETS} earlier secrets are still in their grace time. "
                "Wait for one to end, or send a shorter grace_seconds."
            )
        with suppress(UndecipherableError):  # that one signs no more, whatever happens
            RetiredSecret.objects.create(endpoint=current, secret=current.secret, expires_at=end)
    secret = new_secret()
    _change(current, secret=secret)
    return WithSecret(endpoint(account_id, endpoint_id), secret)


@transaction.atomic
def enable_endpoint(*, account_id: UUID, endpoint_id: UUID, actor: Actor) -> Endpoint:
    """Enable it again, disabled or failing: all that is held against it is forgotten, and what was parked
    with it is owed anew, with the retry schedule from its start. Enabling an enabled one sends at once
    what a pause or the circuit breaker held back, and changes nothing else."""
    current = _locked(account_id, endpoint_id)
    Pace.objects.filter(pk=endpoint_id).delete()
    if current.rate_limit is not None:
        _limit_rate(endpoint_id)
    if current.status != EndpointStatus.ENABLED:
        _change(current, status=EndpointStatus.ENABLED, disabled_reason="")
        settle(endpoint_id)
        _publish(RECOVERED, endpoint(account_id, endpoint_id), actor)
    wake_on_commit(DELIVER)
    return endpoint(account_id, endpoint_id)


@transaction.atomic
def disable_endpoint(
    *, endpoint_id: UUID, reason: DisabledReason, actor: Actor, while_at: str | None = None
) -> bool:
    """Disable it and park what it is owed; False when it was disabled or deleted before.

    With `while_at`, only while its URL is still that one: an answer of the old address says nothing
    about the new.
    """
    current = Endpoint.objects.select_for_update().filter(pk=endpoint_id, deleted_at=None).first()
    if current is None or current.status == EndpointStatus.DISABLED:
        return False
    if while_at is not None and current.url != while_at:
        return False
    _change(current, status=EndpointStatus.DISABLED, disabled_reason=reason)
    settle(endpoint_id)
    _publish(DISABLED, endpoint(current.account_id, endpoint_id), actor)
    return True


@transaction.atomic
def send_test(*, account_id: UUID, endpoint_id: UUID, actor: Actor) -> Delivery:
    """Owe the endpoint a `webhook_endpoint.test` event, whatever its event_types say.

    Raises EndpointDisabled.
    """
    current = _locked(account_id, endpoint_id)
    if current.status == EndpointStatus.DISABLED:
        raise EndpointDisabled("The endpoint is disabled. Enable it first.")
    test = draft(
        TEST,
        account_id=account_id,
        subject=endpoint_id,
        object=endpoint_object(current),
        actor=actor,
        at=clock.now(),
    )
    publish(test)
    owed = Delivery.objects.create(
        endpoint_id=endpoint_id, event_id=test.id, event_type=TEST.name, subject=endpoint_id
    )
    Due.objects.create(id=owed.id, endpoint_id=endpoint_id, due_at=Now())
    wake_on_commit(DELIVER)
    return delivery(account_id, owed.id)


@transaction.atomic
def redeliver(*, account_id: UUID, delivery_id: UUID) -> Delivery:
    """Send it again now, whatever became of it, with the retry schedule from its start.

    One that is being sent at this moment is left alone. While its endpoint is disabled it is parked.
    Raises DeliveryNotFound, EndpointDeleted.
    """
    found = delivery(account_id, delivery_id)
    target = Endpoint.objects.select_for_update().get(pk=found.endpoint_id)
    if target.deleted_at is not None:
        raise EndpointDeleted("The endpoint of this delivery has been deleted.")
    row = Delivery.objects.filter(pk=delivery_id)
    anew: dict[str, Any] = {"retry_step": 0, "updated_at": Now()}
    if found.attempt_count:
        anew["replay_id"] = delivery_id
    if target.status != EndpointStatus.DISABLED:
        _owe_now(found, target)
        row.update(status=DeliveryStatus.PENDING, reason="", **anew)
        wake_on_commit(DELIVER)
    else:
        row.exclude(status=DeliveryStatus.PENDING).update(
            status=DeliveryStatus.PARKED,
            reason=Reason.ENDPOINT_DISABLED,
            **anew,
        )
    return delivery(account_id, delivery_id)


def forget_expired_secrets() -> None:
    """Remove secrets whose grace time is over."""
    RetiredSecret.objects.filter(expires_at__lte=Now()).delete()


def settle_backlogs() -> bool:
    """Go on with one endpoint whose deliveries do not follow its status yet; True when more may be."""
    stale = Endpoint.objects.filter(backlog_stale=True)
    if not stale.exists():
        return False
    with transaction.atomic():
        endpoint = stale.select_for_update(skip_locked=True).first()
        if endpoint is not None:
            settle(endpoint.id)
    return endpoint is not None


def _owe_now(found: Delivery, target: Endpoint) -> None:
    place = Event.objects.filter(pk=found.event_id).values_list("position", flat=True).first()
    is_ordered = target.ordered and place is not None
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO webhooks_due AS due
                   (id, endpoint_id, ready, lane, order_key, position, due_at, claims)
            VALUES (%s, %s, true, %s, %s, %s, now(), 0)
            ON CONFLICT (id) DO UPDATE
              SET ready = true, is_behind = false, due_at = now(), lane = excluded.lane,
                  lease_id = NULL, lease_until = NULL
              WHERE due.lease_until IS NULL OR due.lease_until < now()""",
            [
                found.id,
                found.endpoint_id,
                Lane.REPLAY,
                found.subject if is_ordered else None,
                place if is_ordered else None,
            ],
        )


def _limit_rate(endpoint_id: UUID) -> None:
    """Let claims count its requests: they do when its pace has a next free moment. What they have given away of
    the limit before is not given again."""
    Pace.objects.get_or_create(pk=endpoint_id)
    Pace.objects.filter(pk=endpoint_id).update(next_at=Greatest("next_at", Now()))


def _publish(kind: EventType, about: Endpoint, actor: Actor) -> None:
    publish(
        draft(
            kind,
            account_id=about.account_id,
            subject=about.id,
            object=endpoint_object(about),
            actor=actor,
            at=clock.now(),
        )
    )


def _locked(account_id: UUID, endpoint_id: UUID) -> Endpoint:
    Endpoint.objects.select_for_update().filter(pk=endpoint_id, account_id=account_id).first()
    return endpoint(account_id, endpoint_id)


def _change(current: Endpoint, **columns: Any) -> None:
    Endpoint.objects.filter(pk=current.pk).update(
        **columns, version=F("version") + 1, updated_at=Now()
    )
