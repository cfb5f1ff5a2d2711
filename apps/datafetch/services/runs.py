"""The beginning and the end of runs. Locks are taken in one order everywhere: stream, then progress."""

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
    _end(locked(progress), RunStatus.STOPPED, {})


@transaction.atomic
def fail(progress: Progress, error: dict[str, Any], *, cause: str) -> None:
    """Give up the run in progress; the next one comes by schedule."""
    current = locked(progress)
    verdict = after_failure(current, cause, clock.now())
    _end(current, RunStatus.FAILED, verdict.outcome, error=error)
    _publish(RUN_FAILED, current.pk)
    notices.tell_of_failure(current.pk, verdict, cause, actor=system(READ))


def succeed(current: Progress, *, cursor_value: Any) -> None:
    """End the run in progress, its progress locked: all of it has been read and stored."""
    outcome = {
        "failures": 0,
        "failing_since": None,
        "told": [],
        "paused_at": None,
        "succeeded_at": Now(),
        "cursor_value": cursor_value,
    }
    _end(current, RunStatus.SUCCEEDED, outcome, error=None)
    _publish(RUN_SUCCEEDED, current.pk)
    if current.told:
        notices.tell_of_recovery(current, actor=system(READ))


@transaction.atomic
def end_remap(progress: Progress, *, error: dict[str, Any] | None = None) -> None:
    """End a run that has read kept pages again. It tells nothing of how the remote API fares."""
    current = locked(progress)
    if error is None:
        _end(current, RunStatus.SUCCEEDED, {}, error=None)
        _publish(RUN_SUCCEEDED, current.pk)
    else:
        _end(current, RunStatus.FAILED, {}, error=error)
        _publish(RUN_FAILED, current.pk)


def _end(current: Progress, status: RunStatus, outcome: dict[str, Any], **figures: Any) -> None:
    if current.run_id is None:
        raise LeaseLost
    run = Run.objects.get(pk=current.run_id)
    now = clock.now()
    Run.objects.filter(pk=run.pk).update(status=status, ended_at=now, **figures)
    stream = Stream.objects.get(pk=current.pk)
    planned = None
    if stream.state == State.RUNNING and stream.deleted_at is None:
        paused_at = outcome.get("paused_at", current.paused_at)
        planned = (
            current.next_run_at
            if run.trigger == Trigger.REMAP
            else next_time(stream, after=run.started_at, now=now, paused_at=paused_at)
        )
    _rest(current, due_at=planned, next_run_at=planned, **outcome)


def _rest(current: Progress, **outcome: Any) -> None:
    Progress.objects.filter(pk=current.pk).update(
        run_id=None,
        position=None,
        attempt=0,
        stop_requested=False,
        lease_id=None,
        lease_until=None,
        claims=0,
        **outcome,
    )


def count_request(run_id: UUID, received: int = 0) -> None:
    """Count a request that brought no page."""
    Run.objects.filter(pk=run_id).update(requests=F("requests") + 1, bytes=F("bytes") + received)


def _publish(kind: EventType, stream_id: UUID) -> None:
    stream = Stream.objects.select_related("progress__last_run").get(pk=stream_id)
    publish(
        draft(
            kind,
            account_id=stream.account_id,
            subject=stream.id,
            object=status_object(stream),
            actor=system(READ),
            at=clock.now(),
        )
    )
