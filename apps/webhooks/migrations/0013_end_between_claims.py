"""The end of a delivery in order is recorded between two claims."""

from django.db import migrations

# A claim may judge what comes next by a row whose deletion is not committed yet, and put it behind for a minute: also
# what came too late for the recording to see it, and so to make it ready. Under the lock of claims there is no such.
RECORD = """
CREATE OR REPLACE FUNCTION webhooks_record_v2(ids uuid[], outcomes jsonb)
RETURNS TABLE (delivery_id uuid, number integer, at double precision)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off AS $$
BEGIN
  -- The first asks of nobody without ordered endpoints anything more.
  IF EXISTS (SELECT FROM webhooks_due d WHERE d.order_key IS NOT NULL)
     AND EXISTS (SELECT FROM webhooks_due d WHERE d.id = ANY(ids) AND d.order_key IS NOT NULL) THEN
    PERFORM pg_advisory_xact_lock(hashtext('tradepost.webhooks.claim'));
  END IF;
  RETURN QUERY
  WITH outcome AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(outcomes) AS o(
      id uuid, lease_id uuid, attempt_id uuid, status text, reason text, retry_in float8, url text,
      age float8, duration_ms integer, status_code smallint, error text, headers jsonb,
      answer_headers jsonb, body text, dns_us integer, connect_us integer, tls_us integer,
      first_byte_us integer)
  ), rested AS (
    DELETE FROM webhooks_due d USING outcome o
     WHERE d.id = ANY(ids) AND d.id = o.id AND d.lease_id IS NOT DISTINCT FROM o.lease_id
       AND o.retry_in IS NULL RETURNING d.id, d.endpoint_id, d.order_key
  ), postponed AS (
    UPDATE webhooks_due d SET due_at = now() + o.retry_in * interval '1 second', ready = false,
           lane = 1, lease_id = NULL, lease_until = NULL, claims = 0
      FROM outcome o
     WHERE d.id = ANY(ids) AND d.id = o.id AND d.lease_id IS NOT DISTINCT FROM o.lease_id
       AND o.retry_in IS NOT NULL RETURNING d.id
  ), followed AS (
    UPDATE webhooks_due n SET ready = true, is_behind = false, due_at = now()
     WHERE n.lease_id IS NULL AND (n.is_behind OR n.ready) AND n.id = ANY(ARRAY(
       SELECT (SELECT o.id FROM webhooks_due o
                WHERE o.endpoint_id = r.endpoint_id AND o.order_key = r.order_key
                  AND o.id <> ALL(ids) ORDER BY o.position, o.id LIMIT 1)
         FROM rested r WHERE r.order_key IS NOT NULL))
  ), held AS (
    SELECT id FROM rested UNION ALL SELECT id FROM postponed
  ), settled AS (
    UPDATE webhooks_delivery d SET status = o.status, reason = o.reason,
           attempt_count = d.attempt_count + 1, last_status_code = o.status_code, updated_at = now(),
           retry_step = d.retry_step + (o.retry_in IS NOT NULL)::integer
      FROM outcome o JOIN held USING (id)
     WHERE d.id = ANY(ids) AND d.id = o.id RETURNING d.id, d.attempt_count
  ), logged AS (
    INSERT INTO webhooks_attempt (id, delivery_id, number, url, started_at, duration_ms, status_code,
                                  error, request_headers, response_headers, response_body,
                                  dns_us, connect_us, tls_us, first_byte_us)
    SELECT o.attempt_id, o.id, s.attempt_count, o.url, now() - o.age * interval '1 second',
           o.duration_ms, o.status_code, o.error, o.headers, o.answer_headers, decode(o.body, 'hex'),
           o.dns_us, o.connect_us, o.tls_us, o.first_byte_us
      FROM outcome o JOIN settled s USING (id)
  )
  SELECT s.id, s.attempt_count, extract(epoch FROM now())::float8 FROM settled s;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0012_outcomes_touch_no_index")]

    operations = [migrations.RunSQL(RECORD, migrations.RunSQL.noop)]
