"""Readers by name: how far each has come. Nothing is skipped, for offsets follow the order of commits."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.datafetch import selectors
from apps.datafetch.enums import Edge
from apps.datafetch.errors import ConsumerInvalid, ConsumerMoved, ConsumerNotFound, TooManyConsumers
from apps.datafetch.limits import CONSUMERS_PER_STREAM
from apps.datafetch.models import Consumer, Stream
from apps.datafetch.selectors import Version


class Standing(NamedTuple):
    """A consumer and how many versions of records come after it."""

    consumer: Consumer
    lag: int


def standing(of: Stream, consumer: Consumer) -> Standing:
    return Standing(consumer, of.progress.last_offset - consumer.offset)


def registered(of: Stream, name: str) -> Consumer:
    """The consumer of this name; one that is new begins with the first record."""
    mine = Consumer.objects.filter(stream=of)
    found = mine.filter(name=name).first()
    if found is not None:
        return found
    if mine.count() >= CONSUMERS_PER_STREAM:
        raise TooManyConsumers(f"A stream has at most {CONSUMERS_PER_STREAM}: delete one.")
    Consumer.objects.bulk_create([Consumer(stream=of, name=name)], ignore_conflicts=True)
    return mine.get(name=name)


@transaction.atomic
def take(of: Stream, name: str, *, most: int) -> tuple[list[Version], int]:
    """What it has not read yet, up to `most`, and move it past that; and the offset where it then is.

    Clients that read as one consumer at the same time wait for each other and share the records.
    """
    consumer = _locked(of, name)
    found = selectors.next_records(selectors.records(of), after=consumer.offset, most=most)
    if found:
        _move(consumer, found[-1].offset)
    return found, consumer.offset


@transaction.atomic
def move_if_still_at(of: Stream, name: str, *, start: int, end: int) -> None:
    """Move it from `start` to `end`, unless somebody has moved it meanwhile."""
    consumer = _locked(of, name)
    if consumer.offset == start:
        _move(consumer, end)


@transaction.atomic
def commit(
    *, account_id: UUID, stream_id: UUID, name: str, offset: int, expected: int | None = None
) -> Standing:
    """All up to `offset` has been read; further back sets it back. Raises ConsumerInvalid for an offset
    that is not there yet, ConsumerMoved when the consumer is not at `expected`."""
    stream = selectors.stream(account_id, stream_id)
    consumer = _locked(stream, name)
    if offset > stream.progress.last_offset:
        raise ConsumerInvalid.at(
            "/offset",
            "not_there_yet",
            f"The newest offset is {stream.progress.last_offset}: further on, records would be skipped.",
        )
    if expected is not None and expected != consumer.offset:
        raise ConsumerMoved(f"The consumer is at {consumer.offset}, not at {expected}.")
    _move(consumer, offset)
    return standing(stream, consumer)


@transaction.atomic
def seek(*, account_id: UUID, stream_id: UUID, name: str, to: Edge | datetime) -> Standing:
    """Set it to the beginning, the end, or before the first record fetched at a time or later."""
    stream = selectors.stream(account_id, stream_id)
    consumer = _locked(stream, name)
    last = stream.progress.last_offset
    if isinstance(to, datetime):
        _move(consumer, selectors.offset_before(stream, to, last))
    else:
        _move(consumer, last if to == Edge.LATEST else 0)
    return standing(stream, consumer)


@transaction.atomic
def forget(*, account_id: UUID, stream_id: UUID, name: str) -> None:
    """Delete a consumer; raises ConsumerNotFound."""
    stream = selectors.stream(account_id, stream_id)
    deleted, _ = Consumer.objects.filter(stream=stream, name=name).delete()
    if not deleted:
        raise ConsumerNotFound("There is no such consumer.")


def _locked(of: Stream, name: str) -> Consumer:
    consumer = registered(of, name)
    return Consumer.objects.select_for_update().get(pk=consumer.pk)


def _move(consumer: Consumer, offset: int) -> None:
    moved: dict[str, Any] = {"offset": offset, "committed_at": Now()}
    Consumer.objects.filter(pk=consumer.pk).update(**moved)
    consumer.offset = offset
    consumer.refresh_from_db(fields=["committed_at"])
