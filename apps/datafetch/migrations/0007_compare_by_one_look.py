from django.db import migrations

# Takes keys and hashes (16 bytes each, one after the other) of a page's records and tells of each by a letter
# whether it is n(ew), c(hanged) or -, as it was; what changed ones replace is superseded. The caller holds the
# lock of the stream's progress row and writes the new versions with `moment`. datafetch_compare stays for
# processes of the version before; the next release drops it.
#
# All keys are looked for by one scan of the index, in their order. A table that has just grown is taken for
# small, and a plan is kept by its session: but without sorts there is one index left that has the order asked
# for, whatever statistics say. The present versions are joined by hash, where each is looked at once.
COMPARE = """
CREATE FUNCTION datafetch_compare_v2(
  of_stream uuid, keys json, hashes bytea,
  OUT moment timestamptz, OUT verdicts text
) LANGUAGE plpgsql
SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_nestloop = off SET enable_mergejoin = off AS $$
DECLARE
  wanted varchar[] := ARRAY(SELECT json_array_elements_text(keys));
  replaced bigint[];
BEGIN
  moment := clock_timestamp();
  WITH present AS MATERIALIZED (
    SELECT r.key, r."offset", r.hash FROM datafetch_record r
     WHERE r.stream_id = of_stream AND r.key = ANY(wanted) AND r.superseded_at IS NULL
     ORDER BY r.stream_id, r.key
  ), compared AS MATERIALIZED (
    SELECT i.n, p."offset" AS old,
           p.hash <> substring(hashes FROM (i.n::integer - 1) * 16 + 1 FOR 16) AS changed
      FROM unnest(wanted) WITH ORDINALITY i(key, n) LEFT JOIN present p ON p.key = i.key
  )
  SELECT string_agg(
           CASE WHEN c.old IS NULL THEN 'n' WHEN c.changed THEN 'c' ELSE '-' END, '' ORDER BY c.n),
         array_agg(c.old) FILTER (WHERE c.changed)
    INTO verdicts, replaced FROM compared c;
  IF replaced IS NOT NULL THEN
    UPDATE datafetch_record r SET superseded_at = moment
     WHERE r.stream_id = of_stream AND r."offset" = ANY(replaced);
  END IF;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0006_compare_then_copy")]

    operations = [
        migrations.RunSQL(COMPARE, "DROP FUNCTION datafetch_compare_v2(uuid, json, bytea)")
    ]
