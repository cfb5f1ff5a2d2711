"""A page, its records and the checkpoint after it: one transaction, or nothing of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from django.db import connection, models, transaction
from django.db.models import F
from psycopg import Cursor

from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.datafetch.limits import BRAKE_LEAST, BRAKE_SHARE, LEASE_SECONDS
from apps.datafetch.models import Page, Progress, Rejected, Run, Stream
from apps.datafetch.selectors import binding_cursor
from apps.datafetch.services import runs, schemas
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.intake import Place, Taken, comparison, write
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.pagination import Position, may_shift
from apps.datafetch.sources.shaping import Refused, Shaped
from apps.datafetch.sources.source import Asked

_LOCK = """
SELECT last_offset, stop_requested FROM datafetch_progress
 WHERE id = %s AND lease_id = %s FOR UPDATE
"""
# A statement of its own: one that has waited for a lock sees other tables as they were before it waited.
_AS_IT_IS = """
SELECT s.version, (SELECT max(v.number) FROM datafetch_schemaversion v WHERE v.stream_id = s.id)
  FROM datafetch_stream s WHERE s.id = %s
"""

# Nothing is compared, and retired, by a worker that has lost its lease: all of this is sent at once.
_IF_LEASED = " WHERE EXISTS (SELECT FROM datafetch_progress WHERE id = %s AND lease_id = %s)"

_KEEP_PAGE = """
INSERT INTO datafetch_page (id, stream_id, request, url, run_id, reading, number, visited_at,
  fetched_at, etag, last_modified, shape, digest, body, body_bytes, record_count, keys, cursor_value,
  next)
VALUES (%(id)s, %(stream_id)s, %(request)s, %(url)s, %(run_id)s, %(reading)s, %(number)s, now(), now(),
  %(etag)s, %(last_modified)s, %(shape)s, %(digest)s, %(body)s, %(body_bytes)s, %(record_count)s,
  ARRAY(SELECT hashtextextended(key, 0) FROM json_array_elements_text(%(keys)s::json) key),
  %(cursor_value)s::jsonb, %(next)s)
ON CONFLICT (stream_id, request) DO UPDATE SET (url, run_id, reading, number, visited_at, fetched_at,
  etag, last_modified, shape, digest, body, body_bytes, record_count, keys, cursor_value, next)
  = (EXCLUDED.url, EXCLUDED.run_id, EXCLUDED.reading, EXCLUDED.number, EXCLUDED.visited_at,
  EXCLUDED.fetched_at, EXCLUDED.etag, EXCLUDED.last_modified, EXCLUDED.shape, EXCLUDED.digest,
  EXCLUDED.body, EXCLUDED.body_bytes, EXCLUDED.record_count, EXCLUDED.keys, EXCLUDED.cursor_value,
  EXCLUDED.next)
"""

# What was stored from it is not what it was read by any more: should that come back, it is read once more.
_DISTRUST_PAGE = "UPDATE datafetch_page SET shape = '' WHERE stream_id = %s AND request = %s"

# The run's figures, the mark on a page that was known, and the checkpoint.
_ADVANCE = """
WITH counted AS (
  UPDATE datafetch_run SET pages = pages + 1, requests = requests + %(requests)s,
         bytes = bytes + %(bytes)s, records_new = records_new + %(added)s,
         records_changed = records_changed + %(changed)s,
         records_unchanged = records_unchanged + %(unchanged)s,
         records_rejected = records_rejected + %(rejected)s,
         checkpoint = %(shown)s::jsonb, error = NULL
   WHERE id = %(run_id)s
), visited AS (
  UPDATE datafetch_page SET run_id = %(run_id)s, reading = %(reading)s, number = %(number)s,
         visited_at = now()
   WHERE id = %(visited)s
)
UPDATE datafetch_progress SET last_offset = last_offset + %(added)s + %(changed)s,
       record_count = record_count + %(added)s, position = %(position)s, attempt = 0, claims = 0,
       lease_until = now() + make_interval(secs => %(lease_seconds)s)
 WHERE id = %(stream_id)s
"""


_KNOWN = """
SELECT id, run_id, reading, number, url, etag, last_modified, shape, digest, record_count,
       cursor_value, next
  FROM datafetch_page WHERE stream_id = %s AND request = %s
"""


# What is on a page that a reading has visited is there: when it is as many as are there, it is all of them. That
# costs a tenth of looking for each record, and of two keys with one number it only sees too few.
_SEEN = """
SELECT count(DISTINCT key) FROM datafetch_page p, unnest(p.keys) key
 WHERE p.stream_id = %s AND p.run_id = %s AND p.reading = %s
"""

_Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]


class ConfigurationChanged(Exception):
    """The stream was edited while its page was fetched: the run reads it anew."""


class Known(NamedTuple):
    """What an earlier answer to the same request has left."""

    id: UUID
    run_id: UUID
    reading: int
    number: int
    url: str
    etag: str
    last_modified: str
    shape: bytes
    digest: bytes
    record_count: int
    cursor_value: Any
    next: str | None


def known(stream_id: UUID, request: bytes) -> Known | None:
    """The newest answer to a request, if there was one."""
    with binding_cursor() as cursor:
        cursor.execute(_KNOWN, [stream_id, request])
        row = cursor.fetchone()
    if row is None:
        return None
    found = Known(*row)
    greatest, following = found.cursor_value, found.next
    return found._replace(
        cursor_value=None if greatest is None else orjson.loads(greatest),
        next=_decrypted(Page, "next", following),
    )


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came and what is on it. Of one that is `unchanged`, only what is known already; of one
    that is read again and was not fetched, the run that visited it last (`kept_by`).
    """

    asked: Asked
    after: Position | None
    greatest: Any
    count: int
    requests: int
    received: int
    unchanged: Known | None = None
    etag: str = ""
    last_modified: str = ""
    shape: bytes = b""
    digest: bytes = b""
    body_bytes: int = 0
    packed: Callable[[], bytes] = bytes
    records: tuple[Shaped, ...] = ()
    refused: tuple[Refused, ...] = ()
    rejected: int = 0
    form: Form = field(default_factory=dict)
    form_shape: bytes = b""
    strangers: Form = field(default_factory=dict)
    kept_by: UUID | None = None


@transaction.atomic
def store(
    stream: Stream,
    progress: Progress,
    run: Run,
    fetched: Fetched,
    after: Checkpoint,
    held: schemas.Held,
) -> None:
    """Store a page and go on to `after`; the lease is renewed. `progress` and `held` become what is stored.

    Raises runs.LeaseLost, and ConfigurationChanged when the stream is not what the page was fetched by.
    """
    last_offset, newest, compared = _locked_and_compared(stream, progress, fetched)
    taken = Taken(0, 0)
    if compared is not None:
        form, shape = fetched.form, fetched.form_shape
        if not held.has_room(newest, form, shape):
            newest = schemas.keep(stream, progress, run, form, shape, held)
        place = Place(stream.id, fetched.kept_by or run.id, last_offset, newest)
        with binding_cursor() as cursor:
            taken = write(cursor, place, fetched.records, *compared)
    last: list[_Statement] = [(_ADVANCE, _figures(progress, run, fetched, after, taken))]
    if fetched.unchanged is None:
        if fetched.kept_by is None:
            last.insert(0, (_KEEP_PAGE, _page_row(stream, run, fetched, after)))
        else:
            last.insert(0, (_DISTRUST_PAGE, [stream.id, fetched.asked.digest]))
        _keep_refused(stream, run, fetched.refused)
        schemas.tell_of_strangers(stream, progress, fetched.strangers)
    _all_at_once(last)
    progress.attempt = progress.claims = 0


def _locked_and_compared(
    stream: Stream, progress: Progress, fetched: Fetched
) -> tuple[int, int | None, Any]:
    """The last offset, the newest schema and what became of the comparison, if there are records."""
    asked: list[_Statement] = [
        (_LOCK, [progress.pk, progress.lease_id]),
        (_AS_IT_IS, [progress.pk]),
    ]
    if fetched.records:
        compare, parameters = comparison(stream.id, fetched.records)
        asked.append((compare + _IF_LEASED, [*parameters, progress.pk, progress.lease_id]))
    locked, as_it_is, *compared = (cursor.fetchone() for cursor in _all_at_once(asked))
    if locked is None:
        raise runs.LeaseLost
    last_offset, progress.stop_requested = locked
    version, newest = as_it_is
    if version != stream.version:
        raise ConfigurationChanged
    return last_offset, newest, compared[0] if compared else None


def _all_at_once(statements: Sequence[_Statement]) -> list[Any]:
    """Run statements, which PostgreSQL gets together, in one round trip; a cursor for each."""
    connection.ensure_connection()
    psycopg = connection.connection
    with connection.wrap_database_errors, psycopg.pipeline():
        return [Cursor(psycopg).execute(sql, parameters) for sql, parameters in statements]


@transaction.atomic
def finish(stream: Stream, progress: Progress, run: Run, reached: Checkpoint) -> Checkpoint | None:
    """End a run that has read its last page; None, or where it has to make sure of what is missing."""
    current = runs.locked(progress)
    if run.full_refresh:
        missing = _missing(stream, current, run, reached)
        most = max(BRAKE_SHARE * current.record_count, BRAKE_LEAST)
        if len(missing) > most and not run.allow_deletes:
            Run.objects.filter(pk=run.pk).update(deletes_held_back=len(missing))
        elif missing and _may_have_slipped(stream, reached):
            return _look_again(stream, current, run, reached, missing)
        else:
            _bury(stream, current, run, missing)
            stale = Page.objects.filter(stream=stream)
            stale.exclude(run_id=run.id, reading=reached.reading).delete()
    runs.succeed(current, cursor_value=reached.greatest)
    return None


def _page_row(stream: Stream, run: Run, fetched: Fetched, after: Checkpoint) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "stream_id": stream.id,
        "request": fetched.asked.digest,
        "url": fetched.asked.shown,
        "run_id": run.id,
        "reading": after.reading,
        "number": after.page,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "shape": fetched.shape,
        "digest": fetched.digest,
        "body": fetched.packed(),
        "body_bytes": fetched.body_bytes,
        "record_count": fetched.count,
        # Of each run: a full refresh may find the page of an incremental one unchanged.
        "keys": orjson.dumps([one.key for one in fetched.records]).decode(),
        "cursor_value": orjson.dumps(fetched.greatest).decode(),
        "next": _encrypted(Page, "next", orjson.dumps(fetched.after).decode()),
    }


def _figures(
    progress: Progress, run: Run, fetched: Fetched, after: Checkpoint, taken: Taken
) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "requests": fetched.requests,
        "bytes": fetched.received,
        "added": taken.new,
        "changed": taken.changed,
        "unchanged": max(fetched.count - fetched.rejected - taken.new - taken.changed, 0),
        "rejected": fetched.rejected,
        "shown": orjson.dumps(after.shown()).decode(),
        "visited": fetched.unchanged.id if fetched.unchanged else None,
        "reading": after.reading,
        "number": after.page,
        "stream_id": progress.pk,
        "position": _encrypted(Progress, "position", after.stored()),
        "lease_seconds": LEASE_SECONDS,
    }


def _encrypted(model: type[models.Model], name: str, text: str) -> Any:
    """As the column of that name holds it."""
    field = cast(EncryptedTextField, model._meta.get_field(name))
    return field.get_db_prep_value(text, connection)


def _decrypted(model: type[models.Model], name: str, value: Any) -> str | None:
    field = cast(EncryptedTextField, model._meta.get_field(name))
    return field.from_db_value(value, None, connection)


def _keep_refused(stream: Stream, run: Run, refused: tuple[Refused, ...]) -> None:
    if not refused:
        return
    Rejected.objects.bulk_create(
        Rejected(
            stream=stream,
            run_id=run.id,
            code=one.code,
            detail=one.detail.replace("\0", "\ufffd"),
            data=one.data.decode(errors="replace"),
        )
        for one in refused
    )


def _missing(stream: Stream, current: Progress, run: Run, reached: Checkpoint) -> list[int]:
    """Offsets of the records that this reading did not find, nor a first one before it."""
    found = Run.objects.values_list("records_new", flat=True).get(pk=run.pk)
    if reached.reading == 1 and found == current.record_count:
        return []  # all that is there came with this very reading
    visited: list[Any] = [stream.id, run.id, reached.reading]
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, visited)
        if cursor.fetchone()[0] == current.record_count:
            return []
    sql = "SELECT m FROM datafetch_missing(%s, %s, %s) m"
    if reached.is_second_look:
        sql += (
            ' JOIN datafetch_record r ON r."offset" = m AND r.stream_id = %s AND r.missing_in = %s'
        )
    second = [stream.id, run.id] if reached.is_second_look else []
    with connection.cursor() as cursor:
        cursor.execute(sql, [*visited, *second])
        return [row[0] for row in cursor.fetchall()]


def _may_have_slipped(stream: Stream, reached: Checkpoint) -> bool:
    is_first_look = not reached.is_second_look
    return is_first_look and reached.page > 1 and may_shift(stream.pagination)


def _look_again(
    stream: Stream, current: Progress, run: Run, reached: Checkpoint, missing: list[int]
) -> Checkpoint:
    """Records move between pages while they are read, and one may slip past: read once more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE datafetch_record SET missing_in = %s"
            ' WHERE stream_id = %s AND "offset" = ANY(%s)',
            [run.id, stream.id, missing],
        )
    again = Checkpoint(
        reading=reached.reading + 1,
        is_second_look=True,
        since=reached.since,
        greatest=reached.greatest,
    )
    Progress.objects.filter(pk=current.pk).update(position=again.stored())
    return again


def _bury(stream: Stream, current: Progress, run: Run, missing: list[int]) -> None:
    if not missing:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datafetch_bury(%s, %s, %s, %s)",
            [stream.id, run.id, current.last_offset, missing],
        )
        (buried,) = cursor.fetchone()
    Run.objects.filter(pk=run.pk).update(records_deleted=F("records_deleted") + buried)
    Progress.objects.filter(pk=current.pk).update(
        last_offset=F("last_offset") + buried, record_count=F("record_count") - buried
    )
