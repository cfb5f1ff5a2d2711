"""A cursor is moved only past what was looked at for it."""

from django.db import migrations

# Whoever is new, or does well again, since the next events were read may be before all of them.
ROUND = """
CREATE OR REPLACE FUNCTION events_round(batch integer, reach integer, names text[], wanted text[])
RETURNS TABLE (stamped integer, last bigint, concerned text[], is_more boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  after bigint;
  news_at bigint[];
  news_of text[];
  upto bigint;
  idle text[];
  idle_at bigint[];
BEGIN
  stamped := events_stamp(batch);
  SELECT c.position INTO last FROM events_counter c WHERE c.id = 1;
  last := COALESCE(last, 0);
  concerned := '{}';
  is_more := false;
  IF NOT EXISTS (SELECT FROM unnest(names) s(name) LEFT JOIN events_consumer c USING (name)
                  WHERE c.position IS NULL OR c.position < last) THEN
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT min(c.position) INTO after FROM events_consumer c
   WHERE c.name = ANY(names) AND c.failures = 0 AND c.position < last;
  SELECT array_agg(e.position), array_agg(e.type) INTO news_at, news_of FROM (
    SELECT e.position, e.type FROM events_event e WHERE e.position > after ORDER BY e.position LIMIT reach) e;
  upto := news_at[cardinality(news_at)];
  WITH seen AS MATERIALIZED (
    SELECT s.name, c.position, c.failures, EXISTS (
             SELECT FROM unnest(news_at, news_of) n(at, type)
              WHERE n.at > c.position AND s.types &&
                    ARRAY['*', split_part(n.type, '.', 1) || '.*', n.type]) AS wants,
           c.position >= after AND c.position < upto AS is_among
      FROM (SELECT w.name, array_agg(w.type) AS types
              FROM unnest(names, wanted) w(name, type) GROUP BY w.name) s
           LEFT JOIN events_consumer c USING (name)
     WHERE c.position IS NULL OR c.position < last
  )
  SELECT COALESCE(array_agg(name) FILTER (WHERE passes IS NOT TRUE), '{}'),
         array_agg(name) FILTER (WHERE passes), array_agg(position) FILTER (WHERE passes)
    INTO concerned, idle, idle_at
    FROM (SELECT name, position, failures = 0 AND is_among AND NOT wants AS passes FROM seen) judged;
  IF idle IS NOT NULL THEN
    UPDATE events_consumer c SET position = upto WHERE c.name IN (
      SELECT i.name FROM events_consumer i JOIN unnest(idle, idle_at) AS was(name, position)
          ON i.name = was.name AND i.position = was.position
       WHERE i.failures = 0 FOR UPDATE OF i SKIP LOCKED);
    is_more := upto < last;
  END IF;
  RETURN NEXT;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0003_take_what_is_given")]

    operations = [migrations.RunSQL(ROUND, migrations.RunSQL.noop)]
