"""Plans that do well whatever the planner believes of the tables' sizes (docs/adr/0038).

They are made once for a connection, often while nothing is owed and `webhooks_due` looks empty; then it has
thousands of rows. So: no table is read from end to end, and sets are joined by hashing unless one is looked up
row by row by its index.
"""

from django.db import migrations

MAKE = (
    "webhooks_make(uuid[], uuid, integer, integer, uuid, text, integer, integer, double precision, "
    "uuid[], integer[])"
)
TAKE = (
    "webhooks_take_v2(uuid[], integer[], integer[], integer, integer, integer, double precision, "
    "double precision, uuid, text, uuid[], integer[])"
)
LOAD = "webhooks_load(uuid[])"

# As webhooks_record says it. Its tables are entered by `ids` and joined with the outcomes by hashing: a lookup
# for each outcome that is bound by `ids` as well sorts all of them each time. IS NOT DISTINCT FROM, so that no
# index of what is leased seems to serve, which would be read from end to end.
RECORD = """
CREATE FUNCTION webhooks_record_v2(ids uuid[], outcomes jsonb)
RETURNS TABLE (delivery_id uuid, number integer, at double precision)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off AS $$
BEGIN
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


def plan(function: str, setting: str) -> migrations.RunSQL:
    """What the function says and does stays as it is, so it keeps its name."""
    return migrations.RunSQL(
        f"ALTER FUNCTION {function} SET {setting} = off",
        f"ALTER FUNCTION {function} RESET {setting}",
    )


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0009_make_deliveries")]

    operations = [
        plan(MAKE, "enable_seqscan"),
        plan(MAKE, "enable_nestloop"),
        plan(MAKE, "jit"),  # the loops that are left look dear to PostgreSQL 17
        plan(TAKE, "enable_seqscan"),
        plan(LOAD, "enable_seqscan"),
        migrations.RunSQL(RECORD, "DROP FUNCTION webhooks_record_v2(uuid[], jsonb)"),
    ]
