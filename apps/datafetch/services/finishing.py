"""The end of a run that has read its last page: what it did not find has been deleted, or is looked for again."""

from typing import Any

from django.db import connection, transaction
from django.db.models import F

from apps.datafetch.limits import BRAKE_LEAST, BRAKE_SHARE
from apps.datafetch.models import Page, Progress, Run, Stream
from apps.datafetch.services import runs
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.sources.pagination import may_shift

# What is on a page that a reading has visited is there: when it is as many as are there, it is all of them. That
# costs a tenth of looking for each record, and of two keys with one number it only sees too few.
_SEEN = """
SELECT count(DISTINCT key) FROM (
  SELECT unnest(p.keys) AS key FROM datafetch_page p WHERE p.stream_id = %s AND p.run_id = %s AND p.reading = %s
) seen
"""


@transaction.atomic
def finish(stream: Stream, progress: Progress, run: Run, reached: Checkpoint) -> Checkpoint | None:
    """End a run that has read its last page; None, or where it has to make sure of what is missing."""
    current = runs.locked(progress)
    # As many pages as had all there is, none of which was stored since (docs/adr/0046).
    has_seen_all = reached.page == current.whole_pages
    if run.full_refresh and not has_seen_all:
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
            # What a second look alone has missed stays, and is on none of its pages.
            whole_pages = None if reached.is_second_look else reached.page
            Progress.objects.filter(pk=current.pk).update(whole_pages=whole_pages)
    runs.succeed(current, cursor_value=reached.greatest)
    return None


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
