"""Reads of streams, their runs and records, each within the rows that the caller may see."""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import (
    Count,
    Func,
    IntegerField,
    Max,
    Min,
    Q,
    QuerySet,
    RowRange,
    Sum,
    Window,
)
from django.db.models.functions import Left
from psycopg import Cursor
from psycopg.pq.abc import PGresult

from apps.common.clock import rfc3339
from apps.datafetch.errors import RunNotFound, StreamNotFound
from apps.datafetch.limits import CHUNK_BYTES, CHUNK_RECORDS
from apps.datafetch.models import Consumer, Page, Record, Rejected, Run, SchemaVersion, Stream

# Characters of a record's data that lists of people show.
EXCERPT = 300

# Of each of a chunk's rows, `total` being the bytes of data up to it, what record_object has, by the same bytes: its
# line as far as it differs from others, and what they have in common (docs/adr/0033).
_LINES = """
SELECT '{{"offset":' || "offset" || ',"key":' || to_json(key) || ',"data":' || data, fetched_at, change, "offset"
  FROM ({rows}) chunk WHERE total <= %s OR total = octet_length(data) ORDER BY "offset"
"""
_NUMBER = struct.Struct("!q")
_2000 = datetime(2000, 1, 1, tzinfo=UTC)  # from which PostgreSQL counts microseconds


class Version(NamedTuple):
    """A version of a record as it is served; `data` is JSON."""

    offset: int
    key: str
    data: str
    fetched_at: datetime
    change: str


class Lines(NamedTuple):
    """Records as lines of JSON, and the offset of the last of them."""

    text: bytes
    records: int
    end: int


@contextmanager
def binding_cursor() -> Iterator[Any]:
    """A cursor that leaves the binding of parameters to the server: statements are prepared, and bytes go
    there as they are, not as text twice as long that is part of the statement."""
    connection.ensure_connection()
    with (
        connection.wrap_database_errors,
        Cursor(connection.connection) as cursor,
    ):
        yield cursor


def streams(account_id: UUID) -> QuerySet[Stream]:
    """The streams of an account, with how each fares."""
    return Stream.objects.filter(account_id=account_id, deleted_at=None).select_related(
        "progress__last_run"
    )


def undeleted() -> QuerySet[Stream]:
    """The streams of all accounts, for whoever runs the installation."""
    return Stream.objects.filter(deleted_at=None).select_related("progress")


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


def last_page(of: Stream) -> Page | None:
    """The page that was had last, of those that are kept."""
    newest = runs(of).filter(pages__gt=0).order_by("-id").values("pk")[:1]
    pages = Page.objects.filter(stream=of, run_id=newest).defer("body", "keys")
    return pages.order_by("-reading", "-number").first()


def remappable(of: Stream) -> QuerySet[Page]:
    """Pages with their raw bodies, whose records have the keys that they have now."""
    pages = Page.objects.filter(stream=of, body__isnull=False)
    return pages.filter(fetched_at__gt=of.keyed_at) if of.keyed_at else pages


class Kept(NamedTuple):
    """What is kept of the pages of a stream that could be read again; `known` counts all pages, also those
    without a body."""

    pages: int
    known: int
    records: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None


def kept_pages(of: Stream) -> Kept:
    """How much of what was fetched could be read again, without asking the remote API."""
    figures = remappable(of).aggregate(
        pages=Count("pk"),
        records=Sum("record_count", default=0),
        bytes=Sum("body_bytes", default=0),
        oldest=Min("fetched_at"),
        newest=Max("fetched_at"),
    )
    return Kept(known=Page.objects.filter(stream=of).count(), **figures)


def schemas(of: Stream) -> QuerySet[SchemaVersion]:
    """The versions of a stream's schema."""
    return SchemaVersion.objects.filter(stream=of)


def newest_schema(of: Stream) -> SchemaVersion | None:
    """The one in force; None before the first record."""
    return schemas(of).order_by("-number").first()


def rejected(of: Stream) -> QuerySet[Rejected]:
    """Records that could not be taken in; they are kept for 30 days."""
    return Rejected.objects.filter(stream=of)


def consumers(of: Stream) -> QuerySet[Consumer]:
    """The named readers of a stream."""
    return Consumer.objects.filter(stream=of)


def records(of: Stream, *, as_of: datetime | None = None) -> QuerySet[Record]:
    """All versions of records, or those alone that were the present ones at a time.

    In the order of offsets, which commits follow: what is not there yet comes after all that is.
    """
    rows = Record.objects.filter(stream_id=of.id).order_by("offset")
    if as_of is not None:
        was_present = Q(superseded_at=None) | Q(superseded_at__gt=as_of)
        rows = rows.filter(was_present, fetched_at__lte=as_of)
    return rows


def newest_versions(
    of: Stream, *, key: str = "", before: int | None = None, most: int
) -> Sequence[Record]:
    """Versions of records, newest first, of one key alone if it is given, before an offset if there is one.
    Instead of its data, which may be large, each has how it begins as `excerpt`."""
    rows = Record.objects.filter(stream_id=of.id).order_by("-offset").defer("data")
    rows = rows.annotate(excerpt=Left("data", EXCERPT))
    if before is not None:
        rows = rows.filter(offset__lt=before)
    if not key:
        return list(rows[:most])
    # Two reads, for the present version and for those before it have an index each.
    found = [
        *rows.filter(key=key, superseded_at=None)[:most],
        *rows.filter(key=key, superseded_at__isnull=False)[:most],
    ]
    return sorted(found, key=lambda record: -record.offset)[:most]


def next_records(rows: QuerySet[Record], *, after: int, most: int) -> list[Version]:
    """The first `most` of `rows` past an offset, or fewer that fill CHUNK_BYTES (but one at least).

    Sizes are looked at first: a hundred records may have a hundred megabytes.
    """
    later = rows.filter(offset__gt=after)
    sizes = later.annotate(size=_OctetLength("data")).values_list("offset", "size")[:most]
    total, end = 0, None
    for offset, size in sizes:
        total += size
        if end is not None and total > CHUNK_BYTES:
            break
        end = offset
    if end is None:
        return []
    return list(map(Version._make, later.filter(offset__lte=end).values_list(*Version._fields)))


def records_in_chunks(
    rows: QuerySet[Record], *, after: int, most: int | None
) -> Iterator[list[Version]]:
    """`rows` past an offset, up to `most`, a chunk at a time: each is a read of its own, so that no
    transaction stays open however long the reader takes."""
    left = most
    while left is None or left > 0:
        size = CHUNK_RECORDS if left is None else min(left, CHUNK_RECORDS)
        found = next_records(rows, after=after, most=size)
        if not found:
            return
        yield found
        after = found[-1].offset
        left = None if left is None else left - len(found)


def lines_in_chunks(rows: QuerySet[Record], *, after: int, most: int | None) -> Iterator[Lines]:
    """The same as lines of JSON."""
    running = Window(
        Sum(_OctetLength("data")), order_by="offset", frame=RowRange(start=None, end=0)
    )
    rows = rows.annotate(total=running)
    columns = ("offset", "key", "data", "fetched_at", "change", "total")
    left = most
    while left is None or left > 0:
        size = CHUNK_RECORDS if left is None else min(left, CHUNK_RECORDS)
        later = rows.filter(offset__gt=after).values_list(*columns)[:size]
        sql, parameters = later.query.sql_with_params()
        with binding_cursor() as cursor:
            cursor.execute(_LINES.format(rows=sql), [*parameters, CHUNK_BYTES], binary=True)
            found = _lines(cursor.pgresult)
        if found is None:
            return
        yield found
        after = found.end
        left = None if left is None else left - found.records


def _lines(found: PGresult) -> Lines | None:
    """The lines of rows, as their bytes have come. How one ends, nearly all have in common with the one before."""
    value: Callable[[int, int], Any] = found.get_value
    records = found.ntuples
    if not records:
        return None
    ends: dict[tuple[Any, Any], bytes] = {}
    pieces: list[bytes] = []
    for row in range(records):
        fetched = value(row, 1), value(row, 2)
        end = ends.get(fetched)
        if end is None:
            end = ends[fetched] = _end(*fetched)
        pieces += value(row, 0), end
    (last,) = _NUMBER.unpack(value(records - 1, 3))
    return Lines(b"".join(pieces), records, last)


def _end(fetched_at: bytes, change: bytes) -> bytes:
    (microseconds,) = _NUMBER.unpack(fetched_at)
    moment = rfc3339(_2000 + timedelta(microseconds=microseconds)).encode()
    return b',"fetched_at":"%s","change":"%s"}\n' % (moment, change)


def offset_before(of: Stream, moment: datetime, last: int) -> int:
    """The offset after which all records come that were fetched at `moment` or later.

    Found by halving: times grow with the offsets, and an index of them would be as large as the offsets'.
    """
    rows, low, high = records(of), 0, last
    while low < high:
        middle = (low + high + 1) // 2
        nearest = rows.filter(offset__lte=middle).order_by("-offset").values_list("fetched_at")
        found = nearest.first()
        if found is None or found[0] < moment:
            low = middle
        else:
            high = middle - 1
    return low


class _OctetLength(Func):
    function = "octet_length"  # which does not unpack a large value
    output_field = IntegerField()
