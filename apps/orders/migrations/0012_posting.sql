-- Places an order that was built without a look at the database, of storefront and products as they were read
-- some time ago (docs/adr/0042). orders_place_v2 compares them with what is, decides and writes.
--
-- What is known here alone, the order's id, number and time, stands in the documents as stand-ins: texts that
-- occur in them for nothing else. `p_documents`: what orders_place_v2 takes as `p`, the body of the event and
-- that of the answer (empty: no idempotency key), between them the byte 1F, which JSON never holds. A time is
-- told to the microsecond, without its zone, which is UTC. `p_until` is '' where the reservation has no end.
--
-- outcome: as of orders_place_v2; `answered` brings what the key's first request was answered.
CREATE FUNCTION orders_post_v1(
  p_documents text, p_id text, p_change_id text, p_number text, p_at text, p_until text,
  p_minutes integer, p_kept_seconds integer,
  OUT outcome text, OUT available jsonb, OUT id uuid, OUT number bigint, OUT at timestamptz,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql AS $$
DECLARE
  v_microseconds bigint;
  v_high text;
  v_documents text;
  v_order jsonb;
  v_placed record;
BEGIN
  at := clock_timestamp();
  number := nextval('orders_number');
  -- A UUIDv7 of this moment to the microsecond, as `uuid7_at` makes them.
  v_microseconds := extract(epoch FROM at) * 1000000;
  v_high := lpad(to_hex(((v_microseconds / 1000) << 16) | (7 << 12)
                        | (v_microseconds % 1000 * 4096 / 1000)), 16, '0');
  id := (v_high || substr(gen_random_uuid()::text, 20))::uuid;

  v_documents := replace(replace(replace(replace(replace(p_documents,
    p_id, id::text),
    p_change_id, v_high || substr(gen_random_uuid()::text, 20)),
    p_number, number::text),
    p_at, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')),
    p_until, coalesce(to_char((at + make_interval(mins => p_minutes)) AT TIME ZONE 'UTC',
                              'YYYY-MM-DD"T"HH24:MI:SS.US'), ''));
  v_order := split_part(v_documents, E'\x1f', 1)::jsonb;
  v_placed := orders_place_v2(
    v_order, convert_to(split_part(v_documents, E'\x1f', 2), 'UTF8'),
    convert_to(split_part(v_documents, E'\x1f', 3), 'UTF8'), p_kept_seconds);
  outcome := v_placed.outcome;
  available := v_placed.available;

  IF outcome = 'answered' THEN
    SELECT k.status, k.fingerprint, k.body, k.location INTO status, fingerprint, body, location
      FROM common_idempotencykey k
     WHERE k.account_id = (v_order->>'account_id')::uuid AND k.key = v_order->'answer'->>'key';
  END IF;
END $$;
