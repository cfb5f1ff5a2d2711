from django.db import migrations

# A table that has just grown has no statistics yet: the planner takes it for small, and a join reads all of
# a stream's records for each page. LATERAL … LIMIT 1 and = ANY are a look into the index for each record.
STORE = """
CREATE OR REPLACE FUNCTION datafetch_store(
  of_stream uuid, by_run uuid, after_offset bigint, with_schema integer
) RETURNS TABLE (added_new bigint, added_changed bigint) LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
  WITH compared AS MATERIALIZED (
    SELECT i.n, i.key, i.hash, i.data, present.old
      FROM datafetch_incoming i
      LEFT JOIN LATERAL (
        SELECT r."offset" AS old, r.hash FROM datafetch_record r
         WHERE r.stream_id = of_stream AND r.key = i.key::varchar AND r.superseded_at IS NULL
         LIMIT 1
      ) present ON true
     WHERE present.hash IS NULL OR present.hash <> i.hash
  ), retired AS (
    UPDATE datafetch_record r SET superseded_at = moment
     WHERE r.stream_id = of_stream
       AND r."offset" = ANY(ARRAY(SELECT c.old FROM compared c WHERE c.old IS NOT NULL))
    RETURNING 1
  ), added AS (
    INSERT INTO datafetch_record
      (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at)
    SELECT of_stream, after_offset + row_number() OVER (ORDER BY c.n), c.key,
           CASE WHEN c.old IS NULL THEN 'new' ELSE 'changed' END,
           c.hash, c.data, by_run, with_schema, moment
      FROM compared c
     WHERE (SELECT count(*) FROM retired) >= 0  -- first retire, then add: one present version a key
    RETURNING change
  )
  SELECT count(*) FILTER (WHERE change = 'new'), count(*) FILTER (WHERE change = 'changed') FROM added;
  DELETE FROM datafetch_incoming;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0001_initial")]

    operations = [migrations.RunSQL(STORE, migrations.RunSQL.noop)]
