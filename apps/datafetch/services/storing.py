"""A page, its records and the checkpoint after it: one transaction, or nothing of it."""

import gzip
import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from django.db import connection, models, transaction
from django.db.models import F

from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.datafetch.limits import BRAKE_LEAST, BRAKE_SHARE, LEASE_SECONDS, MAX_REJECTED_KEPT
from apps.datafetch.models import Page, Progress, Rejected, Run, Stream
from apps.datafetch.services import runs, schemas
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.pagination import Position, may_shift
from apps.datafetch.sources.shaping import Refused, Shaped
from apps.datafetch.sources.source import Asked

_LOCK = """
SELECT p.last_offset, p.stop_requested, s.version
  FROM datafetch_progress p JOIN datafetch_stream s ON s.id = p.id
 WHERE p.id = %s AND p.lease_id = %s FOR UPDATE OF p
"""

_KEEP_PAGE = """
INSERT INTO datafetch_page (id, stream_id, request, url, run_id, reading, number, visited_at,
  fetched_at, etag, last_modified, shape, digest, body, body_bytes, record_count, keys, cursor_value,
  next)
VALUES (%(id)s, %(stream_id)s, %(request)s, %(url)s, %(run_id)s, %(reading)s, %(number)s, now(), now(),
  %(etag)s, %(last_modified)s, %(shape)s, %(digest)s, %(body)s, %(body_bytes)s, %(record_count)s,
  %(keys)s::bigint[], %(cursor_value)s::jsonb, %(next)s)
ON CONFLICT (stream_id, request) DO UPDATE SET (url, run_id, reading, number, visited_at, fetched_at,
  etag, last_modified, shape, digest, body, body_bytes, record_count, keys, cursor_value, next)
  = (EXCLUDED.url, EXCLUDED.run_id, EXCLUDED.reading, EXCLUDED.number, EXCLUDED.visited_at,
  EXCLUDED.fetched_at, EXCLUDED.etag, EXCLUDED.last_modified, EXCLUDED.shape, EXCLUDED.digest,
  EXCLUDED.body, EXCLUDED.body_bytes, EXCLUDED.record_count, EXCLUDED.keys, EXCLUDED.cursor_value,
  EXCLUDED.next)
"""

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

# A session's own; emptied by datafetch_store, and by the commit.
_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS datafetch_incoming (n integer, key text, hash bytea, data text)
ON COMMIT DELETE ROWS
"""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


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
    rows = Page.objects.filter(stream_id=stream_id, request=request).values_list(*Known._fields)
    return next((Known(*row) for row in rows), None)


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
    body: bytes = b""
    packed: bytes | None = None
    records: tuple[Shaped, ...] = ()
    refused: tuple[Refused, ...] = ()
    form: Form = field(default_factory=dict)
    form_shape: bytes = b""
    strangers: Form = field(default_factory=dict)
    kept_by: UUID | None = None


def key_number(key: str) -> int:
    """The first 64 bits of a key's MD5, as datafetch_missing computes them."""
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], signed=True)


@transaction.atomic
def store(
    stream: Stream, progress: Progress, run: Run, fetched: Fetched, after: Checkpoint
) -> None:
    """Store a page and go on to `after`; the lease is renewed. `progress` becomes what is stored.

    Raises runs.LeaseLost, and ConfigurationChanged when the stream is not what the page was fetched by.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [progress.pk, progress.lease_id])
        row = cursor.fetchone()
        if row is None:
            raise runs.LeaseLost
        last_offset, progress.stop_requested, version = row
        if version != stream.version:
            raise ConfigurationChanged
        added, changed = 0, 0
        if fetched.records:
            number = schemas.keep(stream, progress, run, fetched.form, fetched.form_shape)
            added, changed = _take_in(
                cursor, fetched.records, [stream.id, fetched.kept_by or run.id, last_offset, number]
            )
        if fetched.unchanged is None:
            if fetched.kept_by is None:
                cursor.execute(_KEEP_PAGE, _page_row(stream, run, fetched, after))
            _keep_refused(stream, run, fetched.refused)
            schemas.tell_of_strangers(stream, progress, fetched.strangers)
        cursor.execute(_ADVANCE, _figures(progress, run, fetched, after, added, changed))
    progress.attempt = progress.claims = 0


@transaction.atomic
def finish(stream: Stream, progress: Progress, run: Run, reached: Checkpoint) -> Checkpoint | None:
    """End a run that has read its last page; None, or where it has to make sure of what is missing."""
    current = runs.locked(progress)
    if run.full_refresh:
        missing = _missing(stream, run, reached)
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


def _take_in(cursor: Any, records: tuple[Shaped, ...], store_as: list[Any]) -> tuple[int, int]:
    """How many records are new and how many changed; `store_as` is what datafetch_store asks for."""
    cursor.execute(_INCOMING)
    with cursor.copy("COPY datafetch_incoming (n, key, hash, data) FROM STDIN") as copy:
        copy.write(_copied(records))
    cursor.execute("SELECT * FROM datafetch_store(%s, %s, %s, %s)", store_as)
    added, changed = cursor.fetchone()
    return int(added), int(changed)


def _copied(records: tuple[Shaped, ...]) -> bytes:
    """Rows in COPY's text format. JSON has no raw tabs or line ends: only backslashes need care."""
    return b"".join(
        b"%d\t%b\t\\\\x%b\t%b\n"
        % (
            number,
            record.key.translate(_ESCAPES).encode(),
            record.hash.hex().encode(),
            record.data.replace(b"\\", b"\\\\"),
        )
        for number, record in enumerate(records)
    )


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
        "body": fetched.packed or gzip.compress(fetched.body, 1, mtime=0),
        "body_bytes": len(fetched.body),
        "record_count": fetched.count,
        "keys": [key_number(one.key) for one in fetched.records] if run.full_refresh else [],
        "cursor_value": orjson.dumps(fetched.greatest).decode(),
        "next": _encrypted(Page, "next", orjson.dumps(fetched.after).decode()),
    }


def _figures(
    progress: Progress, run: Run, fetched: Fetched, after: Checkpoint, added: int, changed: int
) -> dict[str, Any]:
    rejected = len(fetched.refused)
    return {
        "run_id": run.id,
        "requests": fetched.requests,
        "bytes": fetched.received,
        "added": added,
        "changed": changed,
        "unchanged": max(fetched.count - rejected - added - changed, 0),
        "rejected": rejected,
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
        for one in refused[:MAX_REJECTED_KEPT]
    )


def _missing(stream: Stream, run: Run, reached: Checkpoint) -> list[int]:
    """Offsets of the records that this reading did not find, nor a first one before it."""
    sql = "SELECT m FROM datafetch_missing(%s, %s, %s) m"
    if reached.is_second_look:
        sql += (
            ' JOIN datafetch_record r ON r."offset" = m AND r.stream_id = %s AND r.missing_in = %s'
        )
    second = [stream.id, run.id] if reached.is_second_look else []
    with connection.cursor() as cursor:
        cursor.execute(sql, [stream.id, run.id, reached.reading, *second])
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
