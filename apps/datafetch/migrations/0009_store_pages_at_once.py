from django.db import migrations

# As datafetch_compare_v2, which stays for processes of the version before; but keys are texts, not JSON.
COMPARE = """
CREATE FUNCTION datafetch_compare_v3(
  of_stream uuid, keys text[], hashes bytea,
  OUT moment timestamptz, OUT verdicts text
) LANGUAGE plpgsql
SET enable_sort = off SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_nestloop = off SET enable_mergejoin = off AS $$
DECLARE
  wanted varchar[] := keys;
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

# Stores a page's records, if there are any, keeps the page, and goes on to the position after it: under the lock of
# the stream's progress row, and only while the lease and all that the page was fetched by are what they were. What is
# new or changed gets the offsets after the last one. `in_all` are the pages that this is for, of which `at_number` is
# the last: `visited` has the rows of those that were known and unchanged, in their order, the last one or none but it.
#
# While all that a stream has came with this run, its first, a page's records are taken for new: there is nothing to
# compare them with. One that is there all the same is refused by the unique index, and then they are compared.
# Pages are looked up by their key, even if the table was small when this was planned. datafetch_store_v2 stays for
# processes of the version before; the next release drops it, and datafetch_compare_v2.
STORE = """
CREATE FUNCTION datafetch_store_v3(
  of_stream uuid, by_lease uuid, of_version integer, of_schema integer, by_run uuid, fetched_by uuid,
  keys text[], hashes bytea, datas text[],
  requested bigint, received bigint, counted bigint, refused bigint, shown jsonb,
  visited uuid[], in_all integer, in_reading integer, at_number integer,
  following bytea, lease_seconds double precision,
  page_id uuid, page_request bytea, page_url text, page_etag text, page_modified text, page_shape bytea,
  page_digest bytea, page_body bytea, page_bytes bigint, page_count bigint, page_cursor jsonb, page_next bytea,
  OUT added bigint, OUT changed bigint, OUT is_to_stop boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  last bigint;
  moment timestamptz := clock_timestamp();
  verdicts text;
  is_first_run boolean;
BEGIN
  SELECT p.last_offset, p.stop_requested, p.record_count <= r.records_new
    INTO last, is_to_stop, is_first_run
    FROM datafetch_progress p JOIN datafetch_run r ON r.id = by_run
   WHERE p.id = of_stream AND p.lease_id = by_lease FOR UPDATE OF p;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'The lease is lost.' USING ERRCODE = 'TP001';
  END IF;
  IF of_version <> (SELECT s.version FROM datafetch_stream s WHERE s.id = of_stream)
     OR of_schema <> (SELECT max(v.number) FROM datafetch_schemaversion v WHERE v.stream_id = of_stream)
  THEN
    RAISE EXCEPTION 'The configuration has changed.' USING ERRCODE = 'TP002';
  END IF;

  added := 0;
  changed := 0;
  IF keys IS NOT NULL AND is_first_run THEN
    BEGIN
      INSERT INTO datafetch_record
        (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at)
      SELECT of_stream, last + i.n, i.key, 'new', substring(hashes FROM (i.n::integer - 1) * 16 + 1 FOR 16),
             i.data, fetched_by, of_schema, moment
        FROM unnest(keys, datas) WITH ORDINALITY i(key, data, n);
      GET DIAGNOSTICS added = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
      is_first_run := false;
    END;
  END IF;
  IF keys IS NOT NULL AND NOT is_first_run THEN
    SELECT c.moment, c.verdicts INTO moment, verdicts FROM datafetch_compare_v3(of_stream, keys, hashes) c;
    INSERT INTO datafetch_record
      (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at)
    SELECT of_stream, last + row_number() OVER (ORDER BY i.n), i.key,
           CASE i.verdict WHEN 'n' THEN 'new' ELSE 'changed' END,
           substring(hashes FROM (i.n::integer - 1) * 16 + 1 FOR 16), i.data, fetched_by, of_schema, moment
      FROM ROWS FROM (unnest(keys), unnest(datas), string_to_table(verdicts, NULL))
           WITH ORDINALITY i(key, data, verdict, n)
     WHERE i.verdict <> '-';
    added := length(replace(replace(verdicts, 'c', ''), '-', ''));
    changed := length(replace(replace(verdicts, 'n', ''), '-', ''));
  END IF;

  UPDATE datafetch_run SET pages = pages + in_all, requests = requests + requested, bytes = bytes + received,
         records_new = records_new + added, records_changed = records_changed + changed,
         records_unchanged = records_unchanged + greatest(counted - refused - added - changed, 0),
         records_rejected = records_rejected + refused, checkpoint = shown, error = NULL
   WHERE id = by_run;
  UPDATE datafetch_page SET run_id = by_run, reading = in_reading,
         number = at_number - in_all + array_position(visited, id), visited_at = now()
   WHERE id = ANY(visited);
  IF page_id IS NOT NULL THEN
    INSERT INTO datafetch_page (id, stream_id, request, url, run_id, reading, number, visited_at, fetched_at,
      etag, last_modified, shape, digest, body, body_bytes, record_count, keys, cursor_value, next)
    VALUES (page_id, of_stream, page_request, page_url, by_run, in_reading, at_number, now(), now(),
      page_etag, page_modified, page_shape, page_digest, page_body, page_bytes, page_count,
      ARRAY(SELECT hashtextextended(k.key, 0) FROM unnest(keys) k(key)), page_cursor, page_next)
    ON CONFLICT (stream_id, request) DO UPDATE SET (url, run_id, reading, number, visited_at, fetched_at,
      etag, last_modified, shape, digest, body, body_bytes, record_count, keys, cursor_value, next)
      = (EXCLUDED.url, EXCLUDED.run_id, EXCLUDED.reading, EXCLUDED.number, EXCLUDED.visited_at,
      EXCLUDED.fetched_at, EXCLUDED.etag, EXCLUDED.last_modified, EXCLUDED.shape, EXCLUDED.digest,
      EXCLUDED.body, EXCLUDED.body_bytes, EXCLUDED.record_count, EXCLUDED.keys, EXCLUDED.cursor_value,
      EXCLUDED.next);
  END IF;
  UPDATE datafetch_progress SET last_offset = last_offset + added + changed,
         record_count = record_count + added, position = following, attempt = 0, claims = 0,
         lease_until = now() + make_interval(secs => lease_seconds)
   WHERE id = of_stream;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0008_store_by_one_statement")]

    operations = [
        migrations.RunSQL(COMPARE, "DROP FUNCTION datafetch_compare_v3"),
        migrations.RunSQL(STORE, "DROP FUNCTION datafetch_store_v3"),
    ]
