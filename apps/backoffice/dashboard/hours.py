"""Figures by the hour: a job counts each hour as a whole, and who reads adds what came since.

So a page costs some rows of a small table and a range of seconds, however much there is. The job is
level-triggered: it counts what is missing, what is still going, and now and then again what may have
changed. Nothing is ever incremented, so it may be killed, late or run twice.
"""

from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, connection
from django.db.models import Q

from apps.backoffice.dashboard.folds import FOLDS, Figures, added, fold, parameters
from apps.backoffice.models import Hour
from apps.common import clock

JOB = "backoffice.count_hours"
HOUR = timedelta(hours=1)
SHOWN_HOURS = 48
KEPT = timedelta(hours=SHOWN_HOURS + 24)
# Rows appear when their transaction commits, which is at most this long after their id was made.
SETTLED_AFTER = timedelta(minutes=5)
# Hours whose rows may change later are counted again after this long, one in each look.
STALE_AFTER = timedelta(minutes=20)
MOST_AT_ONCE = 12

log = structlog.get_logger(__name__)

_COUNT = """
INSERT INTO backoffice_hour (kind, starts_at, until, counted_at, figures)
SELECT %(kind)s, %(starts_at)s, %(until)s, %(counted_at)s, figures FROM ({fold}) AS f(figures)
    ON CONFLICT (kind, starts_at) DO UPDATE
       SET until = excluded.until, counted_at = excluded.counted_at, figures = excluded.figures
     WHERE backoffice_hour.counted_at <= excluded.counted_at
"""


def count_hours() -> bool:
    """Count what is due, of each kind; True when more is. A kind that cannot be counted stops no other;
    its error is raised in the end."""
    now = clock.now()
    more, trouble = False, None
    for kind in FOLDS:
        due = _due(kind, now)
        more = more or len(due) > MOST_AT_ONCE
        try:
            for start in due[:MOST_AT_ONCE]:
                _count(kind, start, now)
        except DatabaseError as error:
            log.warning("hours_uncounted", kind=kind, error=repr(error))
            trouble = error
    Hour.objects.filter(Q(starts_at__lt=now - KEPT) | ~Q(kind__in=FOLDS)).delete()
    if trouble is not None:
        raise trouble
    return more


def last_hours(kind: str, now: datetime) -> list[Figures]:
    """The figures of the last 48 hours, the one that is going last; an hour without any is empty."""
    hours = _hours(now)
    counted = {
        start: (until, figures)
        for start, until, figures in Hour.objects.filter(
            kind=kind, starts_at__gte=hours[-1]
        ).values_list("starts_at", "until", "figures")
    }
    known = {start: figures for start, (_, figures) in counted.items()}
    for start in hours[:2]:  # an hour that has just ended may not be counted to its end yet
        until = counted[start][0] if start in counted else start
        if until < start + HOUR:
            known[start] = added([known.get(start, {}), fold(kind, until, start + HOUR)])
    return [known.get(start, {}) for start in reversed(hours)]


def _hours(now: datetime) -> list[datetime]:
    """The beginnings of those that are shown, the newest first."""
    newest = now.replace(minute=0, second=0, microsecond=0)
    return [newest - number * HOUR for number in range(SHOWN_HOURS)]


def _due(kind: str, now: datetime) -> list[datetime]:
    """The hours to be counted, the newest first."""
    hours = _hours(now)
    known = dict(
        Hour.objects.filter(kind=kind, starts_at__gte=hours[-1]).values_list(
            "starts_at", "counted_at"
        )
    )
    due = [
        start
        for start in hours
        if start not in known or known[start] < start + HOUR + SETTLED_AFTER
    ]
    if FOLDS[kind].changes:
        stale = sorted(
            (counted_at, start)
            for start, counted_at in known.items()
            if start not in due and counted_at < now - STALE_AFTER
        )
        due += [start for _, start in stale[:1]]
    return due


def _count(kind: str, start: datetime, now: datetime) -> None:
    until = min(start + HOUR, now)
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT.format(fold=FOLDS[kind].statement),
            {
                **parameters(start, until),
                "kind": kind,
                "starts_at": start,
                "until": until,
                "counted_at": now,
            },
        )
