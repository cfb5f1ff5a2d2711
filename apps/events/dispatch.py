"""The dispatcher: gives events their positions, then lets every handler catch up.

Run zero, one or five times, by any number of workers at once, it does the same: positions are given
under one advisory lock inside an SQL function, a cursor moves in the transaction of its handler.
"""

import math
import threading
import time
from datetime import timedelta
from typing import NamedTuple

import structlog
from django.db import connection, transaction
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce, Now
from prometheus_client import Counter as Metric

from apps.common.leases import reconcile
from apps.events.models import Consumer, Event
from apps.events.subscriptions import Subscription, subscriptions

STAMP_BATCH = 500
HANDLE_BATCH = 250
# A round costs the same for two events as for fifty, so when many come it waits for them to come together:
# not at all below FEW a second, so shortly up to MANY that a webhook is sent within 30 ms still, and beyond
# that longer with each more, but never longer than LONGEST_SECONDS.
ENOUGH = 50
FEW, MANY = 100, 270
SHORT_SECONDS, MORE_SECONDS_EACH, LONGEST_SECONDS = 0.008, 0.0004, 0.1
# The rate is that of about the last half second: in less there is too much chance.
REMEMBERED_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 300
# Who has not begun a round for so long waits for something: another thread may take over.
STUCK_SECONDS = 1.0

# What no handler looks at is left out: it takes longer to read than the rest, and is there for one that does.
_TAKE = """
SELECT id, position, type, account_id, subject, payload, occurred_at FROM events_take(%s, %s)
"""

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
_rounds: dict[int, float] = {}  # by thread that dispatches: when it began its last round


def dispatch() -> bool:
    """Stamp and handle until nothing is left or the slice is over; True when more may be left."""
    try:
        return reconcile(_go_round)
    finally:
        _rounds.pop(threading.get_ident(), None)


def gets_on() -> bool:
    """Whether a thread of this process goes round after round: another would take some of its events, and so
    let each round, which costs the same for two events as for fifty, be for fewer."""
    now = time.monotonic()
    return any(now - began < STUCK_SECONDS for began in list(_rounds.values()))


def _go_round() -> bool:
    _rounds[threading.get_ident()] = time.monotonic()
    look = _look()
    concerned = [each for each in subscriptions() if each.name in look.concerned]
    more = [advance(subscription) for subscription in concerned]
    wait = _pace.gathering(look.last, time.monotonic())
    if 0 < look.stamped < ENOUGH:
        time.sleep(wait)
    return bool(look.stamped) or look.is_more or any(more)


class _Look(NamedTuple):
    """How many events got their positions, the last position given, whom to ask, and whether others have
    more before them."""

    stamped: int
    last: int
    concerned: list[str]
    is_more: bool


def _look() -> _Look:
    """Stamp, and see who has events before it that it wants: by events_round, an SQL function.

    Most handlers want few types: their cursors are moved past the rest in there, all by one statement. Who
    is new, failing or far from the others is among the concerned: `advance` knows what to do.
    """
    wanted = [(each.name, one) for each in subscriptions() for one in each.types]
    names, types = zip(*wanted, strict=True) if wanted else ((), ())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM events_round(%s, %s, %s::text[], %s::text[])",
            [STAMP_BATCH, HANDLE_BATCH, list(names), list(types)],
        )
        return _Look(*cursor.fetchone())


def stamp() -> int:
    """Give positions to at most 500 events, in the order of insertion; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT events_stamp(%s)", [STAMP_BATCH])
        return int(cursor.fetchone()[0])


def advance(subscription: Subscription) -> bool:
    """Hand the next events to a handler; True when there may be more for it.

    Whoever finds the cursor locked leaves it alone: its holder, having handled some, looks again after
    letting go, and so sees what was stamped meanwhile.
    """
    try:
        with transaction.atomic():
            has_handled = _handle_batch(subscription, HANDLE_BATCH)
    except Exception as error:
        # One of the batch is to blame: one at a time, up to and including that one.
        log.warning("handler_batch_failed", consumer=subscription.name, error=repr(error))
        return _advance_singly(subscription)
    return has_handled or _enrol(subscription)


def skip(name: str) -> bool:
    """Move a failing consumer past the event it fails on, an operator's last resort; False when it
    is not failing."""
    following = Event.objects.filter(position__gt=OuterRef("position")).order_by("position")
    failed = Coalesce(Subquery(following.values("position")[:1]), F("position"))
    skipped = Consumer.objects.filter(name=name, failures__gt=0).update(
        position=failed, failures=0, error="", retry_at=None
    )
    if skipped:
        log.warning("handler_event_skipped", consumer=name)
    return bool(skipped)


def _handle_batch(subscription: Subscription, limit: int) -> bool:
    """False when there was nothing to do: no new event, or the cursor is another's or must wait for its retry.

    Call it in a transaction: the cursor moves when the events are read.
    """
    events = list(Event.objects.raw(_TAKE, [subscription.name, limit]))
    wanted = subscription.wanted(events)
    if wanted:
        subscription.handler(wanted)
    return bool(events)


def _enrol(subscription: Subscription) -> bool:
    """Give a new handler its cursor; True when it had none.

    Committed before the handler is first called: a first event that fails must not undo it, and nobody
    else should wait for it.
    """
    _, is_new = Consumer.objects.get_or_create(pk=subscription.name)
    return is_new


def _advance_singly(subscription: Subscription) -> bool:
    for _ in range(HANDLE_BATCH):
        before = Consumer.objects.get(pk=subscription.name)
        try:
            with transaction.atomic():
                if not _handle_batch(subscription, 1):
                    return False
        except Exception as error:
            _note_failure(before, error)
            return False
    return True


def _note_failure(before: Consumer, error: Exception) -> None:
    """Unless another has moved it on since: then the failure has passed."""
    handler_failures.labels(before.name).inc()
    log.error("handler_failed", consumer=before.name, exc_info=error)
    seconds = min(2 ** min(before.failures, 20), MAX_BACKOFF_SECONDS)
    Consumer.objects.filter(pk=before.pk, position=before.position).update(
        failures=F("failures") + 1,
        error=repr(error)[:2000],
        retry_at=Now() + timedelta(seconds=seconds),
    )
