"""Fan-out: deliveries for every endpoint that wants an event, set-wise in SQL.

Who gets an event: enabled endpoints of its account, of the readers named on it and of its channel's
members now, whose patterns let its type through. An event about an endpoint never goes to that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from apps.common.wakeups import wake_on_commit
from apps.webhooks.claims import NO_ENDPOINT
from apps.webhooks.limits import ENDPOINT_CAP, FAN_OUT_BATCH, FAST_ENDPOINTS, LEASE_SECONDS
from apps.webhooks.models import FanOut
from apps.webhooks.services import DELIVER

# `matched` finds one endpoint more than is wanted, to learn whether there are more. A delivery is fast
# (inserted under a lease of `holder`) when its event has few of them, its endpoint has nothing waiting and a
# place free, and this process has a slot; an ordered one when it is the only one of its subject.
# Endpoints are looked up reader by reader, by their index: what the planner believes of the audience is
# wrong by orders of magnitude.
_SQL = """
WITH event AS (
  SELECT id, type, subject, account_id, channel_id, readers, position
    FROM events_event WHERE id = ANY(%(events)s)
), matched AS MATERIALIZED (
  SELECT webhooks_uuid7() AS id, e.id AS event_id, e.type, e.subject, e.position,
         p.id AS endpoint_id, p.url, p.version, p.ordered, p.backlog_stale,
         p.ordered AND p.on_failure = 'park' AS is_set_aside,
         row_number() OVER (PARTITION BY e.id ORDER BY p.id) AS nth,
         count(*) OVER (PARTITION BY e.id) AS total
    FROM event e CROSS JOIN LATERAL (
      SELECT p.id, p.url, p.version, p.ordered, p.on_failure, p.backlog_stale FROM (
          SELECT e.account_id AS id
          UNION SELECT unnest(e.readers)
          UNION SELECT m.account_id FROM events_channelmember m WHERE m.channel_id = e.channel_id
        ) reader CROSS JOIN LATERAL (
          SELECT * FROM webhooks_endpoint p
           WHERE p.account_id = reader.id AND p.id > %(after)s
             AND p.status <> 'disabled' AND p.deleted_at IS NULL
             AND p.event_types && ARRAY['*', split_part(e.type, '.', 1) || '.*', e.type]::varchar[]
             AND NOT (starts_with(e.type, 'webhook_endpoint.') AND p.id = e.subject)
          OFFSET 0) p
       ORDER BY p.id LIMIT %(limit)s + 1) p
), room AS (
  SELECT m.endpoint_id,
         EXISTS (SELECT FROM webhooks_pace w WHERE w.endpoint_id = m.endpoint_id) AS is_watched, CASE
      WHEN g.is_slow OR g.apart IS NOT NULL OR EXISTS (
        SELECT FROM webhooks_due d WHERE d.endpoint_id = m.endpoint_id AND d.ready
           AND d.lane = ANY('{0,1,2}') AND d.order_key IS NULL) THEN 0
      ELSE g.places
    END AS places
    FROM (SELECT DISTINCT endpoint_id FROM matched
           WHERE %(slots)s > 0 AND total <= %(few)s) m
    CROSS JOIN LATERAL webhooks_gate(m.endpoint_id, now(), %(cap)s, 0) g
), ranked AS (
  SELECT m.*, r.is_watched, m.total <= %(few)s
           AND row_number() OVER (PARTITION BY m.endpoint_id ORDER BY m.position, m.event_id)
               <= COALESCE(r.places, 0)
           AND (NOT m.ordered OR NOT m.backlog_stale AND 1 = (
               SELECT count(*) FROM event o WHERE o.subject = m.subject)
             AND NOT EXISTS (SELECT FROM webhooks_due d
                              WHERE d.endpoint_id = m.endpoint_id AND d.order_key = m.subject)
             AND NOT EXISTS (SELECT FROM webhooks_fanout f WHERE f.subject = m.subject)
           ) AS may_be_fast
    FROM matched m LEFT JOIN room r USING (endpoint_id) WHERE m.nth <= %(limit)s
), chosen AS MATERIALIZED (
  SELECT ranked.*, may_be_fast AND row_number() OVER (
           PARTITION BY may_be_fast ORDER BY position, endpoint_id) <= %(slots)s AS fast
    FROM ranked
), logged AS (
  INSERT INTO webhooks_delivery (id, endpoint_id, event_id, event_type, subject, status, reason,
                                 attempt_count, retry_step)
  SELECT id, endpoint_id, event_id, type, subject, 'pending', '', 0, 0 FROM chosen
), owed AS (
  INSERT INTO webhooks_due (id, endpoint_id, ready, lane, order_key, position, due_at, lease_id,
                            lease_until, holder, claims)
  SELECT id, endpoint_id, NOT fast, 0, CASE WHEN ordered THEN subject END,
         CASE WHEN ordered THEN position END, now.t + CASE WHEN fast THEN %(lease)s * interval '1 second'
           ELSE interval '0' END,
         CASE WHEN fast THEN %(lease_id)s::uuid END,
         CASE WHEN fast THEN now.t + %(lease)s * interval '1 second' END,
         CASE WHEN fast THEN %(holder)s ELSE '' END, fast::integer
    FROM chosen CROSS JOIN (SELECT clock_timestamp() AS t) now
)
SELECT c.id, c.event_id, c.endpoint_id, c.url, c.version, c.fast, c.nth, c.total,
       c.is_set_aside, COALESCE(c.is_watched, false)
  FROM chosen c ORDER BY c.position, c.endpoint_id
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A delivery just made; a fast one is under a lease, another waits to be claimed."""

    delivery_id: UUID
    event_id: UUID
    endpoint_id: UUID
    url: str
    version: int
    fast: bool
    is_last_of_many: bool
    is_set_aside: bool
    is_watched: bool


def make_deliveries(
    event_ids: Sequence[UUID],
    *,
    limit: int,
    slots: int = 0,
    lease_id: UUID | None = None,
    holder: str = "",
    after: UUID = NO_ENDPOINT,
) -> list[Made]:
    """Make the deliveries of some events for their first `limit` endpoints after `after`.

    At most `slots` of them are leased to `holder`, under `lease_id`. `is_last_of_many` marks the last delivery made
    of an event that has more endpoints.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL,
            {
                "events": list(event_ids),
                "after": after,
                "limit": limit,
                "slots": slots,
                "lease_id": lease_id,
                "holder": holder,
                "cap": ENDPOINT_CAP,
                "few": FAST_ENDPOINTS,
                "lease": LEASE_SECONDS,
            },
        )
        return [
            Made(
                delivery_id=row[0],
                event_id=row[1],
                endpoint_id=row[2],
                url=row[3],
                version=row[4],
                fast=row[5],
                is_last_of_many=row[6] == limit < row[7],
                is_set_aside=row[8],
                is_watched=row[9],
            )
            for row in cursor.fetchall()
        ]


@transaction.atomic
def continue_fan_out() -> bool:
    """Make the next 1,000 deliveries of one event that has so many; False when there is none.

    The cursor moves in the transaction of the deliveries, so a crash costs nothing and doubles nothing.
    """
    progress = FanOut.objects.select_for_update(skip_locked=True).order_by("position").first()
    if progress is None:
        return False
    made = make_deliveries([progress.event_id], limit=FAN_OUT_BATCH, after=progress.after)
    if made and made[-1].is_last_of_many:
        FanOut.objects.filter(pk=progress.pk).update(after=made[-1].endpoint_id)
    else:
        progress.delete()
    wake_on_commit(DELIVER)
    return True
