"""A page, its records and the checkpoint after it: one transaction, or nothing of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from django.db import DatabaseError, connection, models, transaction

from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7
from apps.datafetch.limits import KNOWN_PAGES, LEASE_SECONDS
from apps.datafetch.models import Page, Progress, Rejected, Run, Stream
from apps.datafetch.selectors import binding_cursor
from apps.datafetch.services import runs, schemas
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.handing import Handed, answer
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.pagination import Position
from apps.datafetch.sources.shaping import Refused
from apps.datafetch.sources.source import Asked

_LOCK = """
SELECT stop_requested FROM datafetch_progress WHERE id = %s AND lease_id = %s FOR UPDATE
"""
# A statement of its own: one that has waited for a lock sees other tables as they were before it waited.
_AS_IT_IS = """
SELECT s.version, (SELECT max(v.number) FROM datafetch_schemaversion v WHERE v.stream_id = s.id)
  FROM datafetch_stream s WHERE s.id = %s
"""

_ARGUMENTS = (
    *("of_stream", "by_lease", "of_version", "of_schema", "by_run", "fetched_by"),
    *("keys", "hashes", "datas"),
    *("requested", "received", "counted", "refused", "shown"),
    *("visited", "in_all", "in_reading", "at_number", "following", "lease_seconds"),
    *("page_id", "page_request", "page_url", "page_etag", "page_modified", "page_shape"),
    *("page_digest", "page_body", "page_bytes", "page_count", "page_refused"),
    *("page_cursor", "page_next", "coming_from"),
)
_GIVEN = ", ".join(f"{name} => ${n}" for n, name in enumerate(_ARGUMENTS, 1))
_STORE = f"SELECT added, changed, is_to_stop FROM datafetch_store_v5({_GIVEN})"  # noqa: S608 - names of ours
_LEASE_LOST, _CONFIGURATION_CHANGED = "TP001", "TP002"  # the states of its errors

_SELECT_KNOWN = """
SELECT p.id, p.run_id, p.reading, p.number, p.url, p.etag, p.last_modified, p.shape, p.digest, p.record_count,
       p.rejected_count, p.cursor_value, p.next
"""
# What is known of a request, and whether the run goes on as it is, for this worker.
_KNOWN_NEXT = f"""{_SELECT_KNOWN}, g.id IS NOT NULL
  FROM (VALUES ($1::uuid, $2::bytea)) asked(stream_id, request)
  LEFT JOIN datafetch_page p USING (stream_id, request)
  LEFT JOIN (datafetch_progress g JOIN datafetch_stream s ON s.id = g.id AND s.version = $3)
    ON g.id = asked.stream_id AND g.lease_id = $4 AND NOT g.stop_requested
"""
# What was visited after a page by the run that had visited it last.
_KNOWN_AFTER = f"""{_SELECT_KNOWN}, p.request
  FROM datafetch_page p WHERE p.stream_id = %s AND p.run_id = %s AND p.number > %s ORDER BY p.number LIMIT %s
"""


class ConfigurationChanged(Exception):
    """The stream was edited, or what was known of its page forgotten, while that was fetched: the run reads it anew."""


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
    rejected_count: int
    cursor_value: Any
    next: str | None


def known(stream: Stream, progress: Progress, request: bytes) -> Known | None:
    """What an earlier answer to a request has left."""
    *row, _ = answer(_KNOWN_NEXT, _look(stream, progress, request))
    return _as_known(row) if row[0] else None


def _look(stream: Stream, progress: Progress, request: bytes) -> list[Any]:
    return [stream.id, request, stream.version, progress.lease_id]


def _known_after(stream: Stream, page: Known) -> dict[bytes, Known]:
    """The same of the pages that were visited after that one, by their requests."""
    with binding_cursor() as cursor:
        cursor.execute(_KNOWN_AFTER, [stream.id, page.run_id, page.number, KNOWN_PAGES])
        return {bytes(request): _as_known(row) for *row, request in cursor.fetchall()}


def _as_known(row: Sequence[Any]) -> Known:
    found = Known(*row)
    greatest, following = found.cursor_value, found.next
    return found._replace(
        cursor_value=None if greatest is None else orjson.loads(greatest),
        next=_decrypted(Page, "next", following),
    )


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came and what is on it. Of one that is `unchanged`, only what is known already; of one
    that is read again and was not fetched, the run that visited it last (`kept_by`). `unconfirmed` are the
    unchanged pages before it that are stored with it (docs/adr/0041). `records` are what `intake.columns` has made of them.
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
    records: dict[str, Any] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    rejected: int = 0
    form: Form = field(default_factory=dict)
    form_shape: bytes = b""
    strangers: Form = field(default_factory=dict)
    kept_by: UUID | None = None
    unconfirmed: tuple["Fetched", ...] = ()


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
    with _told():
        answer(*_storing(_arguments(stream, progress, run, fetched, after, newest)))
    if fetched.kept_by is not None:
        # What was stored from it is not what it was read by any more: should that come back, it is read once more.
        Page.objects.filter(stream=stream, request=fetched.asked.digest).update(shape=b"")
    _keep_refused(stream, run, fetched.refused)
    schemas.tell_of_strangers(stream, progress, fetched.strangers)
    progress.attempt = progress.claims = 0


class HandedOver(NamedTuple):
    """A page on its way, and the position that it leads to. As far as was looked: whether the run goes on as it is, what
    is known of the request that comes next, and of those after it if the page was unchanged."""

    page: Handed
    following: bytes
    goes_on: bool
    known: Known | None
    window: dict[bytes, Known]


def hand_over(
    stream: Stream,
    progress: Progress,
    run: Run,
    fetched: Fetched,
    after: Checkpoint,
    held: schemas.Held,
    before: HandedOver | None = None,
    *,
    look: Asked | None,
) -> HandedOver | None:
    """The same without waiting for it: `settle` does. `look` is the request for the page at `after`, where it has to be
    read what is known of that. `before` is the page before it where that is still on its way: it is settled, and
    PostgreSQL goes on with this one without a pause if it has stored that one, and only then.

    None for a page that needs more than is said to PostgreSQL at once, or a transaction of somebody else's around it;
    nothing was done then.
    """
    has_room = not fetched.records or held.has_room(held.number, fetched.form, fetched.form_shape)
    if not has_room or fetched.refused or fetched.strangers or connection.in_atomic_block:
        return None
    arguments = _arguments(stream, progress, run, fetched, after, held.number)
    if before is not None:
        arguments["coming_from"] = before.following
    storing, following = _storing(arguments), arguments["following"]
    if look is None:
        handed = _behind(progress, before, storing)
        return HandedOver(handed, following, True, None, {})
    looking = _KNOWN_NEXT, _look(stream, progress, look.digest)
    if fetched.unchanged is None:
        handed = _behind(progress, before, looking, storing)
        goes_on, found = _looked(handed)
        return HandedOver(handed, following, goes_on, found, {})
    goes_on, found = _looked(_behind(progress, before, looking))
    window = _known_after(stream, found) if found else {}
    return HandedOver(Handed(storing), following, goes_on, found, window)


def _behind(
    progress: Progress, before: HandedOver | None, *statements: tuple[str, Sequence[Any]]
) -> Handed:
    """Statements that have left, when the page before is settled, which they wait behind."""
    handed = Handed(*statements)
    if before is not None:
        try:
            settle(progress, before)
        except BaseException:
            handed.ignore()
            raise
    return handed


def _looked(handed: Handed) -> tuple[bool, Known | None]:
    """Whether the run goes on, and what is known of the next request."""
    *row, goes_on = handed.answer()
    return goes_on, _as_known(row) if row[0] else None


def settle(progress: Progress, handed_over: HandedOver) -> None:
    """Wait until a page is stored that was handed over; raises what `store` does."""
    with _told():
        *_, progress.stop_requested = handed_over.page.answer()
    progress.attempt = progress.claims = 0


@contextmanager
def _told() -> Iterator[None]:
    """What the function that stores refuses, by our names."""
    try:
        yield
    except DatabaseError as error:
        state = getattr(getattr(error.__cause__, "diag", None), "sqlstate", None)
        if state == _LEASE_LOST:
            raise runs.LeaseLost from error
        if state == _CONFIGURATION_CHANGED:
            raise ConfigurationChanged from error
        raise


def _locked(stream: Stream, progress: Progress) -> int | None:
    """The number of the newest schema, the progress being locked."""
    with binding_cursor() as cursor:
        cursor.execute(_LOCK, [progress.pk, progress.lease_id])
        locked = cursor.fetchone()
        if locked is None:
            raise runs.LeaseLost
        (progress.stop_requested,) = locked
        cursor.execute(_AS_IT_IS, [progress.pk])
        version, newest = cursor.fetchone()
    if version != stream.version:
        raise ConfigurationChanged
    return cast(int | None, newest)


def _storing(arguments: dict[str, Any]) -> tuple[str, list[Any]]:
    return _STORE, list(map(arguments.get, _ARGUMENTS))


def _arguments(
    stream: Stream,
    progress: Progress,
    run: Run,
    fetched: Fetched,
    after: Checkpoint,
    schema: int | None,
) -> dict[str, Any]:
    """By which the page is stored, and those unconfirmed before it, and the run goes on to `after`."""
    all_of_it = (*fetched.unconfirmed, fetched)
    is_kept = fetched.unchanged is None and fetched.kept_by is None
    return {
        "of_stream": stream.id,
        "by_lease": progress.lease_id,
        "of_version": stream.version,
        "of_schema": schema,
        "by_run": run.id,
        "fetched_by": fetched.kept_by or run.id,
        **fetched.records,
        "requested": sum(one.requests for one in all_of_it),
        "received": sum(one.received for one in all_of_it),
        "counted": sum(one.count for one in all_of_it),
        "refused": sum(one.rejected for one in all_of_it),
        "shown": orjson.dumps(after.shown()).decode(),
        "visited": [one.unchanged.id for one in all_of_it if one.unchanged] or None,
        "in_all": len(all_of_it),
        "in_reading": after.reading,
        "at_number": after.page,
        "following": _encrypted(Progress, "position", after.stored()),
        "lease_seconds": LEASE_SECONDS,
        **(_kept(fetched) if is_kept else {}),
    }


def _kept(fetched: Fetched) -> dict[str, Any]:
    """A page's own row. Its records' keys are of each run: a full refresh may find the page of an incremental one
    unchanged."""
    return {
        "page_id": uuid7(),
        "page_request": fetched.asked.digest,
        "page_url": fetched.asked.shown,
        "page_etag": fetched.etag,
        "page_modified": fetched.last_modified,
        "page_shape": fetched.shape,
        "page_digest": fetched.digest,
        "page_body": fetched.packed(),
        "page_bytes": fetched.body_bytes,
        "page_count": fetched.count,
        "page_refused": fetched.rejected,
        "page_cursor": orjson.dumps(fetched.greatest).decode(),
        "page_next": _encrypted(Page, "next", orjson.dumps(fetched.after).decode()),
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
