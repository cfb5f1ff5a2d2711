"""A round of the dispatcher in few statements (docs/adr/0013)."""

from django.db import migrations

# One look of the dispatcher: stamps, and says how many, the last position given, which consumers are to be
# asked, and whether there is more to look at. `names` and `wanted` are the handlers' types in pairs: a name,
# and an exact type, a family (`deal.*`) or `*`. Whoever wants none of the next `reach` events is moved past them
# here, all by one statement that skips cursors that somebody holds. Who is new or failing is to be asked.
ROUND = """
CREATE FUNCTION events_round(batch integer, reach integer, names text[], wanted text[])
RETURNS TABLE (stamped integer, last bigint, concerned text[], is_more boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
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
  SELECT array_agg(e.position), array_agg(e.type) INTO news_at, news_of FROM (
    SELECT e.position, e.type FROM events_event e
     WHERE e.position > (SELECT min(c.position) FROM events_consumer c
                          WHERE c.name = ANY(names) AND c.failures = 0 AND c.position < last)
     ORDER BY e.position LIMIT reach) e;
  upto := news_at[cardinality(news_at)];
  WITH seen AS MATERIALIZED (
    SELECT s.name, c.position, c.failures, EXISTS (
             SELECT FROM unnest(news_at, news_of) n(at, type)
              WHERE n.at > c.position AND s.types &&
                    ARRAY['*', split_part(n.type, '.', 1) || '.*', n.type]) AS wants,
           c.position < upto AS is_before
      FROM (SELECT w.name, array_agg(w.type) AS types
              FROM unnest(names, wanted) w(name, type) GROUP BY w.name) s
           LEFT JOIN events_consumer c USING (name)
     WHERE c.position IS NULL OR c.position < last
  )
  SELECT COALESCE(array_agg(name) FILTER (WHERE passes IS NOT TRUE), '{}'),
         array_agg(name) FILTER (WHERE passes), array_agg(position) FILTER (WHERE passes)
    INTO concerned, idle, idle_at
    FROM (SELECT name, position, failures = 0 AND is_before AND NOT wants AS passes FROM seen) judged;
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

# Locks the cursor of a consumer whose time it is, moves it past the next `most` events and gives them. None
# when it is another's, waits for its retry, or has come to the end.
TAKE = """
CREATE FUNCTION events_take(of_consumer text, most integer)
RETURNS SETOF events_event LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  after bigint;
  upto bigint;
BEGIN
  SELECT c.position INTO after FROM events_consumer c
   WHERE c.name = of_consumer AND (c.retry_at IS NULL OR c.retry_at <= now())
     FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM events_event e WHERE e.position > after ORDER BY e.position LIMIT most;
  IF FOUND THEN
    SELECT max(e.position) INTO upto FROM (
      SELECT e.position FROM events_event e WHERE e.position > after ORDER BY e.position LIMIT most) e;
    UPDATE events_consumer c SET position = upto, failures = 0, error = '', retry_at = NULL
     WHERE c.name = of_consumer;
  END IF;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.RunSQL(ROUND, "DROP FUNCTION events_round(integer, integer, text[], text[])"),
        migrations.RunSQL(TAKE, "DROP FUNCTION events_take(text, integer)"),
    ]
