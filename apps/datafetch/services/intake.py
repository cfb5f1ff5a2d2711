"""Records of a page become versions: compared where they are stored, written by one COPY (docs/adr/0028).

What is sent first is keys and hashes alone; the data follows of those records only that are new or changed.
"""

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from apps.datafetch.enums import Change
from apps.datafetch.sources.shaping import Shaped

_COMPARE = "SELECT moment, verdicts FROM datafetch_compare_v2(%s, %s::json, %s)"
_COPY = """
COPY datafetch_record
  (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at)
FROM STDIN (FORMAT BINARY)
"""

# PostgreSQL's binary format: the number of columns, and before each value its length (-1 for null).
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = struct.pack("!h", -1)
_BEFORE_KEY = struct.Struct("!hi16siqi")  # stream_id, offset, and the key's length
_BEFORE_DATA = struct.Struct("!i16si")  # hash, and the data's length
_AFTER_DATA = struct.Struct("!i16siiiq")  # run_id, schema_number, fetched_at
_AFTER_DATA_WITHOUT_SCHEMA = struct.Struct("!i16siiq")
_UNCHANGED = "-"
_CHANGES = {
    verdict: struct.pack("!i", len(change.value)) + change.value.encode()
    for verdict, change in (("n", Change.NEW), ("c", Change.CHANGED))
}
_COLUMNS = 9
# Pieces of rows, 6 for each: PostgreSQL stores them while the next are put together.
_AT_ONCE = 6 * 100
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Place(NamedTuple):
    """Where records go: versions get the offsets after `last_offset`, under the lock of the progress."""

    stream_id: UUID
    run_id: UUID
    last_offset: int
    schema_number: int | None


class Taken(NamedTuple):
    """How many of the records were new, and how many had changed."""

    new: int
    changed: int


def comparison(stream_id: UUID, records: Sequence[Shaped]) -> tuple[str, list[Any]]:
    """The statement that compares those records (their keys differ) and retires what changed ones replace;
    its row is for `write`. Both belong into one transaction, which has locked the stream's progress row."""
    keys = orjson.dumps([record.key for record in records]).decode()
    hashes = b"".join([record.hash for record in records])
    return _COMPARE, [stream_id, keys, hashes]


def write(
    cursor: Any, place: Place, records: Sequence[Shaped], moment: datetime, verdicts: str
) -> Taken:
    """Store those records that are new or changed, in their order."""
    taken = Taken(verdicts.count("n"), verdicts.count("c"))
    if any(taken):
        rows = _rows(place, moment, records, verdicts)
        with cursor.copy(_COPY) as copy:
            copy.write(_HEAD)
            while some := b"".join(islice(rows, _AT_ONCE)):
                copy.write(some)
            copy.write(_END)
    return taken


def _rows(
    place: Place, moment: datetime, records: Sequence[Shaped], verdicts: str
) -> Iterator[bytes]:
    """For COPY, of those records that are new or changed."""
    stream_id, after_data = place.stream_id.bytes, _after_data(place, moment)
    offset = place.last_offset
    for (text, digest, data), verdict in zip(records, verdicts, strict=True):
        if verdict != _UNCHANGED:
            offset += 1
            key = text.encode()
            yield _BEFORE_KEY.pack(_COLUMNS, 16, stream_id, 8, offset, len(key))
            yield key
            yield _CHANGES[verdict]
            yield _BEFORE_DATA.pack(16, digest, len(data))
            yield data
            yield after_data


def _after_data(place: Place, moment: datetime) -> bytes:
    """The columns that are the same for all of a page's records."""
    fetched_at = (moment - _EPOCH) // _MICROSECOND
    if place.schema_number is None:
        return _AFTER_DATA_WITHOUT_SCHEMA.pack(16, place.run_id.bytes, -1, 8, fetched_at)
    return _AFTER_DATA.pack(16, place.run_id.bytes, 4, place.schema_number, 8, fetched_at)
