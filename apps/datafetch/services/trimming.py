"""Keeping what streams have fetched within bounds, in batches."""

from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.functions import Now

from apps.datafetch.models import (
    PAGES_KEPT,
    RAW_KEPT,
    REJECTED_KEPT,
    VERSIONS_KEPT,
    Page,
    Progress,
    Rejected,
    Stream,
)

M = TypeVar("M", bound=Model)

BATCH = 5000

_TRIM_VERSIONS = """
DELETE FROM datafetch_record WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM datafetch_record WHERE superseded_at < now() - %s LIMIT %s))
"""
_REMOVE_RECORDS = """
DELETE FROM datafetch_record WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM datafetch_record WHERE stream_id = %s LIMIT %s))
"""


def trim() -> bool:
    """Forget versions that are no longer present, raw bodies, pages and rejected records of long ago.

    True when more may be left.
    """
    old_bodies = Page.objects.filter(body__isnull=False, fetched_at__lt=Now() - RAW_KEPT)
    # Of those that are old still: one may just be fetched anew.
    emptied = old_bodies.filter(pk__in=old_bodies.values("pk")[:BATCH]).update(body=None)
    deleted = [
        _execute(_TRIM_VERSIONS, [VERSIONS_KEPT, BATCH]),
        _delete_some(Page.objects.filter(visited_at__lt=Now() - PAGES_KEPT)),
        _delete_some(Rejected.objects.filter(created_at__lt=Now() - REJECTED_KEPT)),
        emptied,
    ]
    return BATCH in deleted


def remove_deleted() -> bool:
    """Remove what deleted streams have fetched, and then themselves; True when more may be left."""
    stream = (
        Stream.objects.filter(deleted_at__isnull=False, progress__run_id=None)
        .order_by("deleted_at")
        .first()
    )
    if stream is None:
        return False
    left = (
        _execute(_REMOVE_RECORDS, [stream.id, BATCH]),
        _delete_some(Page.objects.filter(stream=stream)),
        _delete_some(Rejected.objects.filter(stream=stream)),
    )
    if not any(left):
        Progress.objects.filter(pk=stream.id).delete()
        Stream.objects.filter(pk=stream.id).delete()
    return True


def _delete_some(rows: "QuerySet[M]") -> int:
    return rows.filter(pk__in=rows.values("pk")[:BATCH]).delete()[0]


def _execute(statement: str, parameters: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
