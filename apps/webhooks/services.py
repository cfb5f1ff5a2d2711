"""Changes of endpoints and deliveries.

Locks are taken in one order everywhere: endpoint, then webhooks_due, then webhooks_delivery.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Least, Now

from apps.common import clock
from apps.common.actor import Actor
from apps.common.versions import require_version
from apps.common.wakeups import wake_on_commit
from apps.events.models import Event
from apps.events.publishing import draft, publish
from apps.webhooks.backlog import settle
from apps.webhooks.enums import DeliveryStatus, DisabledReason, EndpointStatus, Lane, Reason
from apps.webhooks.errors import EndpointDeleted, EndpointDisabled, TooManySecrets
from apps.webhooks.events import DISABLED, TEST, endpoint_object
from apps.webhooks.models import Delivery, Due, Endpoint, RetiredSecret
from apps.webhooks.selectors import delivery, endpoint
from apps.webhooks.signing import new_secret

DELIVER = "webhooks.deliver"
MAX_RETIRED_SECRETS = 10


class WithSecret(NamedTuple):
    """An endpoint and, for this once, its new secret."""

    endpoint: Endpoint
    secret: str


def create_endpoint(
    *, account_id: UUID, url: str, event_types: list[str], description: str = ""
) -> WithSecret:
    """Register an endpoint; whether its URL may be called is the door's to find out (it takes DNS)."""
    secret = new_secret()
    created = Endpoint.objects.create(
        account_id=account_id,
        url=url,
        event_types=event_types,
        description=description,
        secret=secret,
    )
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
    """Change URL, types or description; each attempt from now on goes to the URL of now."""
    current = _locked(account_id, endpoint_id)
    require_version(current.version, expected)
    altered = {name: value for name, value in changes.items() if getattr(current, name) != value}
    if altered:
        _change(current, **altered)
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
        RetiredSecret.objects.create(endpoint=current, secret=current.secret, expires_at=end)
    secret = new_secret()
    _change(current, secret=secret)
    return WithSecret(endpoint(account_id, endpoint_id), secret)


@transaction.atomic
def enable_endpoint(*, account_id: UUID, endpoint_id: UUID) -> Endpoint:
    """Enable it again; what was parked meanwhile is sent. Enabling an enabled one changes nothing."""
    current = _locked(account_id, endpoint_id)
    if current.status != EndpointStatus.ENABLED:
        _change(current, status=EndpointStatus.ENABLED, disabled_reason="")
        settle(endpoint_id)
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
    disabled = endpoint(current.account_id, endpoint_id)
    publish(
        draft(
            DISABLED,
            account_id=disabled.account_id,
            subject=disabled.id,
            object=endpoint_object(disabled),
            actor=actor,
            at=clock.now(),
        )
    )
    return True


@transaction.atomic
def send_test(*, account_id: UUID, endpoint_id: UUID, actor: Actor) -> Delivery:
    """Owe the endpoint a `webhook_endpoint.test` event, whatever its event_types say.

    Raises EndpointDisabled.
    """
    current = _locked(account_id, endpoint_id)
    if current.status != EndpointStatus.ENABLED:
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


@transaction.atomic
def settle_backlogs() -> bool:
    """Go on with one endpoint whose deliveries do not follow its status yet; True when more may be."""
    stale = Endpoint.objects.select_for_update(skip_locked=True).filter(backlog_stale=True).first()
    if stale is None:
        return False
    settle(stale.id)
    return True


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
              SET ready = true, due_at = now(), lane = excluded.lane,
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


def _locked(account_id: UUID, endpoint_id: UUID) -> Endpoint:
    Endpoint.objects.select_for_update().filter(pk=endpoint_id, account_id=account_id).first()
    return endpoint(account_id, endpoint_id)


def _change(current: Endpoint, **columns: Any) -> None:
    Endpoint.objects.filter(pk=current.pk).update(
        **columns, version=F("version") + 1, updated_at=Now()
    )
