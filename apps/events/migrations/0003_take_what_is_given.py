"""A cursor never passes an event that its handler was not given."""

from django.db import migrations

# Each statement of a function sees what has been committed before that statement. So the end is looked up
# once, and first: what others stamp meanwhile comes after it, and is neither given nor passed.
TAKE = """
CREATE OR REPLACE FUNCTION events_take(of_consumer text, most integer)
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
  SELECT max(e.position) INTO upto FROM (
    SELECT e.position FROM events_event e WHERE e.position > after ORDER BY e.position LIMIT most) e;
  IF upto IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM events_event e
                WHERE e.position > after AND e.position <= upto ORDER BY e.position;
  UPDATE events_consumer c SET position = upto, failures = 0, error = '', retry_at = NULL
   WHERE c.name = of_consumer;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0002_rounds")]

    operations = [migrations.RunSQL(TAKE, migrations.RunSQL.noop)]
