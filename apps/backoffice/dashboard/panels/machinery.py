"""Workers, queues, the event log and the jobs: whether what happens in the background happens."""

from datetime import datetime

from django.conf import settings
from django.db import connection
from django.urls import reverse

from apps.backoffice.dashboard import charts
from apps.backoffice.dashboard.hours import last_hours
from apps.backoffice.dashboard.panel import (
    Cell,
    Level,
    Panel,
    Stat,
    Table,
    ago,
    counted,
    number,
    of_day_before,
    span,
    trend,
)
from apps.common import besteffort
from apps.common.api.health import STALE_SECONDS
from apps.common.models import JobRun
from apps.common.selectors import seconds_since_heartbeat
from apps.events.models import Event

MOST_SHOWN = 5
# More than a queue of wake-ups ever holds: each job waits once at most.
LONG_QUEUE = 1000
LAGGING_EVENTS = 1000
# A job has run within so many of its intervals, and at least within the other.
LATE_RUNS, LATE_SECONDS = 10, 120.0

_LAG = """
SELECT c.name, greatest(n.position - c.position, 0), c.failures FROM events_consumer c, events_counter n
 ORDER BY c.failures DESC, 2 DESC LIMIT 1
"""


def build(now: datetime) -> Panel:
    panel = Panel("Workers", reverse("admin:common_jobrun_changelist"))
    panel.stats = [*_queues(panel), *_dispatch(panel)]
    published = [
        figures.get("events", {}).get("published", 0) for figures in last_hours("events", now)
    ]
    last = sum(published[24:])
    panel.stats.append(
        Stat(
            "Events in 24 hours",
            f"{last:,}",
            url=reverse("admin:events_event_changelist"),
            trend=trend(last, of_day_before(published[:24], now)),
        )
    )
    panel.charts.append(
        charts.columns("Events an hour", {"main": published[24:]}, now, before=published[:24])
    )
    _add_jobs(panel, now)
    return panel


def _queues(panel: Panel) -> list[Stat]:
    """For each queue, when a worker of it was last seen, and how much waits in it."""
    ages, lengths = seconds_since_heartbeat(), _lengths()
    if lengths is None:
        panel.note(Level.TROUBLE, "Redis does not answer: work is found by sweeps alone")
    stats = []
    for queue in sorted({job.queue for job in settings.JOBS.values()}):
        age = ages.get(queue)
        is_stale = age is None or age > STALE_SECONDS
        waiting = lengths.get(queue) if lengths is not None else None
        if is_stale:
            seen = "was never seen" if age is None else f"was last seen {span(age)} ago"
            panel.note(Level.TROUBLE, f"The {queue} worker {seen}")
        if waiting is not None and waiting > LONG_QUEUE:
            panel.note(Level.ATTENTION, f"{waiting:,} wake-ups wait in queue {queue}")
        detail = "queue not available" if waiting is None else f"{waiting:,} in its queue"
        stats.append(
            Stat(
                f"Worker {queue}",
                "never seen" if age is None else "down" if is_stale else "up",
                detail if is_stale or age is None else f"seen {span(age)} ago, {detail}",
                panel.url,
                level=Level.TROUBLE if is_stale else Level.FINE,
            )
        )
    return stats


def _lengths() -> dict[str, int] | None:
    """How many messages wait in each queue of Celery's; none are told of a broker that is not the Redis
    which is asked, None is the answer when that does not answer."""
    if settings.CELERY_BROKER_URL != settings.REDIS_URL:
        return {}
    names = sorted({job.queue for job in settings.JOBS.values()})

    def ask() -> list[int]:
        pipeline = besteffort.client().pipeline(transaction=False)
        for name in names:
            pipeline.llen(name)
        return [int(length) for length in pipeline.execute()]

    lengths = besteffort.attempt("dashboard", ask)
    return None if lengths is None else dict(zip(names, lengths, strict=True))


def _dispatch(panel: Panel) -> list[Stat]:
    """How far what follows from events is behind them."""
    url = reverse("admin:events_consumer_changelist")
    unstamped = counted(Event.objects.filter(position=None))
    with connection.cursor() as cursor:
        cursor.execute(_LAG)
        name, lag, failures = cursor.fetchone() or ("", 0, 0)
    level = Level.FINE
    if failures:
        level = Level.TROUBLE
        panel.note(level, f"Event consumer {name} fails and waits, {lag:,} behind", url)
    elif unstamped + lag > LAGGING_EVENTS:
        level = Level.ATTENTION
        panel.note(level, f"Events are handled late: {lag + unstamped:,} wait", url)
    detail = f"{number(unstamped)} without a position" if unstamped else "all have a position"
    return [Stat("Events to handle", f"{lag:,}", detail, url, level=level)]


def _add_jobs(panel: Panel, now: datetime) -> None:
    """Jobs that failed when they last ran, that are switched off, or that should have run."""
    troubled = []
    for run in JobRun.objects.filter(name__in=settings.JOBS).order_by("name"):
        if run.error:
            troubled.append((run, "failed", Level.ATTENTION))
        elif not run.is_on:
            troubled.append((run, "switched off", Level.ATTENTION))
        elif _is_late(run, now):
            troubled.append((run, "late", Level.ATTENTION))
    if not troubled:
        return
    failing = sum(word == "failed" for _, word, _ in troubled)
    rest = len(troubled) - failing
    if failing:
        panel.note(Level.ATTENTION, f"{failing:,} {'job fails' if failing == 1 else 'jobs fail'}")
    if rest:
        panel.note(Level.ATTENTION, f"{rest:,} {'job is' if rest == 1 else 'jobs are'} off or late")
    rows = [
        (
            Cell(run.name, reverse("admin:common_jobrun_change", args=[run.pk])),
            Cell(word, level=level, is_number=True),
            Cell(ago(run.started_at, now), is_number=True),
        )
        for run, word, level in troubled[:MOST_SHOWN]
    ]
    panel.tables.append(Table(("Job", "State", "Last run"), rows))


def _is_late(run: JobRun, now: datetime) -> bool:
    """A job that never ran is not late: its first interval may not be over."""
    if run.started_at is None:
        return False
    allowed = max(LATE_RUNS * settings.JOBS[run.name].every_seconds, LATE_SECONDS)
    return (now - run.started_at).total_seconds() > allowed
