"""What an endpoint is owed follows the endpoint: parked while it is disabled, canceled once it is
deleted, sent when it is enabled again."""

from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from apps.webhooks.enums import DeliveryStatus, EndpointStatus, Reason
from apps.webhooks.models import Delivery, Endpoint, Undelivered

BATCH = 1000

# Deliveries under a live lease are on their way; what is left of them is settled at the next claim.
_PUT_TO_REST = """
WITH chosen AS MATERIALIZED (
  SELECT id FROM webhooks_due
   WHERE endpoint_id = %s AND (lease_until IS NULL OR lease_until < now())
   LIMIT %s FOR UPDATE SKIP LOCKED
), rested AS (
  DELETE FROM webhooks_due d USING chosen WHERE d.id = chosen.id RETURNING d.id
)
UPDATE webhooks_delivery d SET status = %s, reason = %s, updated_at = now()
  FROM rested WHERE d.id = rested.id
"""

# What was parked for its own sake stays so. The schedule begins anew, for the endpoint is another now.
_OWE_PARKED = """
WITH chosen AS MATERIALIZED (
  SELECT d.id, d.event_id, d.subject
    FROM webhooks_undelivered u JOIN webhooks_delivery d ON d.id = u.id
   WHERE u.endpoint_id = %(endpoint)s AND u.status = 'parked'
     AND d.status = 'parked' AND d.reason = 'endpoint_disabled'
   ORDER BY u.id LIMIT %(limit)s FOR UPDATE OF d
), owed AS (
  INSERT INTO webhooks_due (id, endpoint_id, ready, lane, order_key, position, due_at, claims)
  SELECT c.id, p.id, true, 1, CASE WHEN e.position IS NOT NULL THEN c.subject END, e.position,
         now() + row_number() OVER (ORDER BY c.id) * interval '1 microsecond', 0
    FROM chosen c JOIN webhooks_endpoint p ON p.id = %(endpoint)s
         LEFT JOIN events_event e ON p.ordered AND e.id = c.event_id
  ON CONFLICT (id) DO NOTHING
)
UPDATE webhooks_delivery d SET status = 'pending', reason = '', retry_step = 0, updated_at = now()
  FROM chosen WHERE d.id = chosen.id
"""


def settle(endpoint_id: UUID) -> None:
    """Let up to 1,000 deliveries follow the endpoint, whose row the caller has locked.

    Whether there are more is noted on the endpoint; `webhooks.deliver` goes on with them.
    """
    endpoint = Endpoint.objects.get(pk=endpoint_id)
    if endpoint.deleted_at is not None:
        moved = _put_to_rest(endpoint_id, DeliveryStatus.CANCELED, Reason.ENDPOINT_DELETED)
        moved += _cancel_parked(endpoint_id)
    elif endpoint.status == EndpointStatus.DISABLED:
        moved = _put_to_rest(endpoint_id, DeliveryStatus.PARKED, Reason.ENDPOINT_DISABLED)
    else:
        moved = _owe_parked(endpoint_id)
    Endpoint.objects.filter(pk=endpoint_id).update(backlog_stale=moved >= BATCH)


def _put_to_rest(endpoint_id: UUID, status: DeliveryStatus, reason: Reason) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_PUT_TO_REST, [endpoint_id, BATCH, status.value, reason.value])
        return int(cursor.rowcount)


def _cancel_parked(endpoint_id: UUID) -> int:
    parked = Undelivered.objects.filter(endpoint_id=endpoint_id, status=DeliveryStatus.PARKED)
    return Delivery.objects.filter(
        pk__in=parked.values("pk")[:BATCH], status=DeliveryStatus.PARKED
    ).update(status=DeliveryStatus.CANCELED, reason=Reason.ENDPOINT_DELETED, updated_at=Now())


def _owe_parked(endpoint_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_OWE_PARKED, {"endpoint": endpoint_id, "limit": BATCH})
        return int(cursor.rowcount)
