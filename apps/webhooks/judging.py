"""How endpoints do: their answers change their pace at once, and by that, a little later, their status.

The status follows the pace, whatever was missed: `judge` looks at every pace that says something else
than its endpoint does.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.common import clock, mail
from apps.common.actor import Actor, system
from apps.common.wakeups import wake_on_commit
from apps.events.catalogue import EventType
from apps.events.publishing import draft, publish
from apps.webhooks.enums import DisabledReason, EndpointStatus
from apps.webhooks.events import FAILING, RECOVERED, endpoint_object
from apps.webhooks.models import Endpoint, Pace
from apps.webhooks.pace import (
    DISABLED_AFTER,
    DISABLED_AFTER_FAILURES,
    FAILING_AFTER,
    State,
    paced,
)
from apps.webhooks.services import disable_endpoint
from apps.webhooks.transport import Outcome

JUDGE = "webhooks.judge"
BATCH = 100
# An endpoint that fails now and then is written about once a day.
WARNED_AGAIN_AFTER = timedelta(days=1)

_COLUMNS = [column.name for column in fields(State)]
_LOCK = f"""
SELECT endpoint_id, clock_timestamp(), {", ".join(_COLUMNS)} FROM webhooks_pace
 WHERE endpoint_id = ANY(%s) ORDER BY endpoint_id FOR UPDATE
"""  # noqa: S608 - made of constants
_TYPES: dict[Any, str] = {
    int: "integer",
    int | None: "integer",
    datetime | None: "timestamptz",
}
_WRITE = f"""
UPDATE webhooks_pace p SET {", ".join(f"{name} = n.{name}" for name in _COLUMNS)}
  FROM unnest(%s::uuid[], {", ".join(f"%s::{_TYPES[one.type]}[]" for one in fields(State))})
    AS n(endpoint_id, {", ".join(_COLUMNS)})
 WHERE p.endpoint_id = n.endpoint_id
"""  # noqa: S608 - made of constants


def note(outcomes: Sequence[Outcome]) -> None:
    """Let outcomes change the paces of their endpoints; call it in the transaction that records them."""
    of_endpoint: defaultdict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_endpoint[outcome.parcel.endpoint_id].append(outcome)
    if not of_endpoint:
        return
    ids = sorted(of_endpoint)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO webhooks_pace (endpoint_id) SELECT unnest(%s::uuid[]) "
            "ON CONFLICT DO NOTHING",
            [ids],
        )
        cursor.execute(_LOCK, [ids])
        before: dict[UUID, tuple[State, datetime]] = {
            row[0]: (State(*row[2:]), row[1]) for row in cursor.fetchall()
        }
        after = {
            endpoint_id: paced(state, of_endpoint[endpoint_id], now)
            for endpoint_id, (state, now) in before.items()
        }
        columns = [[getattr(state, name) for state in after.values()] for name in _COLUMNS]
        cursor.execute(_WRITE, [list(after), *columns])
    if any(
        state.is_given_up or state.is_failing != before[endpoint_id][0].is_failing
        for endpoint_id, state in after.items()
    ):
        wake_on_commit(JUDGE)


def judge() -> bool:
    """Give endpoints the status that their paces tell of, and forget paces that tell of nothing; True when
    there may be more."""
    wrong = list(_misjudged()[:BATCH])
    for endpoint_id in wrong:
        _judge(endpoint_id)
    return len(wrong) + _forget_idle() >= BATCH


def _misjudged() -> Any:
    """Endpoints whose status is not what their pace tells of; one without a pace is well."""
    kept = Endpoint.objects.filter(deleted_at=None)
    failing = Pace.objects.filter(failures__gte=FAILING_AFTER)
    given_up = failing.filter(
        failures__gte=DISABLED_AFTER_FAILURES,
        failed_at__gte=F("failing_since") + DISABLED_AFTER,
    )
    return (
        kept.filter(
            Q(status=EndpointStatus.ENABLED, pk__in=failing.values("pk"))
            | Q(status=EndpointStatus.FAILING, pk__in=given_up.values("pk"))
            | Q(status=EndpointStatus.FAILING)
            & ~Q(pk__in=Pace.objects.filter(failures__gt=0).values("pk"))
        )
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@transaction.atomic
def _judge(endpoint_id: UUID) -> None:
    endpoint = Endpoint.objects.select_for_update().filter(pk=endpoint_id, deleted_at=None).first()
    if endpoint is None or endpoint.status == EndpointStatus.DISABLED:
        return
    pace = Pace.objects.filter(pk=endpoint_id).first() or Pace(failures=0)
    state = State(
        failures=pace.failures, failing_since=pace.failing_since, failed_at=pace.failed_at
    )
    if state.is_given_up:
        disable_endpoint(
            endpoint_id=endpoint_id, reason=DisabledReason.FAILURES, actor=system(JUDGE)
        )
        _mail(endpoint, "has been disabled", _GIVEN_UP)
    elif state.is_failing and endpoint.status == EndpointStatus.ENABLED:
        _become(endpoint, EndpointStatus.FAILING, FAILING, system(JUDGE))
        _warn(endpoint)
    elif state.failures == 0 and endpoint.status == EndpointStatus.FAILING:
        _become(endpoint, EndpointStatus.ENABLED, RECOVERED, system(JUDGE))


def _become(endpoint: Endpoint, status: EndpointStatus, kind: EventType, actor: Actor) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(
        status=status, version=F("version") + 1, updated_at=Now()
    )
    endpoint.refresh_from_db(fields=["status", "version", "updated_at"])
    publish(
        draft(
            kind,
            account_id=endpoint.account_id,
            subject=endpoint.pk,
            object=endpoint_object(endpoint),
            actor=actor,
            at=clock.now(),
        )
    )


def _warn(endpoint: Endpoint) -> None:
    is_due = Q(warned_at=None) | Q(warned_at__lt=Now() - WARNED_AGAIN_AFTER)
    if Endpoint.objects.filter(is_due, pk=endpoint.pk).update(warned_at=Now()):
        _mail(endpoint, "is failing", _FAILING)


_FAILING = """The last requests to your webhook endpoint failed:

{url}

Events for it are kept and sent again on the published schedule. If nothing can be delivered for
{days} days, the endpoint is disabled. GET /api/v1/webhook-endpoints/{id}/deliveries shows what was sent
and what came back.
"""
_GIVEN_UP = """For {days} days nothing could be delivered to your webhook endpoint, so it has been disabled:

{url}

What it is owed is parked. Once it works again, POST /api/v1/webhook-endpoints/{id}/enable sends it.
GET /api/v1/webhook-endpoints/{id}/deliveries shows what was sent and what came back.
"""


def _mail(endpoint: Endpoint, what: str, text: str) -> None:
    if endpoint.account.email:
        mail.owe(
            to=endpoint.account.email,
            subject=f"Your webhook endpoint {what}",
            text=text.format(url=endpoint.url, id=endpoint.pk, days=DISABLED_AFTER.days),
        )


def _forget_idle() -> int:
    """Remove paces that slow nothing down; an endpoint without one is well."""
    idle = Pace.objects.filter(
        Q(closed_until=None) | Q(closed_until__lt=Now()),
        failures=0,
        sluggish=0,
        places=None,
        next_at=None,
    )
    with connection.cursor() as cursor:
        chosen, parameters = idle.values("pk")[:BATCH].query.sql_with_params()
        cursor.execute(
            f"WITH chosen(id) AS MATERIALIZED ({chosen} FOR UPDATE SKIP LOCKED) "  # noqa: S608
            "DELETE FROM webhooks_pace p USING chosen WHERE p.endpoint_id = chosen.id",
            parameters,
        )
        return int(cursor.rowcount)
