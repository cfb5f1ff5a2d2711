"""Replays: events of a span of time, sent to one endpoint again, as a job in the database.

A step does nothing but write, so it needs no lease: it holds the endpoint's row while it owes a batch, and
moves the replay's cursor in the same transaction. Killed at any moment, it has owed nothing twice and
left nothing out; of several workers one takes the step, the others pass it by.

First everything is counted, then owed, a thousand at most in one statement, no faster than `rate`, and
never more than two seconds' worth ahead of what has been tried. So a replay fills no queue, and whoever
pauses or cancels it is heard at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.common import clock
from apps.common.ids import uuid7_floor
from apps.common.wakeups import wake_on_commit
from apps.events.catalogue import event_types
from apps.events.patterns import matches
from apps.webhooks.enums import EndpointStatus, ReplayOnly, ReplayStatus
from apps.webhooks.errors import (
    EndpointDisabled,
    EndpointNotFound,
    ReplayEnded,
    ReplayInProgress,
    SpanIsEmpty,
)
from apps.webhooks.events import TEST
from apps.webhooks.models import KEPT, Endpoint, Replay
from apps.webhooks.replay_sql import (
    CANCEL,
    COUNT_ALL,
    COUNT_FAILED,
    OWE_ALL,
    OWE_FAILED,
    SPAN,
    UNTRIED,
)
from apps.webhooks.selectors import replay as find_replay
from apps.webhooks.services import DELIVER

REPLAY = "webhooks.replay"
DEFAULT_RATE = 100
MAX_RATE = 1000
COUNT_BATCH = 20_000
# How far it may be ahead of what has been tried, in seconds of its rate.
AHEAD_SECONDS = 2
# How much of its rate it may make up for, when it was not looked after in time.
CATCH_UP = timedelta(seconds=5)
# Events are stamped in the order of their insertion, but for transactions that were open for so long.
LONGEST_TRANSACTION = timedelta(minutes=10)
PAUSE_SECONDS = 1.0
ENDED_KEPT = timedelta(days=30)
TRIM_BATCH = 1000

ACTIVE = (ReplayStatus.RUNNING, ReplayStatus.PAUSED)


@transaction.atomic
def start_replay(
    *,
    account_id: UUID,
    endpoint_id: UUID,
    since: datetime,
    only: ReplayOnly,
    until: datetime | None = None,
    event_types: list[str] | None = None,
    rate: int = DEFAULT_RATE,
) -> Replay:
    """Send again what happened from `since` to `until` (now, when it is later or None).

    `only` failed deliveries, or all events that the account may see and the endpoint listens to, with
    those that it has never got. `since` is moved up to what is kept.
    Raises EndpointNotFound, EndpointDisabled, SpanIsEmpty, ReplayInProgress.
    """
    endpoint = _locked_endpoint(account_id, endpoint_id)
    if endpoint.status == EndpointStatus.DISABLED:
        raise EndpointDisabled("The endpoint is disabled. Enable it first.")
    now = clock.now()
    start, end = max(since, now - KEPT), min(until or now, now)
    if start >= end:
        raise SpanIsEmpty.at_since()
    if Replay.objects.filter(endpoint=endpoint, status__in=ACTIVE).exists():
        raise ReplayInProgress(
            "A replay to this endpoint is running or paused. Wait for its end, or cancel it."
        )
    first, last = _positions(start, end)
    made = Replay.objects.create(
        endpoint=endpoint,
        since=start,
        until=end,
        event_types=event_types,
        only=only,
        rate=rate,
        first_position=first,
        last_position=last,
        after_position=first,
        created_at=now,
    )
    made.refresh_from_db()
    _count(made, endpoint)
    wake_on_commit(REPLAY)
    return find_replay(account_id, endpoint_id, made.id)


@transaction.atomic
def pause_replay(*, account_id: UUID, endpoint_id: UUID, replay_id: UUID) -> Replay:
    """Owe nothing more until it is resumed. Raises ReplayNotFound, ReplayEnded."""
    current = _locked_replay(account_id, endpoint_id, replay_id)
    if current.status != ReplayStatus.PAUSED:
        _require_active(current)
        _change(current, status=ReplayStatus.PAUSED, due_at=None)
    return find_replay(account_id, endpoint_id, replay_id)


@transaction.atomic
def resume_replay(*, account_id: UUID, endpoint_id: UUID, replay_id: UUID) -> Replay:
    """Go on where it was paused. Raises ReplayNotFound, ReplayEnded."""
    current = _locked_replay(account_id, endpoint_id, replay_id)
    if current.status != ReplayStatus.RUNNING:
        _require_active(current)
        _change(current, status=ReplayStatus.RUNNING, due_at=Now())
        wake_on_commit(REPLAY)
    return find_replay(account_id, endpoint_id, replay_id)


@transaction.atomic
def cancel_replay(*, account_id: UUID, endpoint_id: UUID, replay_id: UUID) -> Replay:
    """Owe nothing more, and take back what is owed but was not tried yet.

    Raises ReplayNotFound, ReplayEnded.
    """
    current = _locked_replay(account_id, endpoint_id, replay_id)
    if current.status != ReplayStatus.CANCELED:
        _require_active(current)
        _end(current, ReplayStatus.CANCELED)
        _run(CANCEL, {"endpoint": endpoint_id, "replay": replay_id})
    return find_replay(account_id, endpoint_id, replay_id)


@transaction.atomic
def continue_replay() -> bool:
    """Take one step of one replay; False when none is due."""
    due = Replay.objects.filter(due_at__lte=Now())
    endpoint = (
        Endpoint.objects.select_for_update(skip_locked=True)
        .filter(pk__in=due.values("endpoint_id"))
        .first()
    )
    if endpoint is None:
        return False
    replay = due.select_for_update().filter(endpoint=endpoint).first()
    if replay is None:
        return True  # paused or canceled meanwhile; the next may be another's
    if endpoint.deleted_at is not None:
        _end(replay, ReplayStatus.CANCELED)
    elif endpoint.status == EndpointStatus.DISABLED:
        _postpone(replay)
    elif not replay.is_counted:
        _count(replay, endpoint)
    elif not replay.is_owed:
        _owe(replay, endpoint)
    elif _untried(replay, 1):
        _postpone(replay)
    else:
        _end(replay, ReplayStatus.COMPLETED)
    return True


def trim_replays() -> bool:
    """Forget replays that ended 30 days ago; True when more may be left."""
    old = Replay.objects.filter(ended_at__lt=Now() - ENDED_KEPT).values("pk")[:TRIM_BATCH]
    trimmed, _ = Replay.objects.filter(pk__in=old).delete()
    return trimmed == TRIM_BATCH


@dataclass(frozen=True, slots=True)
class _Step:
    """What one statement walked over: `seen` of at most the limit, `matched` of these concerned, `owed`
    of these, and the place of the last."""

    seen: int
    matched: int
    owed: int
    last_position: int | None
    last_delivery: UUID | None

    def cursor(self, replay: Replay) -> dict[str, Any]:
        return {
            "after_position": self.last_position or replay.after_position,
            "after_delivery": self.last_delivery or replay.after_delivery,
        }


def _count(replay: Replay, endpoint: Endpoint) -> None:
    statement = COUNT_ALL if replay.only == ReplayOnly.ALL else COUNT_FAILED
    step = _walk(statement, replay, endpoint, COUNT_BATCH)
    total = F("total") + step.matched
    if step.seen == COUNT_BATCH:
        _change(replay, total=total, **step.cursor(replay))
    else:
        _change(
            replay,
            total=total,
            is_counted=True,
            after_position=replay.first_position,
            after_delivery=None,
        )


def _owe(replay: Replay, endpoint: Endpoint) -> None:
    room = replay.rate * AHEAD_SECONDS
    limit = min(room - _untried(replay, room), replay.rate)
    if limit <= 0:
        _postpone(replay)
        return
    statement = OWE_ALL if replay.only == ReplayOnly.ALL else OWE_FAILED
    step = _walk(statement, replay, endpoint, limit)
    _change(
        replay,
        processed=F("processed") + step.matched,
        skipped=F("skipped") + step.matched - step.owed,
        is_owed=step.seen < limit,
        due_at=_next_due(replay, step.owed),
        **step.cursor(replay),
    )
    if step.owed:
        wake_on_commit(DELIVER)


def _next_due(replay: Replay, owed: int) -> datetime:
    """When `owed` more fit its rate, counted from when this step was due."""
    due_at = replay.due_at or clock.now()
    return max(due_at, clock.now() - CATCH_UP) + timedelta(seconds=owed / replay.rate)


def _walk(statement: str, replay: Replay, endpoint: Endpoint, limit: int) -> _Step:
    listens_to = endpoint.event_types if replay.only == ReplayOnly.ALL else ["*"]
    types = [
        kind.name
        for kind in event_types()
        if kind is not TEST
        and matches(listens_to, kind.name)
        and matches(replay.event_types or ["*"], kind.name)
    ]
    parameters = {
        "account": endpoint.account_id,
        "endpoint": endpoint.id,
        "ordered": endpoint.ordered,
        "replay": replay.id,
        "types": types,
        "since": replay.since,
        "until": replay.until,
        "created": replay.created_at,
        "oldest_id": uuid7_floor(replay.since),
        "after": replay.after_position,
        "last": replay.last_position,
        "after_id": replay.after_delivery or uuid7_floor(replay.since),
        "limit": limit,
    }
    (row,) = _run(statement, parameters)
    return _Step(*row)


def _untried(replay: Replay, limit: int) -> int:
    """How many deliveries that it has owed were not tried yet, counted up to `limit`."""
    ((count,),) = _run(
        UNTRIED, {"endpoint": replay.endpoint_id, "replay": replay.id, "limit": limit}
    )
    return int(count)


def _positions(start: datetime, end: datetime) -> tuple[int, int]:
    """After which position the events of a span begin, and up to which one there may be any."""
    ((first, last),) = _run(
        SPAN,
        {
            "before": uuid7_floor(start - LONGEST_TRANSACTION),
            "beyond": uuid7_floor(end + LONGEST_TRANSACTION),
        },
    )
    return first, last


def _run(statement: str, parameters: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def _locked_endpoint(account_id: UUID, endpoint_id: UUID) -> Endpoint:
    found = (
        Endpoint.objects.select_for_update()
        .filter(pk=endpoint_id, account_id=account_id, deleted_at=None)
        .first()
    )
    if found is None:
        raise EndpointNotFound("There is no such endpoint.")
    return found


def _locked_replay(account_id: UUID, endpoint_id: UUID, replay_id: UUID) -> Replay:
    found = find_replay(account_id, endpoint_id, replay_id)
    Endpoint.objects.select_for_update().get(pk=endpoint_id)
    return Replay.objects.select_for_update().get(pk=found.pk)


def _require_active(replay: Replay) -> None:
    if replay.status not in ACTIVE:
        raise ReplayEnded(f"The replay is {replay.status}. Start a new one.")


def _postpone(replay: Replay) -> None:
    Replay.objects.filter(pk=replay.pk).update(due_at=Now() + timedelta(seconds=PAUSE_SECONDS))


def _end(replay: Replay, status: ReplayStatus) -> None:
    _change(replay, status=status, due_at=None, ended_at=Now())


def _change(replay: Replay, **columns: Any) -> None:
    Replay.objects.filter(pk=replay.pk).update(
        **columns, version=F("version") + 1, updated_at=Now()
    )
