"""Streams: which run and how they fare, what they bring, and how far behind their consumers are."""

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, Count, F, Q, Value, When
from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.folds import added
from apps.backoffice.dashboard.hours import last_hours
from apps.backoffice.dashboard.panel import (
    Cell,
    Hint,
    Level,
    Panel,
    Stat,
    Table,
    ago,
    compact,
    of_day_before,
    trend,
)
from apps.datafetch.enums import RunStatus, State
from apps.datafetch.models import Stream

MOST_SHOWN = 5

_LAG = """
SELECT c.name, s.name, greatest(p.last_offset - c."offset", 0) AS lag
  FROM datafetch_consumer c
  JOIN datafetch_progress p ON p.id = c.stream_id
  JOIN datafetch_stream s ON s.id = c.stream_id AND s.deleted_at IS NULL
 ORDER BY lag DESC LIMIT 1
"""


def build(now: datetime) -> Panel:
    url = reverse("admin:datafetch_stream_changelist")
    panel = Panel("Data fetch", url)
    streams = Stream.objects.filter(deleted_at=None)
    running = Q(state=State.RUNNING)
    counts = streams.aggregate(
        total=Count("pk"),
        running=Count("pk", filter=running),
        failing=Count("pk", filter=running & Q(progress__failures__gt=0)),
    )
    if not counts["total"]:
        panel.hint = Hint(
            "Nothing is fetched yet. Describe a remote API as a stream and start it.",
            reverse("docs"),
            "POST /streams",
        )
        return panel
    _add_stats(panel, counts, now)
    if failing := counts["failing"]:
        text = f"{failing:,} {'stream fails' if failing == 1 else 'streams fail'}"
        panel.note(Level.ATTENTION, text, f"{url}?state__exact={State.RUNNING.value}")
    panel.tables.append(_table(streams, now))
    return panel


def _add_stats(panel: Panel, counts: dict[str, int], now: datetime) -> None:
    hours = last_hours("streams", now)
    brought = [figures.get("records", {}).get("brought", 0) for figures in hours]
    runs = added(hours[24:]).get("runs", {})
    last, before = sum(brought[24:]), of_day_before(brought[:24], now)
    run_url = reverse("admin:datafetch_run_changelist")
    panel.stats = [
        Stat(
            "Running",
            f"{counts['running']:,}",
            f"of {counts['total']:,}",
            f"{panel.url}?state__exact={State.RUNNING.value}",
        ),
        Stat("Records in 24 hours", compact(last), url=run_url, trend=trend(last, before)),
        Stat(
            "Failed runs",
            f"{runs.get('failed', 0):,}",
            f"of {runs.get('all', 0):,}",
            f"{run_url}?status__exact={RunStatus.FAILED.value}",
        ),
        _lag(),
    ]
    panel.charts.append(
        charts.columns("Records an hour", {"main": brought[24:]}, now, before=brought[:24])
    )


def _lag() -> Stat:
    """The consumer that is furthest behind."""
    url = reverse("admin:datafetch_consumer_changelist")
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        row = cursor.fetchone()
    if row is None:
        return Stat("Consumers behind", "-", "none reads by name", url)
    consumer, stream, lag = row
    return Stat(
        "Consumers behind", compact(lag), f"{consumer} of {stream}" if lag else "none is", url
    )


def _table(streams: Any, now: datetime) -> Table:
    """Those that fail first, then those that ran last."""
    fails = When(state=State.RUNNING, then=F("progress__failures"))
    ordered = streams.annotate(failures=Case(fails, default=Value(0))).order_by(
        "-failures", F("progress__last_run_id").desc(nulls_last=True)
    )
    shown = ordered.values_list(
        "pk",
        "name",
        "state",
        "failures",
        "progress__last_run__started_at",
        "progress__last_run__status",
    )[:MOST_SHOWN]
    rows = []
    for pk, name, state, failures, started_at, status in shown:
        level = Level.ATTENTION if failures else Level.FINE
        word = f"{failures:,} failed" if failures else state
        rows.append(
            (
                Cell(name, reverse("admin:datafetch_stream_change", args=[pk])),
                Cell(word, level=level, is_number=True),
                Cell(ago(started_at, now), detail=status or "", is_number=True),
            )
        )
    return Table(("Stream", "State", "Last run"), rows)
