"""Logs to replay, and what would happen meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.webhooks import replays
from apps.webhooks.models import Delivery, Due, Endpoint, Replay

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

# Events of `age` ago, stamped and past the fan-out.
_EVENTS = """
WITH made AS (
  INSERT INTO events_event (id, position, type, version, account_id, channel_id, readers, subject,
                            actor, request_id, payload, occurred_at)
  SELECT encode(overlay(uuid_send(webhooks_uuid7()) PLACING substring(
                  int8send((extract(epoch FROM now() - %(age)s * interval '1 second') * 1000)::bigint) FROM 3) FROM 1 FOR 6),
                'hex')::uuid, c.position + n, %(type)s, 1, %(account)s, %(channel)s, %(readers)s,
         gen_random_uuid(), '{}', '', '{"n": 1}', now() - %(age)s * interval '1 second'
    FROM events_counter c, generate_series(1, %(n)s) n
  RETURNING id, position
), moved AS (
  UPDATE events_counter SET position = position + %(n)s
)
INSERT INTO events_consumer (name, position, failures, error)
SELECT 'webhooks.fan_out', max(position), 0, '' FROM made
    ON CONFLICT (name) DO UPDATE SET position = excluded.position
"""


def past_events(
    account: Account,
    n: int,
    *,
    type: str = "webhook_endpoint.disabled",
    age: timedelta = timedelta(0),
    channel: UUID | None = None,
    readers: list[UUID] | None = None,
) -> None:
    """Stores n events for which no delivery was ever made."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO events_counter VALUES (1, 0) ON CONFLICT DO NOTHING")
        cursor.execute(
            _EVENTS,
            {
                "type": type,
                "account": account.id,
                "channel": channel,
                "readers": readers or [],
                "n": n,
                "age": age.total_seconds(),
            },
        )


def start(endpoint: Endpoint, **options: Any) -> Replay:
    """Starts a replay of all there is."""
    return replays.start_replay(
        account_id=endpoint.account_id,
        endpoint_id=endpoint.id,
        **{"since": LONG_AGO, "only": "all", **options},
    )


def run_out(until: Callable[[], bool] | None = None, *, most: int = 200) -> None:
    """Takes steps of all replays, as if time flew and every delivery were answered at once, until there is
    none to take (or `until` says so)."""
    for _ in range(most):
        if until is not None and until():
            return
        Replay.objects.exclude(due_at=None).update(due_at=Now())
        answer_all()
        if not replays.continue_replay():
            return
    raise AssertionError(f"not at its end after {most} steps")


def answer_all() -> None:
    """As if all that is owed had been delivered."""
    Delivery.objects.filter(pk__in=Due.objects.values("pk")).update(
        status="delivered", attempt_count=1, last_status_code=204
    )
    Due.objects.all().delete()
