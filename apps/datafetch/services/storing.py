"""A page, its records and the checkpoint after it: one transaction, or nothing of it."""

import gzip
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.datafetch.limits import BRAKE_LEAST, BRAKE_SHARE, LEASE_SECONDS, MAX_REJECTED_KEPT
from apps.datafetch.models import Page, Progress, Rejected, Run, Stream
from apps.datafetch.services import runs
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.sources.pagination import Position, may_shift
from apps.datafetch.sources.shaping import Refused, Shaped
from apps.datafetch.sources.source import Asked

# A session's own; emptied by datafetch_store, and by the commit.
_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS datafetch_incoming (n integer, key text, hash bytea, data text)
ON COMMIT DELETE ROWS
"""
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class ConfigurationChanged(Exception):
    """The stream was edited while its page was fetched: the run reads it anew."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came and what is on it. For one that is `unchanged`, `page` is what is known of it
    already and nothing else is filled in."""

    asked: Asked
    after: Position | None
    greatest: Any
    count: int
    requests: int
    received: int
    unchanged: Page | None = None
    etag: str = ""
    last_modified: str = ""
    shape: bytes = b""
    digest: bytes = b""
    body: bytes = b""
    packed: bytes | None = None
    records: tuple[Shaped, ...] = ()
    refused: tuple[Refused, ...] = ()


def key_number(key: str) -> int:
    """The first 64 bits of a key's MD5, as datafetch_missing computes them."""
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], signed=True)


@transaction.atomic
def store(
    stream: Stream, progress: Progress, run: Run, fetched: Fetched, after: Checkpoint
) -> Progress:
    """Store a page and go on to `after`; the lease is renewed. Returns the progress as it then is.

    Raises runs.LeaseLost, and ConfigurationChanged when the stream is not what the page was fetched by.
    """
    current = runs.locked(progress)
    if not Stream.objects.filter(pk=stream.pk, version=stream.version).exists():
        raise ConfigurationChanged
    added, changed = _take_in(fetched, current, run)
    if fetched.unchanged is not None:
        Page.objects.filter(pk=fetched.unchanged.pk).update(
            run_id=run.id, reading=after.reading, number=after.page, visited_at=Now()
        )
    else:
        _keep_page(stream, run, fetched, after)
        _keep_refused(stream, run, fetched.refused)
    Run.objects.filter(pk=run.pk).update(
        pages=F("pages") + 1,
        requests=F("requests") + fetched.requests,
        bytes=F("bytes") + fetched.received,
        records_new=F("records_new") + added,
        records_changed=F("records_changed") + changed,
        records_unchanged=F("records_unchanged")
        + max(fetched.count - len(fetched.refused) - added - changed, 0),
        records_rejected=F("records_rejected") + len(fetched.refused),
        checkpoint=after.shown(),
        error=None,
    )
    current.last_offset += added + changed
    current.record_count += added
    current.position = after.stored()
    current.attempt = current.claims = 0
    Progress.objects.filter(pk=current.pk).update(
        last_offset=current.last_offset,
        record_count=current.record_count,
        position=current.position,
        attempt=0,
        claims=0,
        lease_until=Now() + timedelta(seconds=LEASE_SECONDS),
    )
    return current


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


def _take_in(fetched: Fetched, current: Progress, run: Run) -> tuple[int, int]:
    """How many records are new and how many changed."""
    if not fetched.records:
        return 0, 0
    with connection.cursor() as cursor:
        cursor.execute(_INCOMING)
        with cursor.copy("COPY datafetch_incoming (n, key, hash, data) FROM STDIN") as copy:
            copy.write(_copied(fetched.records))
        cursor.execute(
            "SELECT * FROM datafetch_store(%s, %s, %s, %s)",
            [current.pk, run.id, current.last_offset, None],
        )
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


def _keep_page(stream: Stream, run: Run, fetched: Fetched, after: Checkpoint) -> None:
    page = Page(
        stream=stream,
        request=fetched.asked.digest,
        url=fetched.asked.shown,
        run_id=run.id,
        reading=after.reading,
        number=after.page,
        visited_at=Now(),
        fetched_at=Now(),
        etag=fetched.etag,
        last_modified=fetched.last_modified,
        shape=fetched.shape,
        digest=fetched.digest,
        body=fetched.packed or gzip.compress(fetched.body, 1, mtime=0),
        body_bytes=len(fetched.body),
        record_count=fetched.count,
        keys=[key_number(record.key) for record in fetched.records] if run.full_refresh else [],
        cursor_value=fetched.greatest,
        next=orjson.dumps(fetched.after).decode(),
    )
    kept = {"id", "stream", "request"}
    Page.objects.bulk_create(
        [page],
        update_conflicts=True,
        unique_fields=["stream", "request"],
        update_fields=[field.name for field in Page._meta.fields if field.name not in kept],
    )


def _keep_refused(stream: Stream, run: Run, refused: tuple[Refused, ...]) -> None:
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
