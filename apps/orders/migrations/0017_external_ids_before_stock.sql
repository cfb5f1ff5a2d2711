-- Who places an order inserts it, and waits for its stock last; who places many in one transaction holds all their
-- stock before it inserts the first. The two met in a deadlock when they had an external_id in common. So both
-- wait for the external_ids first, those of a call in one order; each is a lock of its own, until the transaction
-- ends. `p_orders`: what orders_place_v2 takes, of each order.
--
-- Who waits for no more than 20 ms (orders_post_soon_v1, orders_post_together_v1) holds nobody up, and does
-- without.
CREATE FUNCTION orders_hold_external_ids(p_orders jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_lock bigint;
BEGIN
  FOR v_lock IN
    SELECT DISTINCT hashtextextended(
        concat('external_id:', o->>'storefront_id', ':', o->>'external_id'), 0) AS lock
      FROM jsonb_array_elements(p_orders) o WHERE o->>'external_id' IS NOT NULL ORDER BY lock
  LOOP
    PERFORM pg_advisory_xact_lock(v_lock);
  END LOOP;
END $$;

-- orders_post_v1 for who waits as long as it takes.
CREATE FUNCTION orders_post_alone_v1(
  p_documents text, p_id text, p_change_id text, p_number text, p_at text, p_until text,
  p_minutes integer, p_kept_seconds integer,
  OUT outcome text, OUT available jsonb, OUT id uuid, OUT number bigint, OUT at timestamptz,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM orders_hold_external_ids(jsonb_build_array(split_part(p_documents, E'\x1f', 1)::jsonb));
  SELECT * INTO outcome, available, id, number, at, status, fingerprint, body, location
    FROM orders_post_v1(
      p_documents, p_id, p_change_id, p_number, p_at, p_until, p_minutes, p_kept_seconds);
END $$;

CREATE FUNCTION orders_place_bulk_v3(p jsonb, p_payloads bytea[], OUT outcomes jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM orders_hold_external_ids(p);
  outcomes := orders_place_bulk_v2(p, p_payloads);
END $$;
