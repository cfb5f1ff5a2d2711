"""Recording what became of deliveries, set-wise and by compare-and-set on their leases.

One statement for a whole batch: whoever has lost a lease matches no row of webhooks_due, and then
nothing of that delivery is written at all.
"""

import time
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import structlog
from django.db import connection, transaction
from prometheus_client import Counter, Histogram

from apps.common.actor import system
from apps.common.ids import uuid7
from apps.webhooks.backlog import settle
from apps.webhooks.claims import AFTER_ALL_CLAIMS
from apps.webhooks.durability import UNAWAITED
from apps.webhooks.enums import DeliveryStatus, DisabledReason, EndpointStatus, Reason
from apps.webhooks.judging import note
from apps.webhooks.models import Due, Endpoint
from apps.webhooks.pace import is_notable
from apps.webhooks.preparing import Dismissal
from apps.webhooks.retries import RETRIES_BEFORE_SET_ASIDE, seconds_until_retry
from apps.webhooks.services import DELIVER, disable_endpoint
from apps.webhooks.transport import Outcome

attempts = Counter("tradepost_webhook_attempts", "Webhook requests made", ["result"])
attempt_seconds = Histogram(
    "tradepost_webhook_attempt_seconds",
    "From the start of a webhook request to its answer",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 5, 10, 15),
)
first_attempt_lag_seconds = Histogram(
    "tradepost_webhook_lag_seconds",
    "From the event to the first attempt's answer recorded",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)
log = structlog.get_logger(__name__)

# What comes next in the order of a subject whose delivery rests need not wait any more. Whichever is first
# is touched, ready or not, to wait for a claim that is just looking at it (webhooks_pick).
FOLLOW = """
  UPDATE webhooks_due n SET ready = true, is_behind = false, due_at = now()
   WHERE n.lease_id IS NULL AND (n.is_behind OR n.ready) AND n.id IN (
     SELECT (SELECT o.id FROM webhooks_due o
              WHERE o.endpoint_id = r.endpoint_id AND o.order_key = r.order_key
                AND o.id <> ALL(%(ids)s) ORDER BY o.position, o.id LIMIT 1)
       FROM rested r WHERE r.order_key IS NOT NULL)"""

# By webhooks_record_v2, an SQL function, whose plan is made once for a connection: it takes longer than recording
# a few. Outcomes travel as one JSON text: a list of Python arrays costs five times as much to pass.
_RECORD = f"SELECT recorded.* FROM {UNAWAITED}, webhooks_record_v2(%s, %s) recorded"  # noqa: S608 - made of constants

# What has been enabled since it was looked at has owed anew all that was parked until then: what would be parked
# only now would stay so. It is left to be claimed again when its lease ends.
_DISMISS = f"""
WITH dismissed AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::uuid[], %(leases)s::uuid[], %(statuses)s::text[], %(reasons)s::text[])
    AS o(id, lease_id, status, reason)
), rested AS (
  DELETE FROM webhooks_due d USING dismissed o
   WHERE d.id = ANY(%(ids)s) AND d.id = o.id AND d.lease_id = o.lease_id
     AND (o.reason <> 'endpoint_disabled' OR d.endpoint_id = ANY(%(disabled)s::uuid[]))
  RETURNING d.id, d.endpoint_id, d.order_key
), followed AS (
  {FOLLOW}
)
UPDATE webhooks_delivery d SET status = o.status, reason = o.reason, updated_at = now()
  FROM dismissed o JOIN rested USING (id) WHERE d.id = ANY(%(ids)s) AND d.id = o.id
"""  # noqa: S608 - made of constants

# Delivery -> the attempt's number and the time of recording it (Unix time).
Recorded = dict[UUID, tuple[int, float]]


class Verdict(NamedTuple):
    """What an outcome makes of its delivery; `retry_in` seconds when it stays pending."""

    status: DeliveryStatus
    reason: Reason | None = None
    retry_in: float | None = None


def verdict_on(outcome: Outcome) -> Verdict:
    """2xx is delivered, 410 parks, `retry=false` fails, everything else is tried again until the schedule
    ends; of an ordered endpoint that asks for it, only three times, before it is set aside."""
    if outcome.is_success:
        return Verdict(DeliveryStatus.DELIVERED)
    if outcome.status_code == 410:
        return Verdict(DeliveryStatus.PARKED, Reason.ENDPOINT_DISABLED)
    if not outcome.control.retry:
        return Verdict(DeliveryStatus.FAILED, Reason.REFUSED)
    if outcome.parcel.is_set_aside and outcome.parcel.step >= RETRIES_BEFORE_SET_ASIDE:
        return Verdict(DeliveryStatus.PARKED, Reason.SET_ASIDE)
    retry_in = seconds_until_retry(outcome.parcel.step, outcome.hint)
    if retry_in is None:
        return Verdict(DeliveryStatus.FAILED, Reason.EXHAUSTED)
    return Verdict(DeliveryStatus.PENDING, None, retry_in)


def record(outcomes: Sequence[Outcome]) -> None:
    """Write attempts and what follows from them; outcomes under a lost lease leave no trace."""
    verdicts = [verdict_on(outcome) for outcome in outcomes]
    gone = {
        outcome.parcel.endpoint_id: outcome.parcel.url
        for outcome in outcomes
        if outcome.status_code == 410
    }
    notable = [outcome for outcome in outcomes if is_notable(outcome)]
    recorded = (
        _record_with_consequences(outcomes, verdicts, notable, gone)
        if notable
        else _record(outcomes, verdicts)
    )
    _tell(outcomes, verdicts, recorded)


def _record(outcomes: Sequence[Outcome], verdicts: Sequence[Verdict]) -> Recorded:
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, _parameters(outcomes, verdicts))
        return {row[0]: row[1:] for row in cursor.fetchall()}


@transaction.atomic
def _record_with_consequences(
    outcomes: Sequence[Outcome],
    verdicts: Sequence[Verdict],
    notable: Sequence[Outcome],
    gone: Mapping[UUID, str],
) -> Recorded:
    # Endpoints are locked before deliveries, as everywhere, and paces last.
    if gone:
        list(Endpoint.objects.select_for_update().filter(pk__in=gone).order_by("pk"))
    recorded = _record(outcomes, verdicts)
    note(
        [
            outcome
            for outcome in notable
            if outcome.parcel.delivery_id in recorded and outcome.status_code != 410
        ]
    )
    for endpoint_id, url in sorted(gone.items()):
        is_gone = disable_endpoint(
            endpoint_id=endpoint_id, reason=DisabledReason.GONE, actor=system(DELIVER), while_at=url
        )
        if not is_gone:
            settle(endpoint_id)  # what was parked by that answer: it is elsewhere now, or deleted
    return recorded


@transaction.atomic
def dismiss(dismissals: Sequence[Dismissal]) -> None:
    """Let deliveries rest that are not to be sent. Endpoints are locked before deliveries, as everywhere; and it is
    between claims, as the end of a delivery in order is recorded."""
    ids = [one.delivery_id for one in dismissals]
    whose = Due.objects.filter(pk__in=ids).values("endpoint_id")
    disabled = Endpoint.objects.filter(pk__in=whose, status=EndpointStatus.DISABLED).order_by("pk")
    parameters: dict[str, Any] = {
        "ids": ids,
        "leases": [one.lease_id for one in dismissals],
        "statuses": [one.status for one in dismissals],
        "reasons": [one.reason for one in dismissals],
        "disabled": list(disabled.select_for_update().values_list("pk", flat=True)),
    }
    with connection.cursor() as cursor:
        cursor.execute(AFTER_ALL_CLAIMS)
        cursor.execute(_DISMISS, parameters)
    for one in dismissals:
        log.info("webhook_dismissed", delivery_id=str(one.delivery_id), reason=one.reason)


def _parameters(outcomes: Sequence[Outcome], verdicts: Sequence[Verdict]) -> tuple[list[UUID], str]:
    now = time.monotonic()
    rows = [
        {
            "id": outcome.parcel.delivery_id,
            "lease_id": outcome.parcel.lease_id,
            "attempt_id": uuid7(),
            "status": verdict.status.value,
            "reason": verdict.reason.value if verdict.reason else "",
            "retry_in": verdict.retry_in,
            "url": outcome.parcel.url,
            "age": now - outcome.started,
            "duration_ms": round(outcome.duration * 1000),
            "status_code": outcome.status_code,
            "error": outcome.error,
            "headers": outcome.headers,
            "answer_headers": outcome.answer_headers,
            "body": outcome.body.hex(),
            **outcome.phases._asdict(),
        }
        for outcome, verdict in zip(outcomes, verdicts, strict=True)
    ]
    return [outcome.parcel.delivery_id for outcome in outcomes], orjson.dumps(rows).decode()


def _tell(
    outcomes: Sequence[Outcome],
    verdicts: Sequence[Verdict],
    recorded: Recorded,
) -> None:
    """Logs and metrics, once it is certain."""
    results: Tally[str] = Tally()
    for outcome, verdict in zip(outcomes, verdicts, strict=True):
        parcel = outcome.parcel
        if parcel.delivery_id not in recorded:
            results["lease_lost"] += 1
            log.warning("webhook_lease_lost", delivery_id=str(parcel.delivery_id))
            continue
        number, now = recorded[parcel.delivery_id]
        results["retried" if verdict.retry_in else verdict.status.value] += 1
        attempt_seconds.observe(outcome.duration)
        if number == 1:
            first_attempt_lag_seconds.observe(max(now - parcel.occurred_at, 0.0))
        if not outcome.is_success:
            log.info(
                "webhook_attempt_unsuccessful",
                delivery_id=str(parcel.delivery_id),
                endpoint_id=str(parcel.endpoint_id),
                number=number,
                status_code=outcome.status_code,
                error=outcome.error,
                status=verdict.status.value,
                retry_in=verdict.retry_in,
            )
    for result, count in results.items():
        attempts.labels(result).inc(count)
