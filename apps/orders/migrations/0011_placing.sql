-- Placing an order takes two calls of the database: orders_read_for_placing_v2, then orders_place_v2.
-- Functions, because their statements are planned once per connection: `plan_cache_mode` sees to that (the
-- planner would rather plan each list of products anew), and without sequential scans the plan holds for
-- any number of products.
--
-- Those of migrations 0001 and 0004, without v2, take other documents. They stay for one release: web
-- processes of the release before call them until they are restarted.

-- Everything that an order depends on, in one snapshot: the time, a number, storefront and products, and
-- the answer to an earlier request with the same idempotency key (p_key '': none was sent).
CREATE FUNCTION orders_read_for_placing_v2(
  p_account uuid, p_storefront text, p_skus text[], p_key text, p_kept_seconds integer,
  OUT at timestamptz, OUT number bigint, OUT storefront json, OUT products json,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  at := clock_timestamp();
  number := nextval('orders_number');
  SELECT (SELECT json_build_object('id', s.id, 'code', s.code, 'currency', s.currency,
                   'reservation_minutes', s.reservation_minutes, 'version', s.version)
            FROM orders_storefront s
           WHERE s.account_id = p_account AND s.code = p_storefront),
         (SELECT json_agg(json_build_object(
                   'id', p.id, 'sku', p.sku, 'name', p.name, 'price', p.price,
                   'currency', p.currency, 'is_active', p.is_active))
            FROM orders_product p WHERE p.account_id = p_account AND p.sku = ANY (p_skus))
    INTO storefront, products;
  IF p_key <> '' THEN
    SELECT k.status, k.fingerprint, k.body, k.location INTO status, fingerprint, body, location
      FROM common_idempotencykey k
     WHERE k.account_id = p_account AND k.key = p_key
       AND k.created_at >= now() - make_interval(secs => p_kept_seconds);
  END IF;
END $$;

-- Whether the storefront and the products are still as an order copied them; for orders_place_v2, whose
-- settings hold here too.
CREATE OR REPLACE FUNCTION orders_is_as_read(
  p_storefront uuid, p_version integer, p_currency text,
  p_products uuid[], p_names text[], p_prices bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM orders_storefront s WHERE s.id = p_storefront AND s.version = p_version)
     AND NOT EXISTS (
       SELECT FROM orders_product o
        WHERE o.id = ANY (p_products)
          AND (o.price <> p_prices[array_position(p_products, o.id)]
            OR o.name <> p_names[array_position(p_products, o.id)]
            OR o.currency <> p_currency OR NOT o.is_active));
END $$;

-- Decides and writes, as one statement and so as one transaction. In `p`: the order, its lines as lists,
-- history and event and, when an idempotency key was sent, answer; the bodies of event and answer are
-- beside (p_answer '': no key).
--
-- outcome: placed; short (`available` says what there is of each short product); moved (storefront or a
-- product changed since it was read); external_id_taken; in_flight (the key's first request is at
-- work); answered (it has been answered meanwhile). Nothing is written unless it is `placed`.
--
-- Others wait for the stock of a product that sells well, so it is locked last, right before the commit. It
-- is looked at twice, then: first without a lock, which decides nearly always. What was taken away in
-- between, while the rest was written, undoes it all as a serialization failure, and the caller tries again.
--
-- VOLATILE, so each statement sees what committed before it began: what is read after the locks are held is
-- the present state.
CREATE FUNCTION orders_place_v2(
  p jsonb, p_payload bytea, p_answer bytea, p_kept_seconds integer,
  OUT outcome text, OUT available jsonb
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  o record;
  v_found bigint;
BEGIN
  SELECT * INTO o FROM jsonb_to_record(p) AS r(
    id uuid, account_id uuid, storefront_id uuid, storefront_version integer, number bigint,
    external_id text, customer_id text, status text, currency text, total bigint,
    shipping_address jsonb, metadata jsonb, reservation_expires_at timestamptz, created_at timestamptz,
    line_ids uuid[], movement_ids uuid[], products uuid[], skus text[], names text[],
    quantities integer[], prices bigint[],
    change_id uuid, changes jsonb, event jsonb, answer jsonb);

  IF o.answer IS NOT NULL THEN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(o.answer->>'lock_name', 0)) THEN
      outcome := 'in_flight';
      RETURN;
    END IF;
    IF EXISTS (SELECT FROM common_idempotencykey k
                WHERE k.account_id = o.account_id AND k.key = o.answer->>'key'
                  AND k.created_at >= now() - make_interval(secs => p_kept_seconds)) THEN
      outcome := 'answered';
      RETURN;
    END IF;
  END IF;

  IF NOT orders_is_as_read(o.storefront_id, o.storefront_version, o.currency,
                           o.products, o.names, o.prices) THEN
    outcome := 'moved';
    RETURN;
  END IF;
  SELECT count(*),
         jsonb_object_agg(s.product_id, s.on_hand - s.reserved) FILTER (
           WHERE s.on_hand - s.reserved < o.quantities[array_position(o.products, s.product_id)])
    INTO v_found, available
    FROM orders_stock s WHERE s.product_id = ANY (o.products);
  IF v_found <> cardinality(o.products) THEN
    RAISE EXCEPTION 'a product of the order has no stock row, or is named twice';
  END IF;
  IF available IS NOT NULL THEN
    outcome := 'short';
    RETURN;
  END IF;

  INSERT INTO orders_order (
    id, account_id, storefront_id, number, external_id, customer_id, status, currency, total,
    shipping_address, metadata, reservation_expires_at, version, created_at, updated_at)
  VALUES (
    o.id, o.account_id, o.storefront_id, o.number, o.external_id, o.customer_id, o.status, o.currency,
    -- A JSON null is not the absence of an address.
    o.total, nullif(o.shipping_address, 'null'), o.metadata, o.reservation_expires_at, 1,
    o.created_at, o.created_at)
  ON CONFLICT (storefront_id, external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL
  DO NOTHING;
  IF NOT FOUND THEN
    outcome := 'external_id_taken';
    RETURN;
  END IF;

  INSERT INTO orders_orderline (id, order_id, product_id, sku, name, quantity, unit_price)
  SELECT unnest(o.line_ids), o.id, unnest(o.products), unnest(o.skus), unnest(o.names),
         unnest(o.quantities), unnest(o.prices);

  INSERT INTO orders_stockmovement (
    id, product_id, order_id, kind, on_hand, reserved, reason, actor, created_at)
  SELECT unnest(o.movement_ids), unnest(o.products), o.id, 'reserved', 0, unnest(o.quantities), '',
         o.event->'actor', o.created_at;

  INSERT INTO orders_orderchange (id, order_id, version, type, changes, actor, request_id, at)
  VALUES (o.change_id, o.id, 1, o.event->>'type', o.changes, o.event->'actor',
          o.event->>'request_id', o.created_at);

  INSERT INTO events_event (
    id, type, version, account_id, channel_id, readers, subject, actor, request_id, payload,
    occurred_at)
  SELECT id, type, version, account_id, channel_id, readers, subject, actor, request_id, p_payload,
         occurred_at
    FROM jsonb_to_record(o.event) AS e(
      id uuid, type text, version smallint, account_id uuid, channel_id uuid, readers uuid[],
      subject uuid, actor jsonb, request_id text, occurred_at timestamptz);

  IF o.answer IS NOT NULL THEN
    INSERT INTO common_idempotencykey AS k (
      id, account_id, key, fingerprint, status, body, location)
    SELECT id, account_id, key, fingerprint, status, p_answer, location
      FROM jsonb_to_record(o.answer) AS a(
        id uuid, account_id uuid, key text, fingerprint text, status smallint, location text)
    -- What stands there is older than a day, or we would have found it above.
    ON CONFLICT (account_id, key) DO UPDATE
      SET id = excluded.id, fingerprint = excluded.fingerprint, status = excluded.status,
          body = excluded.body, location = excluded.location, created_at = excluded.created_at;
  END IF;

  -- In id order, so that no two orders wait for each other; one row needs no order.
  IF cardinality(o.products) > 1 THEN
    PERFORM s.product_id FROM orders_stock s WHERE s.product_id = ANY (o.products)
      ORDER BY s.product_id FOR NO KEY UPDATE;
  END IF;
  UPDATE orders_stock s
     SET reserved = s.reserved + o.quantities[array_position(o.products, s.product_id)]
   WHERE s.product_id = ANY (o.products)
     AND s.on_hand - s.reserved >= o.quantities[array_position(o.products, s.product_id)];
  GET DIAGNOSTICS v_found = ROW_COUNT;
  -- Waiting for the locks may have taken a while: is what the order copied still so?
  IF v_found <> cardinality(o.products)
     OR NOT orders_is_as_read(o.storefront_id, o.storefront_version, o.currency,
                              o.products, o.names, o.prices) THEN
    RAISE EXCEPTION 'stock or a product changed while the order was written'
      USING ERRCODE = 'serialization_failure';
  END IF;
  outcome := 'placed';
END $$;

-- orders_place_v2 for each document of the array `p`, in this order: each stands or falls by itself. The
-- stock of all of them is locked first and in id order, as everybody locks it: so no two calls, and no call
-- and no single order, wait for each other in a circle for it.
CREATE FUNCTION orders_place_bulk_v2(p jsonb, p_payloads bytea[], OUT outcomes jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_document jsonb;
  v_nth bigint;
  v_outcome jsonb;
BEGIN
  PERFORM s.product_id FROM orders_stock s
    WHERE s.product_id = ANY (ARRAY(
      SELECT product::uuid
        FROM jsonb_array_elements(p) AS d, jsonb_array_elements_text(d->'products') AS product))
    ORDER BY s.product_id FOR NO KEY UPDATE;

  outcomes := '[]';
  FOR v_document, v_nth IN SELECT * FROM jsonb_array_elements(p) WITH ORDINALITY LOOP
    SELECT to_jsonb(o) INTO v_outcome FROM orders_place_v2(v_document, p_payloads[v_nth], '', 0) o;
    outcomes := outcomes || v_outcome;
  END LOOP;
END $$;
