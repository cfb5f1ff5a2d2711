from django.db import migrations

# Stores a page's records, if there are any, and goes on to the position after it: under the lock of the stream's
# progress row, and only while the lease and all that the page was fetched by are what they were. What is new
# or changed gets the offsets after the last one. Of a page that was known already, `visited` is its row.
#
# While all that a stream has came with this run, its first, a page's records are taken for new: there is nothing to
# compare them with. One that is there all the same is refused by the unique index, and then they are compared.
# datafetch_compare_v2 has settings of its own, for which it stays a function of its own.
STORE = """
CREATE FUNCTION datafetch_store_v2(
  of_stream uuid, by_lease uuid, of_version integer, of_schema integer, by_run uuid, fetched_by uuid,
  keys json, hashes bytea, datas text[],
  requested integer, received bigint, counted bigint, refused bigint, shown jsonb,
  visited uuid, in_reading integer, at_number integer, following bytea, lease_seconds double precision,
  OUT added bigint, OUT changed bigint, OUT is_to_stop boolean
) LANGUAGE plpgsql AS $$
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
        FROM ROWS FROM (json_array_elements_text(keys), unnest(datas)) WITH ORDINALITY i(key, data, n);
      GET DIAGNOSTICS added = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
      is_first_run := false;
    END;
  END IF;
  IF keys IS NOT NULL AND NOT is_first_run THEN
    SELECT c.moment, c.verdicts INTO moment, verdicts FROM datafetch_compare_v2(of_stream, keys, hashes) c;
    INSERT INTO datafetch_record
      (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at)
    SELECT of_stream, last + row_number() OVER (ORDER BY i.n), i.key,
           CASE i.verdict WHEN 'n' THEN 'new' ELSE 'changed' END,
           substring(hashes FROM (i.n::integer - 1) * 16 + 1 FOR 16), i.data, fetched_by, of_schema, moment
      FROM ROWS FROM (json_array_elements_text(keys), unnest(datas), string_to_table(verdicts, NULL))
           WITH ORDINALITY i(key, data, verdict, n)
     WHERE i.verdict <> '-';
    added := length(replace(replace(verdicts, 'c', ''), '-', ''));
    changed := length(replace(replace(verdicts, 'n', ''), '-', ''));
  END IF;

  UPDATE datafetch_run SET pages = pages + 1, requests = requests + requested, bytes = bytes + received,
         records_new = records_new + added, records_changed = records_changed + changed,
         records_unchanged = records_unchanged + greatest(counted - refused - added - changed, 0),
         records_rejected = records_rejected + refused, checkpoint = shown, error = NULL
   WHERE id = by_run;
  UPDATE datafetch_page SET run_id = by_run, reading = in_reading, number = at_number, visited_at = now()
   WHERE id = visited;
  UPDATE datafetch_progress SET last_offset = last_offset + added + changed,
         record_count = record_count + added, position = following, attempt = 0, claims = 0,
         lease_until = now() + make_interval(secs => lease_seconds)
   WHERE id = of_stream;
END $$
"""

TYPES = (
    "uuid, uuid, integer, integer, uuid, uuid, json, bytea, text[], integer, bigint, bigint, bigint, jsonb,"
    " uuid, integer, integer, bytea, double precision"
)


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0007_compare_by_one_look")]

    operations = [migrations.RunSQL(STORE, f"DROP FUNCTION datafetch_store_v2({TYPES})")]
