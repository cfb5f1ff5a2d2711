-- Takes in what a page brought, from the session's table datafetch_incoming (n, key, hash, data; keys
-- unique): new and changed records become versions at the offsets after `after_offset`, in the order of
-- n; what they replace is superseded. The caller holds the lock of the stream's progress row.
CREATE FUNCTION datafetch_store(
  of_stream uuid, by_run uuid, after_offset bigint, with_schema integer
) RETURNS TABLE (added_new bigint, added_changed bigint) LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
  WITH compared AS MATERIALIZED (
    SELECT i.n, i.key, i.hash, i.data, r."offset" AS old
      FROM datafetch_incoming i
      LEFT JOIN datafetch_record r
        ON r.stream_id = of_stream AND r.key = i.key AND r.superseded_at IS NULL
     WHERE r.hash IS NULL OR r.hash <> i.hash
  ), retired AS (
    UPDATE datafetch_record r SET superseded_at = moment FROM compared c
     WHERE r.stream_id = of_stream AND r."offset" = c.old
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
END $$;

-- Offsets of the present records that are on none of the pages which this reading of the run visited.
CREATE FUNCTION datafetch_missing(of_stream uuid, by_run uuid, in_reading integer)
RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
  WITH seen AS MATERIALIZED (
    SELECT DISTINCT unnest(p.keys) AS key FROM datafetch_page p
     WHERE p.stream_id = of_stream AND p.run_id = by_run AND p.reading = in_reading
  )
  SELECT r."offset" FROM datafetch_record r
   WHERE r.stream_id = of_stream AND r.superseded_at IS NULL
     AND NOT EXISTS (
       SELECT FROM seen WHERE seen.key = ('x' || left(md5(r.key), 16))::bit(64)::bigint)
$$;

-- Buries the present records at `offsets`: each gets a version `deleted` after `after_offset`.
CREATE FUNCTION datafetch_bury(
  of_stream uuid, by_run uuid, after_offset bigint, offsets bigint[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  buried bigint;
BEGIN
  WITH retired AS (
    UPDATE datafetch_record r SET superseded_at = moment
     WHERE r.stream_id = of_stream AND r."offset" = ANY(offsets) AND r.superseded_at IS NULL
    RETURNING r."offset", r.key, r.hash, r.data, r.schema_number
  )
  INSERT INTO datafetch_record
    (stream_id, "offset", key, change, hash, data, run_id, schema_number, fetched_at, superseded_at)
  SELECT of_stream, after_offset + row_number() OVER (ORDER BY r."offset"), r.key, 'deleted', r.hash,
         r.data, by_run, r.schema_number, moment, moment
    FROM retired r;
  GET DIAGNOSTICS buried = ROW_COUNT;
  RETURN buried;
END $$;

-- Changed with each page: room for it on the same block.
ALTER TABLE datafetch_progress SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_cost_delay = 0);

-- Packed already.
ALTER TABLE datafetch_page ALTER COLUMN body SET STORAGE EXTERNAL;
