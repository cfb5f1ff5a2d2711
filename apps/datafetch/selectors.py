"""Reads of streams, their runs and records, each within the rows that the caller may see."""

from uuid import UUID

from django.db.models import QuerySet

from apps.datafetch.errors import RunNotFound, StreamNotFound
from apps.datafetch.models import Record, Run, Stream


def streams(account_id: UUID) -> QuerySet[Stream]:
    """The streams of an account, with how each fares."""
    return Stream.objects.filter(account_id=account_id, deleted_at=None).select_related(
        "progress__last_run"
    )


def stream(account_id: UUID, stream_id: UUID) -> Stream:
    """One stream of an account; raises StreamNotFound."""
    found = streams(account_id).filter(pk=stream_id).first()
    if found is None:
        raise StreamNotFound("There is no such stream.")
    return found


def runs(of: Stream) -> QuerySet[Run]:
    """The runs of a stream; they are kept for 30 days."""
    return Run.objects.filter(stream_id=of.id)


def run(account_id: UUID, stream_id: UUID, run_id: UUID) -> Run:
    """One run of a stream of an account; raises RunNotFound."""
    found = Run.objects.filter(
        pk=run_id, stream_id=stream_id, stream__account_id=account_id, stream__deleted_at=None
    ).first()
    if found is None:
        raise RunNotFound("There is no such run.")
    return found


def records(of: Stream, *, after: int) -> QuerySet[Record]:
    """Versions of records past an offset, in the order of offsets.

    Commits follow that order, so what is not there yet comes after all that is.
    """
    return Record.objects.filter(stream_id=of.id, offset__gt=after).order_by("offset")
