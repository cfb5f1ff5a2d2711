"""A page, its records and the checkpoint after it: one transaction, or nothing of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from django.db import DatabaseError, connection, models, transaction

from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.datafetch.limits import LEASE_SECONDS
from apps.datafetch.models import Page, Progress, Rejected, Run, Stream
from apps.datafetch.selectors import binding_cursor
from apps.datafetch.services import runs, schemas
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.handing import Handed, Statement, all_at_once
from apps.datafetch.services.intake import columns
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.pagination import Position
from apps.datafetch.sources.shaping import Records, Refused
from apps.datafetch.sources.source import Asked

_LOCK = """
SELECT stop_requested FROM datafetch_progress WHERE id = %s AND lease_id = %s FOR UPDATE
"""
# A statement of its own: one that has waited for a lock sees other tables as they were before it waited.
_AS_IT_IS = """
SELECT s.version, (SELECT max(v.number) FROM datafetch_schemaversion v WHERE v.stream_id = s.id)
  FROM datafetch_stream s WHERE s.id = %s
"""

_STORE = """
SELECT added, changed, is_to_stop FROM datafetch_store_v2(
  %(stream_id)s, %(lease_id)s, %(version)s, %(schema)s, %(run_id)s, %(fetched_by)s,
  %(keys)s::json, %(hashes)s, %(datas)s,
  %(requests)s, %(bytes)s, %(found)s, %(refused)s, %(shown)s::jsonb,
  %(visited)s, %(reading)s, %(number)s, %(following)s, %(lease_seconds)s)
"""
_LEASE_LOST, _CONFIGURATION_CHANGED = "TP001", "TP002"  # the states of its errors

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

_COLUMNS_OF_KNOWN = """
SELECT p.id, p.run_id, p.reading, p.number, p.url, p.etag, p.last_modified, p.shape, p.digest, p.record_count,
       p.cursor_value, p.next
"""
_KNOWN = f"""{_COLUMNS_OF_KNOWN}
  FROM datafetch_page p WHERE p.stream_id = %s AND p.request = %s
"""

# No row once the run does not go on as it is, or not for this worker.
_KNOWN_NEXT = f"""{_COLUMNS_OF_KNOWN}
  FROM datafetch_progress g JOIN datafetch_stream s ON s.id = g.id
  LEFT JOIN datafetch_page p ON p.stream_id = g.id AND p.request = %s
 WHERE g.id = %s AND g.lease_id = %s AND NOT g.stop_requested AND s.version = %s
"""


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
        return _as_known(cursor.fetchone())


def known_next(stream: Stream, progress: Progress, request: bytes) -> tuple[bool, Known | None]:
    """Whether the run goes on as it is, and then the same of the request that comes next."""
    with binding_cursor() as cursor:
        cursor.execute(_KNOWN_NEXT, [request, progress.pk, progress.lease_id, stream.version])
        row = cursor.fetchone()
    return row is not None, _as_known(row) if row and row[0] else None


def _as_known(row: tuple[Any, ...] | None) -> Known | None:
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
    records: Records = field(default_factory=Records)
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
    newest = _locked(stream, progress)
    form, shape = fetched.form, fetched.form_shape
    if fetched.records and not held.has_room(newest, form, shape):
        newest = schemas.keep(stream, progress, run, form, shape, held)
    all_at_once(_statements(stream, progress, run, fetched, after, newest))
    _keep_refused(stream, run, fetched.refused)
    schemas.tell_of_strangers(stream, progress, fetched.strangers)
    progress.attempt = progress.claims = 0


def hand_over(
    stream: Stream,
    progress: Progress,
    run: Run,
    fetched: Fetched,
    after: Checkpoint,
    held: schemas.Held,
) -> Handed | None:
    """The same without waiting for it: `settle` does. None for a page that needs more than is said to PostgreSQL
    at once, or a transaction of somebody else's around it; nothing was done then."""
    has_room = not fetched.records or held.has_room(held.number, fetched.form, fetched.form_shape)
    if not has_room or fetched.refused or fetched.strangers or connection.in_atomic_block:
        return None
    return Handed(_statements(stream, progress, run, fetched, after, held.number))


def settle(progress: Progress, handed: Handed) -> None:
    """Wait until a page is stored that was handed over; raises what `store` does."""
    try:
        stored, *_ = handed.results()
    except DatabaseError as error:
        state = getattr(getattr(error.__cause__, "diag", None), "sqlstate", None)
        if state == _LEASE_LOST:
            raise runs.LeaseLost from error
        if state == _CONFIGURATION_CHANGED:
            raise ConfigurationChanged from error
        raise
    progress.stop_requested = stored.fetchone()[2]
    progress.attempt = progress.claims = 0


def _locked(stream: Stream, progress: Progress) -> int | None:
    """The number of the newest schema, the progress being locked."""
    asked: list[Statement] = [
        (_LOCK, [progress.pk, progress.lease_id]),
        (_AS_IT_IS, [progress.pk]),
    ]
    locked, as_it_is = (cursor.fetchone() for cursor in all_at_once(asked))
    if locked is None:
        raise runs.LeaseLost
    (progress.stop_requested,) = locked
    version, newest = as_it_is
    if version != stream.version:
        raise ConfigurationChanged
    return cast(int | None, newest)


def _statements(
    stream: Stream,
    progress: Progress,
    run: Run,
    fetched: Fetched,
    after: Checkpoint,
    schema: int | None,
) -> list[Statement]:
    """What stores the page and goes on to `after`."""
    store = (_STORE, _store_row(stream, progress, run, fetched, after, schema))
    if fetched.unchanged is not None:
        return [store]
    if fetched.kept_by is not None:
        return [store, (_DISTRUST_PAGE, [stream.id, fetched.asked.digest])]
    return [store, (_KEEP_PAGE, _page_row(stream, run, fetched, after))]


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
        "keys": orjson.dumps(fetched.records.keys).decode(),
        "cursor_value": orjson.dumps(fetched.greatest).decode(),
        "next": _encrypted(Page, "next", orjson.dumps(fetched.after).decode()),
    }


def _store_row(
    stream: Stream,
    progress: Progress,
    run: Run,
    fetched: Fetched,
    after: Checkpoint,
    schema: int | None,
) -> dict[str, Any]:
    return {
        "stream_id": stream.id,
        "lease_id": progress.lease_id,
        "version": stream.version,
        "schema": schema,
        "run_id": run.id,
        "fetched_by": fetched.kept_by or run.id,
        **columns(fetched.records),
        "requests": fetched.requests,
        "bytes": fetched.received,
        "found": fetched.count,
        "refused": fetched.rejected,
        "shown": orjson.dumps(after.shown()).decode(),
        "visited": fetched.unchanged.id if fetched.unchanged else None,
        "reading": after.reading,
        "number": after.page,
        "following": _encrypted(Progress, "position", after.stored()),
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
