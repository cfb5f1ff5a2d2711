"""A page that is as it was known, and is trimmed while it is asked for, is read anew."""

from django.db import migrations

# Else its records would be on no page that the run has visited, as if they had vanished.
STORE = """
CREATE OR REPLACE FUNCTION datafetch_store_v4(
  of_stream uuid, by_lease uuid, of_version integer, of_schema integer, by_run uuid, fetched_by uuid,
  keys text[], hashes bytea, datas text[],
  requested bigint, received bigint, counted bigint, refused bigint, shown jsonb,
  visited uuid[], in_all integer, in_reading integer, at_number integer,
  following bytea, lease_seconds double precision,
  page_id uuid, page_request bytea, page_url text, page_etag text, page_modified text, page_shape bytea,
  page_digest bytea, page_body bytea, page_bytes bigint, page_count bigint, page_refused bigint, page_cursor jsonb,
  page_next bytea,
  OUT added bigint, OUT changed bigint, OUT is_to_stop boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  last bigint;
  moment timestamptz := clock_timestamp();
  verdicts text;
  is_first_run boolean;
  still_known integer;
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
  GET DIAGNOSTICS still_known = ROW_COUNT;
  IF still_known < (SELECT count(DISTINCT v) FROM unnest(visited) v) THEN
    RAISE EXCEPTION 'A page that was as it was known is known no more.' USING ERRCODE = 'TP002';
  END IF;
  IF page_id IS NOT NULL THEN
    INSERT INTO datafetch_page (id, stream_id, request, url, run_id, reading, number, visited_at, fetched_at,
      etag, last_modified, shape, digest, body, body_bytes, record_count, rejected_count, keys, cursor_value, next)
    VALUES (page_id, of_stream, page_request, page_url, by_run, in_reading, at_number, now(), now(),
      page_etag, page_modified, page_shape, page_digest, page_body, page_bytes, page_count,
      page_refused, ARRAY(SELECT hashtextextended(k.key, 0) FROM unnest(keys) k(key)), page_cursor, page_next)
    ON CONFLICT (stream_id, request) DO UPDATE SET (url, run_id, reading, number, visited_at, fetched_at,
      etag, last_modified, shape, digest, body, body_bytes, record_count, rejected_count, keys, cursor_value, next)
      = (EXCLUDED.url, EXCLUDED.run_id, EXCLUDED.reading, EXCLUDED.number, EXCLUDED.visited_at,
      EXCLUDED.fetched_at, EXCLUDED.etag, EXCLUDED.last_modified, EXCLUDED.shape, EXCLUDED.digest,
      EXCLUDED.body, EXCLUDED.body_bytes, EXCLUDED.record_count, EXCLUDED.rejected_count, EXCLUDED.keys,
      EXCLUDED.cursor_value, EXCLUDED.next);
  END IF;
  UPDATE datafetch_progress SET last_offset = last_offset + added + changed,
         record_count = record_count + added, position = following, attempt = 0, claims = 0,
         whole_pages = CASE WHEN keys IS NULL AND page_id IS NULL THEN whole_pages END,
         lease_until = now() + make_interval(secs => lease_seconds)
   WHERE id = of_stream;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0011_pages_that_have_all")]

    operations = [migrations.RunSQL(STORE, migrations.RunSQL.noop)]
