-- Placing an order takes two calls of the database: orders_read_for_placing, then orders_place.
-- Functions, because their statements are planned once per connection.

CREATE SEQUENCE orders_number START 1001;

-- Everything that an order depends on, in one snapshot: the time, a number, storefront and products, and
-- the answer to an earlier request with the same idempotency key (p_key null: none was sent).
CREATE FUNCTION orders_read_for_placing(
  p_account uuid, p_storefront text, p_skus text[], p_key text, p_kept_seconds integer,
  OUT at timestamptz, OUT number bigint, OUT storefront jsonb, OUT products jsonb,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql AS $$
BEGIN
  SELECT clock_timestamp(),
         nextval('orders_number'),
         (SELECT jsonb_build_object('id', s.id, 'code', s.code, 'currency', s.currency,
                   'reservation_minutes', s.reservation_minutes, 'version', s.version)
            FROM orders_storefront s
           WHERE s.account_id = p_account AND s.code = p_storefront),
         (SELECT jsonb_agg(jsonb_build_object(
                   'id', p.id, 'sku', p.sku, 'name', p.name, 'price', p.price,
                   'currency', p.currency, 'is_active', p.is_active))
            FROM orders_product p WHERE p.account_id = p_account AND p.sku = ANY (p_skus)),
         k.status, k.fingerprint, k.body, k.location
    INTO at, number, storefront, products, status, fingerprint, body, location
    FROM (VALUES (1)) one
    LEFT JOIN common_idempotencykey k
      ON k.account_id = p_account AND k.key = p_key
     AND k.created_at >= now() - make_interval(secs => p_kept_seconds);
END $$;

-- Decides and writes, as one statement and so as one transaction. In `p`: order, lines, storefront_version,
-- change, event and, when an idempotency key was sent, answer; the bodies of event and answer are beside.
--
-- outcome: placed; short (`available` says what there is of each short product); moved (storefront or a
-- product changed since it was read); external_id_taken; in_flight (the key's first request is at
-- work); answered (it has been answered meanwhile). Nothing is written unless it is `placed`.
--
-- VOLATILE, so each statement sees what committed before it began: what is read after the locks are held is
-- the present state.
CREATE FUNCTION orders_place(
  p jsonb, p_payload bytea, p_answer bytea, p_kept_seconds integer,
  OUT outcome text, OUT available jsonb
) LANGUAGE plpgsql AS $$
DECLARE
  v_account uuid := p->'order'->>'account_id';
  v_order uuid := p->'order'->>'id';
  v_storefront uuid := p->'order'->>'storefront_id';
  v_currency text := p->'order'->>'currency';
  v_at timestamptz := p->'order'->>'created_at';
  v_key text := p->'answer'->>'key';
  v_locked bigint;
BEGIN
  IF v_key IS NOT NULL THEN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(p->>'lock_name', 0)) THEN
      outcome := 'in_flight';
      RETURN;
    END IF;
    IF EXISTS (SELECT FROM common_idempotencykey k
                WHERE k.account_id = v_account AND k.key = v_key
                  AND k.created_at >= now() - make_interval(secs => p_kept_seconds)) THEN
      outcome := 'answered';
      RETURN;
    END IF;
  END IF;

  -- Stock rows in id order, so that no two orders wait for each other. A CTE with FOR UPDATE runs only as
  -- far as it is read; the aggregates read all of it.
  WITH held AS MATERIALIZED (
    SELECT s.product_id, s.on_hand - s.reserved AS available, l.quantity
      FROM jsonb_to_recordset(p->'lines') AS l(product_id uuid, quantity integer)
      JOIN orders_stock s ON s.product_id = l.product_id
     ORDER BY s.product_id FOR NO KEY UPDATE OF s
  )
  SELECT count(*),
         jsonb_object_agg(h.product_id, h.available) FILTER (WHERE h.available < h.quantity)
    INTO v_locked, available FROM held h;
  IF v_locked <> jsonb_array_length(p->'lines') THEN
    RAISE EXCEPTION 'a product of the order has no stock row, or is named twice';
  END IF;

  -- Waiting for the locks may have taken a while: is what the order copied still so?
  IF NOT EXISTS (SELECT FROM orders_storefront s
                  WHERE s.id = v_storefront AND s.version = (p->>'storefront_version')::integer)
     OR EXISTS (SELECT FROM jsonb_to_recordset(p->'lines')
                         AS l(product_id uuid, name text, unit_price bigint)
                  JOIN orders_product o ON o.id = l.product_id
                 WHERE o.price <> l.unit_price OR o.name <> l.name OR o.currency <> v_currency
                    OR NOT o.is_active) THEN
    outcome := 'moved';
    available := NULL;
    RETURN;
  END IF;

  IF available IS NOT NULL THEN
    outcome := 'short';
    RETURN;
  END IF;

  INSERT INTO orders_order (
    id, account_id, storefront_id, number, external_id, customer_id, status, currency, total,
    shipping_address, metadata, reservation_expires_at, version, created_at, updated_at)
  SELECT id, account_id, storefront_id, number, external_id, customer_id, status, currency, total,
         -- A JSON null is not the absence of an address.
         nullif(shipping_address, 'null'), metadata, reservation_expires_at, 1, v_at, v_at
    FROM jsonb_to_record(p->'order') AS o(
      id uuid, account_id uuid, storefront_id uuid, number bigint, external_id text, customer_id text,
      status text, currency text, total bigint, shipping_address jsonb, metadata jsonb,
      reservation_expires_at timestamptz)
  ON CONFLICT (storefront_id, external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL
  DO NOTHING;
  IF NOT FOUND THEN
    outcome := 'external_id_taken';
    RETURN;
  END IF;

  UPDATE orders_stock s SET reserved = s.reserved + l.quantity
    FROM jsonb_to_recordset(p->'lines') AS l(product_id uuid, quantity integer)
   WHERE s.product_id = l.product_id;

  INSERT INTO orders_orderline (id, order_id, product_id, sku, name, quantity, unit_price)
  SELECT id, v_order, product_id, sku, name, quantity, unit_price
    FROM jsonb_to_recordset(p->'lines') AS l(
      id uuid, product_id uuid, sku text, name text, quantity integer, unit_price bigint);

  INSERT INTO orders_stockmovement (
    id, product_id, order_id, kind, on_hand, reserved, reason, actor, created_at)
  SELECT movement_id, product_id, v_order, 'reserved', 0, quantity, '', p->'event'->'actor', v_at
    FROM jsonb_to_recordset(p->'lines') AS l(movement_id uuid, product_id uuid, quantity integer);

  INSERT INTO orders_orderchange (
    id, order_id, version, type, changes, actor, request_id, at)
  SELECT id, v_order, 1, p->'event'->>'type', changes, p->'event'->'actor',
         p->'event'->>'request_id', v_at
    FROM jsonb_to_record(p->'change') AS c(id uuid, changes jsonb);

  INSERT INTO events_event (
    id, type, version, account_id, channel_id, readers, subject, actor, request_id, payload,
    occurred_at)
  SELECT id, type, version, account_id, channel_id, readers, subject, actor, request_id, p_payload,
         occurred_at
    FROM jsonb_to_record(p->'event') AS e(
      id uuid, type text, version smallint, account_id uuid, channel_id uuid, readers uuid[],
      subject uuid, actor jsonb, request_id text, occurred_at timestamptz);

  IF v_key IS NOT NULL THEN
    INSERT INTO common_idempotencykey AS k (
      id, account_id, key, fingerprint, status, body, location)
    SELECT id, account_id, key, fingerprint, status, p_answer, location
      FROM jsonb_to_record(p->'answer') AS a(
        id uuid, account_id uuid, key text, fingerprint text, status smallint, location text)
    -- What stands there is older than a day, or we would have found it above.
    ON CONFLICT (account_id, key) DO UPDATE
      SET id = excluded.id, fingerprint = excluded.fingerprint, status = excluded.status,
          body = excluded.body, location = excluded.location, created_at = excluded.created_at;
  END IF;
  outcome := 'placed';
END $$;

-- The ledger is append-only.
CREATE FUNCTION orders_refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the stock ledger is append-only: write a movement that corrects';
END $$;
CREATE TRIGGER stockmovement_append_only BEFORE UPDATE OR DELETE ON orders_stockmovement
  FOR EACH STATEMENT EXECUTE FUNCTION orders_refuse_ledger_change();

-- Half-empty pages keep the updates of counters on their page (HOT).
ALTER TABLE orders_stock SET (fillfactor = 50);
