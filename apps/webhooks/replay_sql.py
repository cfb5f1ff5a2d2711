"""The statements of replays. COUNT_* and OWE_* walk at most `limit` rows from a cursor on, and answer with
one row: how many there were, how many of them the replay concerns, how many were owed, and the last's
place."""

# Position after which a span may begin, and up to which it may reach: what the fan-out has not come to
# yet is going to be sent anyway.
SPAN = """
SELECT COALESCE((SELECT position FROM events_event
                  WHERE id < %(before)s AND position IS NOT NULL ORDER BY id DESC LIMIT 1), 0),
       LEAST(COALESCE((SELECT position FROM events_consumer WHERE name = 'webhooks.fan_out'), 0),
             (SELECT position FROM events_event
               WHERE id > %(beyond)s AND position IS NOT NULL ORDER BY id LIMIT 1))
"""

# An event whose fan-out is under way and has not come to this endpoint yet is sent by that.
_CONCERNED = """
    e.type = ANY(%(types)s) AND e.occurred_at BETWEEN %(since)s AND %(until)s
    AND NOT (starts_with(e.type, 'webhook_endpoint.') AND e.subject = %(endpoint)s)
    AND NOT EXISTS (SELECT FROM webhooks_fanout f WHERE f.event_id = e.id AND f.after < %(endpoint)s)
"""

# What the account may see now, as in its feed (apps.events.selectors): three index ranges, each cut at
# the limit.
_SEEN = f"""
WITH visible AS (
  (SELECT e.id, e.position FROM events_event e
    WHERE e.account_id = %(account)s AND e.position > %(after)s AND e.position <= %(last)s
      AND {_CONCERNED} ORDER BY e.position LIMIT %(limit)s)
  UNION
  (SELECT e.id, e.position FROM events_reader r JOIN events_event e ON e.id = r.event_id
    WHERE r.account_id = %(account)s AND r.position > %(after)s AND r.position <= %(last)s
      AND {_CONCERNED} ORDER BY r.position LIMIT %(limit)s)
  UNION
  (SELECT c.id, c.position FROM events_channelmember m CROSS JOIN LATERAL (
      SELECT e.id, e.position FROM events_event e
       WHERE e.channel_id = m.channel_id AND e.position > %(after)s AND e.position <= %(last)s
         AND {_CONCERNED} ORDER BY e.position LIMIT %(limit)s) c
    WHERE m.account_id = %(account)s)
), seen AS MATERIALIZED (
  SELECT id, position FROM visible ORDER BY position LIMIT %(limit)s
)"""  # noqa: S608 - made of constants

# A delivery that was parked for its own sake (not with its whole endpoint) has failed as well.
# One that failed after the replay was asked for is none of its business.
_SCANNED = """
WITH scanned AS MATERIALIZED (
  (SELECT d.id, d.event_id, d.event_type, d.subject
     FROM webhooks_undelivered u JOIN webhooks_delivery d ON d.id = u.id
    WHERE u.endpoint_id = %(endpoint)s AND u.status = 'failed' AND u.id > %(after_id)s
      AND d.updated_at < %(created)s ORDER BY u.id LIMIT %(limit)s)
  UNION ALL
  (SELECT d.id, d.event_id, d.event_type, d.subject
     FROM webhooks_undelivered u JOIN webhooks_delivery d ON d.id = u.id
    WHERE u.endpoint_id = %(endpoint)s AND u.status = 'parked' AND u.id > %(after_id)s
      AND d.reason <> 'endpoint_disabled' AND d.updated_at < %(created)s
    ORDER BY u.id LIMIT %(limit)s)
  ORDER BY id LIMIT %(limit)s
), chosen AS MATERIALIZED (
  SELECT d.id, false AS is_new, d.event_id, d.event_type AS type, d.subject, e.position
    FROM scanned d JOIN events_event e ON e.id = d.event_id
   WHERE d.event_type = ANY(%(types)s) AND e.occurred_at BETWEEN %(since)s AND %(until)s
)"""

# Each event has one delivery to an endpoint: it is sent again; what never had one gets it.
_CHOSEN_OF_SEEN = """
, batch AS MATERIALIZED (
  SELECT e.id AS event_id, e.type, e.subject, s.position
    FROM seen s JOIN events_event e ON e.id = s.id
), known AS (
  SELECT DISTINCT ON (d.event_id) d.id, d.event_id, d.status, d.reason
    FROM batch b JOIN webhooks_delivery d
      ON d.event_id = b.event_id AND d.endpoint_id = %(endpoint)s AND d.id >= %(oldest_id)s
   ORDER BY d.event_id, d.id DESC
), chosen AS MATERIALIZED (
  SELECT COALESCE(k.id, webhooks_uuid7()) AS id, k.id IS NULL AS is_new,
         b.event_id, b.type, b.subject, b.position
    FROM batch b LEFT JOIN known k USING (event_id)
   WHERE k.id IS NULL OR NOT (k.status = 'pending' OR k.reason = 'endpoint_disabled')
)"""

_OWE = """
, made AS (
  INSERT INTO webhooks_delivery (id, endpoint_id, event_id, event_type, subject, status, reason,
                                 attempt_count, retry_step, replay_id)
  SELECT id, %(endpoint)s, event_id, type, subject, 'pending', '', 0, 0, %(replay)s
    FROM chosen WHERE is_new
), again AS (
  UPDATE webhooks_delivery d
     SET status = 'pending', reason = '', retry_step = 0, replay_id = %(replay)s, updated_at = now()
    FROM chosen c WHERE d.id = c.id AND NOT c.is_new
), owed AS (
  INSERT INTO webhooks_due (id, endpoint_id, ready, lane, order_key, position, due_at, claims)
  SELECT id, %(endpoint)s, true, 2,
         CASE WHEN %(ordered)s THEN subject END, CASE WHEN %(ordered)s THEN position END,
         now() + row_number() OVER (ORDER BY position) * interval '1 microsecond', 0
    FROM chosen ON CONFLICT (id) DO NOTHING
)"""

_OF_SEEN = """
SELECT count(*), count(*), {owed}, max(position), NULL::uuid FROM seen
"""
_OF_SCANNED = """
SELECT (SELECT count(*) FROM scanned), count(*), count(*), NULL::bigint,
       (SELECT id FROM scanned ORDER BY id DESC LIMIT 1)
  FROM chosen
"""

COUNT_ALL = _SEEN + _OF_SEEN.format(owed="0")
COUNT_FAILED = _SCANNED + _OF_SCANNED
OWE_ALL = _SEEN + _CHOSEN_OF_SEEN + _OWE + _OF_SEEN.format(owed="(SELECT count(*) FROM chosen)")
OWE_FAILED = _SCANNED + _OWE + _OF_SCANNED

# A retry has left the replay's lane; what is under a lease is on its way.
_WAITING = """
  SELECT id FROM webhooks_due
   WHERE endpoint_id = %(endpoint)s AND ready AND lane IN (2, 3) AND order_key IS NULL
  UNION ALL
  SELECT id FROM webhooks_due
   WHERE endpoint_id = %(endpoint)s AND (ready OR is_behind) AND lane IN (2, 3)
     AND order_key IS NOT NULL
"""

UNTRIED = f"""
SELECT count(*) FROM (
  SELECT FROM (
      {_WAITING}
      UNION ALL
      SELECT id FROM webhooks_due WHERE endpoint_id = %(endpoint)s AND lease_id IS NOT NULL
    ) u JOIN webhooks_delivery d ON d.id = u.id
   WHERE d.replay_id = %(replay)s LIMIT %(limit)s) one
"""  # noqa: S608 - made of constants

# Back to what they were before, as far as that is known.
CANCEL = f"""
WITH chosen AS MATERIALIZED (
  SELECT u.id FROM webhooks_due u WHERE (u.ready OR u.is_behind) AND u.id IN (
      SELECT w.id FROM ({_WAITING}) w JOIN webhooks_delivery d ON d.id = w.id
       WHERE d.replay_id = %(replay)s)
     FOR UPDATE SKIP LOCKED
), rested AS (
  DELETE FROM webhooks_due u USING chosen WHERE u.id = chosen.id RETURNING u.id
)
UPDATE webhooks_delivery d
   SET updated_at = now(),
       status = CASE WHEN d.attempt_count = 0 THEN 'canceled'
                     WHEN d.last_status_code BETWEEN 200 AND 299 THEN 'delivered' ELSE 'failed' END,
       reason = CASE WHEN d.attempt_count = 0 THEN 'replay_canceled'
                     WHEN d.last_status_code BETWEEN 200 AND 299 THEN '' ELSE 'exhausted' END
  FROM rested WHERE d.id = rested.id
"""  # noqa: S608 - made of constants
