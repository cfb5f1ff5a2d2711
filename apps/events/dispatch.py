"""The dispatcher: gives events their positions, then lets every handler catch up.

Run zero, one or five times, by any number of workers at once, it does the same: positions are given
under one advisory lock inside an SQL function, a cursor moves in the transaction of its handler.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from prometheus_client import Counter as Metric

from apps.common.leases import reconcile
from apps.events.models import Consumer, Counter, Event
from apps.events.subscriptions import Subscription, subscriptions

STAMP_BATCH = 500
HANDLE_BATCH = 100
# A round costs the same for two events as for fifty, so when many come it waits for them to come together:
# not at all below FEW a second, so shortly up to MANY that a webhook is sent within 30 ms still, and beyond
# that longer with each more, but never longer than LONGEST_SECONDS.
ENOUGH = 50
FEW, MANY = 100, 270
SHORT_SECONDS, MORE_SECONDS_EACH, LONGEST_SECONDS = 0.008, 0.0004, 0.1
# The rate is that of about the last half second: in less there is too much chance.
REMEMBERED_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 300

handler_failures = Metric("tradepost_handler_failures", "Events a handler failed on", ["consumer"])
log = structlog.get_logger(__name__)


class Pace:
    """How fast events come, whoever gives them their positions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._position = 0
        self._at = -math.inf
        self._rate = 0.0

    def gathering(self, position: int, at: float) -> float:
        """Seconds to wait for more, the last position given being this one at this time (in seconds)."""
        with self._lock:
            elapsed = at - self._at
            if elapsed > 0:
                kept = math.exp(-elapsed / REMEMBERED_SECONDS)
                new = 0.0 if math.isinf(elapsed) else max(position - self._position, 0) / elapsed
                self._rate = kept * self._rate + (1 - kept) * new
                self._position, self._at = position, at
            if self._rate < FEW:
                return 0.0
            more = max(self._rate - MANY, 0.0) * MORE_SECONDS_EACH
            return min(SHORT_SECONDS + more, LONGEST_SECONDS)


_pace = Pace()


def dispatch() -> bool:
    """Stamp and handle until nothing is left or the slice is over; True when more may be left."""
    return reconcile(_go_round)


def _go_round() -> bool:
    stamped = stamp()
    cursors, last = _cursors()
    concerned, is_more = _concerned(cursors, last)
    more = [advance(subscription) for subscription in concerned]
    wait = _pace.gathering(last, time.monotonic())
    if 0 < stamped < ENOUGH:
        time.sleep(wait)
    return bool(stamped) or is_more or any(more)


def stamp() -> int:
    """Give positions to at most 500 events, in the order of insertion; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT events_stamp(%s)", [STAMP_BATCH])
        return int(cursor.fetchone()[0])


def advance(subscription: Subscription) -> bool:
    """Hand the next events to a handler; True when there may be more for it.

    Whoever finds the cursor locked leaves it alone: its holder looks again after letting go, and so
    sees what was stamped meanwhile.
    """
    try:
        with transaction.atomic():
            is_ours = _handle_batch(subscription, HANDLE_BATCH)
    except Exception as error:
        # One of the batch is to blame: one at a time, up to and including that one.
        log.warning("handler_batch_failed", consumer=subscription.name, error=repr(error))
        return _advance_singly(subscription)
    return _is_behind(subscription) if is_ours else _enrol(subscription)


def skip(name: str) -> bool:
    """Move a failing consumer past the event it fails on, an operator's last resort; False when it
    is not failing."""
    skipped = Consumer.objects.filter(name=name, failures__gt=0).update(
        position=F("position") + 1, failures=0, error="", retry_at=None
    )
    if skipped:
        log.warning("handler_event_skipped", consumer=name)
    return bool(skipped)


def _concerned(cursors: Mapping[str, Consumer], last: int) -> tuple[list[Subscription], bool]:
    """Who has events before it that it wants, and whether others have more that they do not.

    Most handlers want few types: their cursors are moved past the rest here, all by one statement. Who
    is new, failing or far from the others is among the concerned: `advance` knows what to do.
    """
    behind = [
        (each, cursors.get(each.name))
        for each in subscriptions()
        if each.name not in cursors or cursors[each.name].position < last
    ]
    positions = [cursor.position for _, cursor in behind if cursor and not cursor.failures]
    news = _news_after(min(positions)) if positions else []
    concerned, idle = [], []
    for subscription, cursor in behind:
        if cursor and not cursor.failures and _wants_none(subscription, cursor, news):
            idle.append(cursor)
        else:
            concerned.append(subscription)
    if idle:
        _pass_over(idle, news[-1][0])
    return concerned, bool(idle) and news[-1][0] < last


def _cursors() -> tuple[dict[str, Consumer], int]:
    """Every cursor by its name, and the last position given."""
    last = Counter.objects.values_list("position", flat=True).first() or 0
    return {cursor.name: cursor for cursor in Consumer.objects.all()}, last


def _news_after(position: int) -> list[tuple[int, str]]:
    """Position and type of the next events."""
    rows = Event.objects.filter(position__gt=position).order_by("position")[:HANDLE_BATCH]
    return [(at, name) for at, name in rows.values_list("position", "type") if at is not None]


def _wants_none(
    subscription: Subscription, cursor: Consumer, news: Sequence[tuple[int, str]]
) -> bool:
    """Whether `news` goes beyond the cursor and has nothing there for it."""
    new = [name for position, name in news if position > cursor.position]
    return bool(new) and not any(map(subscription.wants, new))


def _pass_over(cursors: Sequence[Consumer], position: int) -> None:
    """Move cursors to `position`, except those that somebody else has moved or moves just now."""
    with connection.cursor() as database:
        database.execute(
            """
            UPDATE events_consumer SET position = %(to)s WHERE name IN (
                SELECT c.name FROM events_consumer c
                  JOIN unnest(%(names)s::text[], %(positions)s::bigint[]) AS seen(name, position)
                    ON c.name = seen.name AND c.position = seen.position
                 WHERE c.failures = 0 AND c.position < %(to)s FOR UPDATE OF c SKIP LOCKED)
            """,
            {
                "to": position,
                "names": [cursor.name for cursor in cursors],
                "positions": [cursor.position for cursor in cursors],
            },
        )


def _handle_batch(subscription: Subscription, limit: int) -> bool:
    """False when the cursor is another's or must wait for its retry; call it in a transaction."""
    consumer = _lock(subscription)
    if consumer is None:
        return False
    events = list(Event.objects.filter(position__gt=consumer.position).order_by("position")[:limit])
    if not events:
        return True
    wanted = subscription.wanted(events)
    if wanted:
        subscription.handler(wanted)
    Consumer.objects.filter(pk=consumer.pk).update(
        position=events[-1].position, failures=0, error="", retry_at=None
    )
    return True


def _lock(subscription: Subscription) -> Consumer | None:
    return (
        Consumer.objects.select_for_update(skip_locked=True)
        .filter(Q(retry_at=None) | Q(retry_at__lte=Now()), pk=subscription.name)
        .first()
    )


def _enrol(subscription: Subscription) -> bool:
    """Give a new handler its cursor; True when it had none.

    Committed before the handler is first called: a first event that fails must not undo it, and nobody
    else should wait for it.
    """
    _, is_new = Consumer.objects.get_or_create(pk=subscription.name)
    return is_new


def _advance_singly(subscription: Subscription) -> bool:
    for _ in range(HANDLE_BATCH):
        try:
            with transaction.atomic():
                if not _handle_batch(subscription, 1):
                    return False
        except Exception as error:
            _note_failure(subscription, error)
            return False
        if not _is_behind(subscription):
            return False
    return True


def _note_failure(subscription: Subscription, error: Exception) -> None:
    handler_failures.labels(subscription.name).inc()
    log.error("handler_failed", consumer=subscription.name, exc_info=error)
    consumer = Consumer.objects.get(pk=subscription.name)
    seconds = min(2 ** min(consumer.failures, 20), MAX_BACKOFF_SECONDS)
    Consumer.objects.filter(pk=consumer.pk, position=consumer.position).update(
        failures=F("failures") + 1,
        error=repr(error)[:2000],
        retry_at=Now() + timedelta(seconds=seconds),
    )


def _is_behind(subscription: Subscription) -> bool:
    last = Counter.objects.values("position")[:1]
    return Consumer.objects.filter(pk=subscription.name, position__lt=last).exists()
