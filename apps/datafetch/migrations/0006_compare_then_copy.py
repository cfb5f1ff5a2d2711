import django.contrib.postgres.fields
from django.db import migrations, models

# Takes keys and hashes (16 bytes each, one after the other) of a page's records and tells of each by a letter
# whether it is n(ew), c(hanged) or -, as it was; what changed ones replace is superseded. The caller holds
# the lock of the stream's progress row and writes the new versions with `moment`.
#
# A table that has just grown is taken for small, and a plan is kept by its session. Without sorts there is one
# index left that has the order of the first key from the one looked for on: a look into it for each record,
# whatever statistics say.
COMPARE = """
CREATE FUNCTION datafetch_compare(
  of_stream uuid, keys json, hashes bytea,
  OUT moment timestamptz, OUT verdicts text
) LANGUAGE plpgsql SET enable_sort = off SET enable_seqscan = off AS $$
DECLARE
  replaced bigint[];
BEGIN
  moment := clock_timestamp();
  WITH compared AS MATERIALIZED (
    SELECT i.n, present."offset" AS old,
           present.hash <> substring(hashes FROM (i.n::integer - 1) * 16 + 1 FOR 16) AS changed
      FROM json_array_elements_text(keys) WITH ORDINALITY i(key, n)
      LEFT JOIN LATERAL (
        SELECT r.stream_id, r.key, r."offset", r.hash FROM datafetch_record r
         WHERE (r.stream_id, r.key) >= (of_stream, i.key::varchar) AND r.superseded_at IS NULL
         ORDER BY r.stream_id, r.key LIMIT 1
      ) present ON present.stream_id = of_stream AND present.key = i.key
  )
  SELECT string_agg(
           CASE WHEN c.old IS NULL THEN 'n' WHEN c.changed THEN 'c' ELSE '-' END, '' ORDER BY c.n),
         array_agg(c.old) FILTER (WHERE c.changed)
    INTO verdicts, replaced FROM compared c;
  IF replaced IS NOT NULL THEN
    UPDATE datafetch_record r SET superseded_at = moment
     WHERE r.stream_id = of_stream AND r."offset" = ANY(replaced);
  END IF;
END $$;

DROP FUNCTION datafetch_store(uuid, uuid, bigint, integer);
"""

# A page's keys as numbers: what hash partitions are told apart by, a tenth of the cost of MD5. Without
# nested loops, since a table that has just grown is taken for small: all keys would be walked through for each
# record.
KEYS = """
CREATE OR REPLACE FUNCTION datafetch_missing(of_stream uuid, by_run uuid, in_reading integer)
RETURNS SETOF bigint LANGUAGE sql STABLE SET enable_nestloop = off AS $$
  WITH seen AS MATERIALIZED (
    SELECT DISTINCT unnest(p.keys) AS key FROM datafetch_page p
     WHERE p.stream_id = of_stream AND p.run_id = by_run AND p.reading = in_reading
  )
  SELECT r."offset" FROM datafetch_record r
   WHERE r.stream_id = of_stream AND r.superseded_at IS NULL
     AND NOT EXISTS (SELECT FROM seen WHERE seen.key = hashtextextended(r.key, 0))
$$;
"""

# All records are written once, however long it takes. Workers of the version before, which would go on storing
# by its hashes, wait at the lock, and then find their function gone: whoever comes after them goes on.
ALONE = """
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '60s';
LOCK TABLE datafetch_progress IN EXCLUSIVE MODE;
"""

# SHA-256, which processors compute by themselves. Records without a primary key have it for their key.
HASHES = """
UPDATE datafetch_record
   SET hash = substring(sha256(convert_to(data, 'UTF8')) FOR 16),
       key = CASE WHEN key = encode(hash, 'hex')
                  THEN encode(substring(sha256(convert_to(data, 'UTF8')) FOR 16), 'hex') ELSE key END;
"""

# The old numbers and digests mean nothing any more: no page is believed unchanged until it has been read once
# more. A run in progress begins anew.
RENUMBER = """
UPDATE datafetch_page SET shape = '';
UPDATE datafetch_page p SET run_id = '00000000-0000-0000-0000-000000000000'
  FROM datafetch_progress g WHERE g.id = p.stream_id AND g.run_id = p.run_id;
UPDATE datafetch_progress SET position = NULL WHERE run_id IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0006_versions_by_key")]

    operations = [
        *(migrations.RunSQL(sql) for sql in (ALONE, COMPARE, KEYS, HASHES, RENUMBER)),
        migrations.AlterField(
            model_name="page",
            name="keys",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(),
                help_text="Of each record's key, its hashtextextended.",
                size=None,
            ),
        ),
    ]
