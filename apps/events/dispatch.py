"""The dispatcher: gives events their positions, then lets every handler catch up.

Run zero, one or five times, by any number of workers at once, it does the same: positions are given
under one advisory lock inside an SQL function, a cursor moves in the transaction of its handler.
"""

import time
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
# Under load a round waits for more events to come together, but never by more than this.
ENOUGH = 50
GATHER_SECONDS_EACH, GATHER_SECONDS = 0.002, 0.025
MAX_BACKOFF_SECONDS = 300

handler_failures = Metric("tradepost_handler_failures", "Events a handler failed on", ["consumer"])
log = structlog.get_logger(__name__)


def dispatch() -> bool:
    """Stamp and handle until nothing is left or the slice is over; True when more may be left."""
    return reconcile(_go_round)


def _go_round() -> bool:
    stamped = stamp()
    more = [advance(subscription) for subscription in subscriptions()]
    if 1 < stamped < ENOUGH:
        # They come faster than one at a time: a round costs the same for two as for fifty.
        time.sleep(min(stamped * GATHER_SECONDS_EACH, GATHER_SECONDS))
    return bool(stamped) or any(more)


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
