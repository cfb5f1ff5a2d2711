"""The beginning and the end of runs. Locks are taken in one order everywhere: stream, then progress."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor, system
from apps.datafetch.enums import RunStatus, State, Trigger
from apps.datafetch.events import RUN_FAILED, RUN_SUCCEEDED, status_object
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services import notices
from apps.datafetch.services.health import after_failure
from apps.datafetch.services.schedule import next_time
from apps.events.catalogue import EventType
from apps.events.publishing import draft, publish

READ = "datafetch.read"


class LeaseLost(Exception):
    """Somebody else works on the stream now; whoever finds out changes nothing."""


def begin(
    stream: Stream,
    progress: Progress,
    *,
    trigger: Trigger,
    actor: Actor,
    full_refresh: bool = False,
    allow_deletes: bool = False,
) -> Run:
    """Begin a run, with the progress locked and none in progress; a worker takes it up at once."""
    run = Run.objects.create(
        stream=stream,
        trigger=trigger,
        full_refresh=trigger != Trigger.REMAP and (full_refresh or stream.cursor is None),
        allow_deletes=allow_deletes,
        actor=actor.as_json(),
    )
    run.refresh_from_db()
    progress.run_id, progress.last_run_id = run.id, run.id
    progress.position, progress.attempt, progress.stop_requested = None, 0, False
    Progress.objects.filter(pk=stream.id).update(
        run_id=run.id,
        last_run_id=run.id,
        position=None,
        attempt=0,
        stop_requested=False,
        due_at=Now(),
    )
    return run


def locked(progress: Progress) -> Progress:
    """The progress as it is now, locked; raises LeaseLost when it is not ours any more."""
    found = (
        Progress.objects.select_for_update()
        .filter(pk=progress.pk, lease_id=progress.lease_id)
        .first()
    )
    if found is None:
        raise LeaseLost
    return found


@transaction.atomic
def begin_scheduled(stream: Stream, progress: Progress) -> Run | None:
    """Begin the run that is due, or go on with one that somebody has begun since `progress` was claimed; None
    when the stream was stopped or deleted before it began."""
    current = locked(progress)
    if current.run_id is not None:
        progress.position, progress.stop_requested = current.position, current.stop_requested
        return Run.objects.get(pk=current.run_id)
    if Stream.objects.filter(pk=stream.pk, state=State.RUNNING, deleted_at=None).exists():
        return begin(stream, current, trigger=Trigger.SCHEDULE, actor=system(READ))
    _rest(current, due_at=None, next_run_at=None)
    return None


@transaction.atomic
def stop(progress: Progress) -> None:
    """End the run in progress because somebody wants it to."""
    _end(locked(progress), RunStatus.STOPPED, clock.now())


@transaction.atomic
def fail(progress: Progress, error: dict[str, Any], *, cause: str) -> None:
    """Give up the run in progress; the next one comes by schedule."""
    current, now = locked(progress), clock.now()
    verdict = after_failure(current, cause, now)
    _end(current, RunStatus.FAILED, now, RUN_FAILED, verdict.outcome, error=error)
    notices.tell_of_failure(current.pk, verdict, cause, actor=system(READ))


def succeed(current: Progress, *, cursor_value: Any) -> None:
    """End the run in progress, its progress locked: all of it has been read and stored."""
    now = clock.now()
    outcome = {
        "failures": 0,
        "failing_since": None,
        "told": [],
        "paused_at": None,
        "succeeded_at": now,
        "cursor_value": cursor_value,
    }
    _end(current, RunStatus.SUCCEEDED, now, RUN_SUCCEEDED, outcome, error=None)
    if current.told:
        notices.tell_of_recovery(current, actor=system(READ))


@transaction.atomic
def end_remap(progress: Progress, *, error: dict[str, Any] | None = None) -> None:
    """End a run that has read kept pages again. It tells nothing of how the remote API fares."""
    current, now = locked(progress), clock.now()
    if error is None:
        _end(current, RunStatus.SUCCEEDED, now, RUN_SUCCEEDED, error=None)
    else:
        _end(current, RunStatus.FAILED, now, RUN_FAILED, error=error)


def _end(
    current: Progress,
    status: RunStatus,
    now: datetime,
    kind: EventType | None = None,
    outcome: Mapping[str, Any] | None = None,
    **figures: Any,
) -> None:
    """End the run in progress; `figures` are for its columns, `outcome` for those of the progress. An event of `kind`
    tells of it."""
    if current.run_id is None:
        raise LeaseLost
    Run.objects.filter(pk=current.run_id).update(status=status, ended_at=now, **figures)
    stream = Stream.objects.select_related("progress__last_run").get(pk=current.pk)
    columns = {"paused_at": current.paused_at, **(outcome or {})}
    planned = _planned(stream, now, columns["paused_at"])
    _rest(stream.progress, due_at=planned, next_run_at=planned, **columns)
    if kind is not None:
        event = draft(
            kind,
            account_id=stream.account_id,
            subject=stream.id,
            object=status_object(stream),
            actor=system(READ),
            at=now,
        )
        publish(event)


def _planned(stream: Stream, now: datetime, paused_at: datetime | None) -> datetime | None:
    """When the next run is due by schedule, the last one having ended `now`; None for none."""
    ended = stream.progress.last_run
    if stream.state != State.RUNNING or stream.deleted_at is not None or ended is None:
        return None
    if ended.trigger == Trigger.REMAP:
        return stream.progress.next_run_at
    return next_time(stream, after=ended.started_at, now=now, paused_at=paused_at)


def _rest(progress: Progress, **outcome: Any) -> None:
    """Have nothing in progress, in the database and in `progress`."""
    columns = {
        "run_id": None,
        "position": None,
        "attempt": 0,
        "stop_requested": False,
        "lease_id": None,
        "lease_until": None,
        "claims": 0,
        **outcome,
    }
    Progress.objects.filter(pk=progress.pk).update(**columns)
    for name, value in columns.items():
        setattr(progress, name, value)


def count_request(run_id: UUID, received: int = 0) -> None:
    """Count a request that brought no page."""
    Run.objects.filter(pk=run_id).update(requests=F("requests") + 1, bytes=F("bytes") + received)
