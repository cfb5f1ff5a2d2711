-- What one order of many is placed with: the document that orders_place_v2 takes, the bodies of event and answer.
CREATE TYPE orders_asked AS (
  id uuid, account_id uuid, storefront_id uuid, storefront_version integer, number bigint,
  external_id text, customer_id text, status text, currency text, total bigint,
  shipping_address jsonb, metadata jsonb, reservation_expires_at timestamptz, created_at timestamptz,
  line_ids uuid[], movement_ids uuid[], products uuid[], skus text[], names text[],
  quantities integer[], prices bigint[],
  change_id uuid, changes jsonb, event jsonb, answer jsonb);
CREATE TYPE orders_posted AS (o orders_asked, payload bytea, body bytea);

-- Whether all these orders may be written: storefronts and products are as they were copied, no idempotency key
-- is known, and of each product there is as much as they need. For orders_post_together_v1, whose settings hold
-- here too.
--
-- Plans are made once, often while the tables are small, and must do when they have grown: a key is looked up by
-- a statement of its own (one that looks for all of them would rather read all keys of the day), and stock is
-- entered by its index alone (docs/adr/0038).
CREATE FUNCTION orders_all_fit(
  p_orders orders_posted[], p_products uuid[], p_needs bigint[], p_kept_seconds integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  o orders_asked;
BEGIN
  FOR o IN SELECT (u.o).* FROM unnest(p_orders) u LOOP
    IF o.answer IS NOT NULL AND EXISTS (
        SELECT FROM common_idempotencykey k
         WHERE k.account_id = o.account_id AND k.key = o.answer->>'key'
           AND k.created_at >= now() - make_interval(secs => p_kept_seconds)) THEN
      RETURN false;
    END IF;
    IF NOT orders_is_as_read(o.storefront_id, o.storefront_version, o.currency,
                             o.products, o.names, o.prices) THEN
      RETURN false;
    END IF;
  END LOOP;
  RETURN cardinality(p_products) = (
    SELECT count(*) FROM unnest(p_products, p_needs) n(product_id, need) JOIN orders_stock s USING (product_id)
     WHERE s.product_id = ANY (p_products) AND s.on_hand - s.reserved >= n.need);
END $$;

-- Places orders that came at the same time, all of them or none, by as many statements as one takes
-- (docs/adr/0047). What stands in their way is not told: each is then posted alone. Nothing here waits for long,
-- since others wait for all of them: beyond `lock_timeout` it is an error, and nothing is written.
--
-- `p_orders`: one after the other, between them the byte 1E; of each, with 1F between, what orders_post_v1 takes:
-- the stand-ins for id, id of the change, number, time and end of the reservation, the minutes, the three documents.
-- Ids, numbers and times are answered in their order; null when none was placed.
--
-- As in orders_place_v2: stock is locked last, in id order, and looked at twice. VOLATILE, so each statement sees
-- what committed before it began; so keys are locked by one, and looked up by the next.
CREATE FUNCTION orders_post_together_v1(
  p_orders text, p_kept_seconds integer,
  OUT ids uuid[], OUT numbers bigint[], OUT ats timestamptz[]
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off
SET lock_timeout = '20ms' AS $$
DECLARE
  v_orders orders_posted[];
  v_products uuid[];
  v_needs bigint[];
  v_found bigint;
BEGIN
  WITH given AS MATERIALIZED (
    SELECT nth, text, string_to_array(text, E'\x1f') AS part, clock_timestamp() AS at, nextval('orders_number') AS number
      FROM unnest(string_to_array(p_orders, E'\x1e')) WITH ORDINALITY AS one(text, nth)
  ), named AS MATERIALIZED (
    -- UUIDv7s of this moment to the microsecond, as `uuid7_at` makes them.
    SELECT given.*, lpad(to_hex(((moment / 1000) << 16) | (7 << 12) | (moment % 1000 * 4096 / 1000)), 16, '0') AS high
      FROM given, LATERAL (SELECT (extract(epoch FROM at) * 1000000)::bigint AS moment) m
  ), told AS MATERIALIZED (
    SELECT nth, string_to_array(replace(replace(replace(replace(replace(text,
             part[1], (high || substr(gen_random_uuid()::text, 20))::uuid::text),
             part[2], (high || substr(gen_random_uuid()::text, 20))::uuid::text),
             part[3], number::text),
             part[4], to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')),
             part[5], coalesce(to_char((at + make_interval(mins => nullif(part[6], '')::integer)) AT TIME ZONE 'UTC',
                                       'YYYY-MM-DD"T"HH24:MI:SS.US'), '')), E'\x1f') AS part
      FROM named
  )
  SELECT array_agg(ROW(jsonb_populate_record(NULL::orders_asked, part[7]::jsonb),
                       convert_to(part[8], 'UTF8'), convert_to(part[9], 'UTF8'))::orders_posted ORDER BY nth)
    INTO v_orders FROM told;
  SELECT array_agg(product ORDER BY product), array_agg(need ORDER BY product) INTO v_products, v_needs FROM (
    SELECT product, sum(quantity) AS need
      FROM unnest(v_orders) u, unnest((u.o).products, (u.o).quantities) line(product, quantity)
     GROUP BY product) n;

  IF NOT (SELECT bool_and(pg_try_advisory_xact_lock(hashtextextended((u.o).answer->>'lock_name', 0))) IS NOT FALSE
            FROM unnest(v_orders) u WHERE (u.o).answer IS NOT NULL) THEN
    RETURN;
  END IF;
  IF NOT orders_all_fit(v_orders, v_products, v_needs, p_kept_seconds) THEN
    RETURN;
  END IF;

  WITH asked AS MATERIALIZED (
    SELECT (u.o).*, u.payload, u.body FROM unnest(v_orders) u
  ), placed AS (
    INSERT INTO orders_order (
      id, account_id, storefront_id, number, external_id, customer_id, status, currency, total,
      shipping_address, metadata, reservation_expires_at, version, created_at, updated_at)
    SELECT id, account_id, storefront_id, number, external_id, customer_id, status, currency, total,
           nullif(shipping_address, 'null'), metadata, reservation_expires_at, 1, created_at, created_at
      FROM asked ORDER BY storefront_id, external_id  -- so that no two calls wait for each other
    ON CONFLICT (storefront_id, external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL
    DO NOTHING RETURNING 1
  ), lines AS (
    INSERT INTO orders_orderline (id, order_id, product_id, sku, name, quantity, unit_price)
    SELECT unnest(line_ids), id, unnest(products), unnest(skus), unnest(names), unnest(quantities),
           unnest(prices)
      FROM asked
  ), moved AS (
    INSERT INTO orders_stockmovement (
      id, product_id, order_id, kind, on_hand, reserved, reason, actor, created_at)
    SELECT unnest(movement_ids), unnest(products), id, 'reserved', 0, unnest(quantities), '',
           event->'actor', created_at
      FROM asked
  ), changed AS (
    INSERT INTO orders_orderchange (id, order_id, version, type, changes, actor, request_id, at)
    SELECT change_id, id, 1, event->>'type', changes, event->'actor', event->>'request_id', created_at
      FROM asked
  ), published AS (
    INSERT INTO events_event (
      id, type, version, account_id, channel_id, readers, subject, actor, request_id, payload, occurred_at)
    SELECT e.id, e.type, e.version, e.account_id, e.channel_id, e.readers, e.subject, e.actor, e.request_id,
           asked.payload, e.occurred_at
      FROM asked, jsonb_to_record(asked.event) AS e(
        id uuid, type text, version smallint, account_id uuid, channel_id uuid, readers uuid[],
        subject uuid, actor jsonb, request_id text, occurred_at timestamptz)
  ), answered AS (
    INSERT INTO common_idempotencykey AS k (id, account_id, key, fingerprint, status, body, location)
    SELECT a.id, a.account_id, a.key, a.fingerprint, a.status, asked.body, a.location
      FROM asked, jsonb_to_record(asked.answer) AS a(
        id uuid, account_id uuid, key text, fingerprint text, status smallint, location text)
     WHERE asked.answer IS NOT NULL
    -- What stands there is older than a day, or they would not all fit. A key of two of them is an error.
    ON CONFLICT (account_id, key) DO UPDATE
      SET id = excluded.id, fingerprint = excluded.fingerprint, status = excluded.status,
          body = excluded.body, location = excluded.location, created_at = excluded.created_at
  )
  SELECT count(*) INTO v_found FROM placed;
  IF v_found <> cardinality(v_orders) THEN
    RAISE EXCEPTION 'an external_id is taken' USING ERRCODE = 'serialization_failure';
  END IF;

  PERFORM s.product_id FROM orders_stock s WHERE s.product_id = ANY (v_products)
    ORDER BY s.product_id FOR NO KEY UPDATE;
  UPDATE orders_stock s SET reserved = s.reserved + n.need
    FROM unnest(v_products, v_needs) n(product_id, need)
   WHERE s.product_id = n.product_id AND s.product_id = ANY (v_products)
     AND s.on_hand - s.reserved >= n.need;
  GET DIAGNOSTICS v_found = ROW_COUNT;
  IF v_found <> cardinality(v_products) OR EXISTS (
      SELECT FROM unnest(v_orders) u
       WHERE NOT orders_is_as_read((u.o).storefront_id, (u.o).storefront_version, (u.o).currency,
                                   (u.o).products, (u.o).names, (u.o).prices)) THEN
    RAISE EXCEPTION 'stock or a product changed while the orders were written'
      USING ERRCODE = 'serialization_failure';
  END IF;
  SELECT array_agg((u.o).id), array_agg((u.o).number), array_agg((u.o).created_at)
    INTO ids, numbers, ats FROM unnest(v_orders) u;
END $$;

-- orders_post_v1 for who makes others wait: a lock that it does not get soon is an error.
CREATE FUNCTION orders_post_soon_v1(
  p_documents text, p_id text, p_change_id text, p_number text, p_at text, p_until text,
  p_minutes integer, p_kept_seconds integer,
  OUT outcome text, OUT available jsonb, OUT id uuid, OUT number bigint, OUT at timestamptz,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql SET lock_timeout = '20ms' AS $$
BEGIN
  SELECT * INTO outcome, available, id, number, at, status, fingerprint, body, location
    FROM orders_post_v1(
      p_documents, p_id, p_change_id, p_number, p_at, p_until, p_minutes, p_kept_seconds);
END $$;
