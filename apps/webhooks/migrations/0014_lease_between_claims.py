"""A fan-out leases deliveries between two claims, and no claim is made until it has committed."""

from django.db import migrations

# As before, but that it leases nothing while a claim is on its way: neither saw what the other was about to lease, so
# that an endpoint had more under way than its cap, its trials or its order let through. It does not wait for a claim:
# deliveries are then made to be claimed. A claim waits for its commit, which is the next that its client says, so one
# that says nothing any more (stopped, or out of reach) is not waited for as long as elsewhere.
FAN_OUT = """
CREATE OR REPLACE FUNCTION webhooks_make(
  events uuid[], after uuid, most integer, slots integer, under uuid, who text, cap integer,
  few integer, lease_seconds double precision, swift uuid[], hands integer[]
) RETURNS TABLE (delivery_id uuid, of_event_id uuid, to_endpoint_id uuid, to_url text,
                 endpoint_version integer, is_fast boolean, place integer, places_in_all integer,
                 will_be_set_aside boolean, has_pace boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off SET jit = off AS $$
BEGIN
  IF slots > 0 THEN
    IF pg_try_advisory_xact_lock_shared(hashtext('tradepost.webhooks.claim')) THEN
      PERFORM set_config('idle_in_transaction_session_timeout', '3s', true);
    ELSE
      slots := 0;
    END IF;
  END IF;
  RETURN QUERY
  WITH event AS (
    SELECT id, type, subject, account_id, channel_id, readers, position
      FROM events_event WHERE id = ANY(events)
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
             WHERE p.account_id = reader.id AND p.id > after
               AND p.status <> 'disabled' AND p.deleted_at IS NULL
               AND p.event_types && ARRAY['*', split_part(e.type, '.', 1) || '.*', e.type]::varchar[]
               AND NOT (starts_with(e.type, 'webhook_endpoint.') AND p.id = e.subject)
            OFFSET 0) p
         ORDER BY p.id LIMIT most + 1) p
  ), room AS (
    SELECT m.endpoint_id,
           EXISTS (SELECT FROM webhooks_pace w WHERE w.endpoint_id = m.endpoint_id) AS is_watched, CASE
        WHEN g.is_slow OR g.apart IS NOT NULL OR EXISTS (
          SELECT FROM webhooks_due d WHERE d.endpoint_id = m.endpoint_id AND d.ready
             AND d.lane = ANY('{0,1,2}') AND d.order_key IS NULL) THEN 0
        ELSE g.places
      END AS places
      FROM (SELECT DISTINCT d.endpoint_id, COALESCE(s.hand, cap) AS hand
              FROM matched d LEFT JOIN unnest(swift, hands) s(endpoint_id, hand) USING (endpoint_id)
             WHERE slots > 0 AND d.total <= few) m
      CROSS JOIN LATERAL webhooks_gate_v2(m.endpoint_id, now(), cap, m.hand, who, 0) g
  ), ranked AS (
    SELECT m.*, r.is_watched, m.total <= few
             AND row_number() OVER (PARTITION BY m.endpoint_id ORDER BY m.position, m.event_id)
                 <= COALESCE(r.places, 0)
             AND (NOT m.ordered OR NOT m.backlog_stale AND 1 = (
                 SELECT count(*) FROM event o WHERE o.subject = m.subject)
               AND NOT EXISTS (SELECT FROM webhooks_due d
                                WHERE d.endpoint_id = m.endpoint_id AND d.order_key = m.subject)
               AND NOT EXISTS (SELECT FROM webhooks_fanout f WHERE f.subject = m.subject)
             ) AS may_be_fast
      FROM matched m LEFT JOIN room r USING (endpoint_id) WHERE m.nth <= most
  ), chosen AS MATERIALIZED (
    SELECT ranked.*, may_be_fast AND row_number() OVER (
             PARTITION BY may_be_fast ORDER BY position, endpoint_id) <= slots AS fast
      FROM ranked
  ), logged AS (
    INSERT INTO webhooks_delivery (id, endpoint_id, event_id, event_type, subject, status, reason,
                                   attempt_count, retry_step)
    SELECT id, endpoint_id, event_id, type, subject, 'pending', '', 0, 0 FROM chosen
  ), owed AS (
    INSERT INTO webhooks_due (id, endpoint_id, ready, lane, order_key, position, due_at, lease_id,
                              lease_until, holder, claims)
    SELECT id, endpoint_id, NOT fast, 0, CASE WHEN ordered THEN subject END,
           CASE WHEN ordered THEN position END, now.t + CASE WHEN fast THEN lease_seconds * interval '1 second'
             ELSE interval '0' END,
           CASE WHEN fast THEN under END,
           CASE WHEN fast THEN now.t + lease_seconds * interval '1 second' END,
           CASE WHEN fast THEN who ELSE '' END, fast::integer
      FROM chosen CROSS JOIN (SELECT clock_timestamp() AS t) now
  )
  SELECT c.id, c.event_id, c.endpoint_id, c.url, c.version, c.fast, c.nth::integer, c.total::integer,
         c.is_set_aside, COALESCE(c.is_watched, false)
    FROM chosen c ORDER BY c.position, c.endpoint_id;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0013_end_between_claims")]

    operations = [migrations.RunSQL(FAN_OUT, migrations.RunSQL.noop)]
