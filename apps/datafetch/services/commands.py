"""Start, stop, run now: of one stream or of all of an account's."""

from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.common import clock
from apps.common.actor import Actor
from apps.common.wakeups import wake_on_commit
from apps.datafetch import selectors
from apps.datafetch.enums import State, Trigger
from apps.datafetch.errors import AlreadyRunning, NotRunning, RunInProgress, StreamNotFound
from apps.datafetch.events import STARTED, STOPPED, status_object
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services import runs
from apps.events.catalogue import EventType
from apps.events.publishing import draft, publish


@transaction.atomic
def start_stream(*, account_id: UUID, stream_id: UUID, actor: Actor) -> Stream:
    """Have it run by its schedule, the first time at once; raises AlreadyRunning."""
    stream, progress = locked(account_id, stream_id)
    if stream.state == State.RUNNING:
        raise AlreadyRunning("The stream is running already. POST …/run makes it run now.")
    _start(stream, progress, actor)
    return selectors.stream(account_id, stream_id)


@transaction.atomic
def stop_stream(*, account_id: UUID, stream_id: UUID, actor: Actor) -> Stream:
    """Take it off its schedule and end its run in progress at the next page; raises NotRunning.

    Of a stopped stream that somebody runs once, it ends that run.
    """
    stream, progress = locked(account_id, stream_id)
    is_reading = progress.run_id is not None and not progress.stop_requested
    if stream.state == State.STOPPED and not is_reading:
        raise NotRunning("The stream is not running. POST …/start starts it.")
    _stop(stream, progress, actor)
    return selectors.stream(account_id, stream_id)


@transaction.atomic
def run_stream(
    *,
    account_id: UUID,
    stream_id: UUID,
    actor: Actor,
    full_refresh: bool = False,
    allow_deletes: bool = False,
) -> Run:
    """Run it once, now, started or not; joins the run in progress, if there is one.

    A run that is joined goes on as it began, but for `allow_deletes`. Raises RunInProgress while kept
    pages are read again, which nobody could join to fetch.
    """
    stream, progress = locked(account_id, stream_id)
    if progress.run_id is None:
        run = runs.begin(
            stream,
            progress,
            trigger=Trigger.MANUAL,
            actor=actor,
            full_refresh=full_refresh,
            allow_deletes=allow_deletes,
        )
    else:
        run = Run.objects.get(pk=progress.run_id)
        if run.trigger == Trigger.REMAP:
            raise RunInProgress("Kept pages are being read again. Run it when that has ended.")
        Progress.objects.filter(pk=progress.pk).update(stop_requested=False)
        if allow_deletes:
            Run.objects.filter(pk=progress.run_id).update(allow_deletes=True)
            run.allow_deletes = True
    wake_on_commit(runs.READ)
    return run


@transaction.atomic
def start_all(*, account_id: UUID, actor: Actor) -> list[Stream]:
    """Start every stream of the account that is stopped; returns those."""
    streams = _locked_all(account_id, State.STOPPED)
    for stream, progress in streams:
        _start(stream, progress, actor)
    return _again(account_id, streams)


@transaction.atomic
def stop_all(*, account_id: UUID, actor: Actor) -> list[Stream]:
    """Stop every stream of the account that is started; returns those."""
    streams = _locked_all(account_id, State.RUNNING)
    for stream, progress in streams:
        _stop(stream, progress, actor)
    return _again(account_id, streams)


def locked(account_id: UUID, stream_id: UUID) -> tuple[Stream, Progress]:
    """A stream and its progress, both locked; raises StreamNotFound.

    Not so that a worker could not refer to the stream: it holds the progress when it adds a schema.
    """
    stream = (
        Stream.objects.select_for_update(no_key=True)
        .filter(pk=stream_id, account_id=account_id, deleted_at=None)
        .first()
    )
    if stream is None:
        raise StreamNotFound("There is no such stream.")
    return stream, Progress.objects.select_for_update().get(pk=stream_id)


def _locked_all(account_id: UUID, state: State) -> list[tuple[Stream, Progress]]:
    streams = list(
        Stream.objects.select_for_update(no_key=True)
        .filter(account_id=account_id, deleted_at=None, state=state)
        .order_by("pk")
    )
    ids = [stream.pk for stream in streams]
    progress = Progress.objects.select_for_update().filter(pk__in=ids).order_by("pk").in_bulk()
    return [(stream, progress[stream.pk]) for stream in streams]


def _again(account_id: UUID, streams: list[tuple[Stream, Progress]]) -> list[Stream]:
    ids = [stream.pk for stream, _ in streams]
    return list(selectors.streams(account_id).filter(pk__in=ids).order_by("-pk"))


def _start(stream: Stream, progress: Progress, actor: Actor) -> None:
    Stream.objects.filter(pk=stream.pk).update(state=State.RUNNING)
    if progress.run_id is None:
        runs.begin(stream, progress, trigger=Trigger.START, actor=actor)
    Progress.objects.filter(pk=stream.pk).update(
        stop_requested=False, next_run_at=Now(), paused_at=None, failures=0
    )
    _tell(STARTED, stream, actor)
    wake_on_commit(runs.READ)


def _stop(stream: Stream, progress: Progress, actor: Actor) -> None:
    was_running = stream.state == State.RUNNING
    Stream.objects.filter(pk=stream.pk).update(state=State.STOPPED)
    end_soon(progress)
    if was_running:
        _tell(STOPPED, stream, actor)


def end_soon(progress: Progress) -> None:
    """Take it off the schedule; a run in progress, also one that waits, ends before its next page."""
    is_reading = progress.run_id is not None
    Progress.objects.filter(pk=progress.pk).update(
        next_run_at=None, stop_requested=is_reading, due_at=Now() if is_reading else None
    )
    wake_on_commit(runs.READ)


def _tell(kind: EventType, stream: Stream, actor: Actor) -> None:
    publish(
        draft(
            kind,
            account_id=stream.account_id,
            subject=stream.id,
            object=status_object(selectors.stream(stream.account_id, stream.id)),
            actor=actor,
            at=clock.now(),
        )
    )
