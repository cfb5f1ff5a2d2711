-- Placing many orders takes two calls of the database too: orders_read_for_bulk, then orders_place_bulk.

-- What a number of orders depends on, in one snapshot: the time, their numbers, storefronts and products.
CREATE FUNCTION orders_read_for_bulk(
  p_account uuid, p_storefronts text[], p_skus text[], p_orders integer,
  OUT at timestamptz, OUT numbers bigint[], OUT storefronts jsonb, OUT products jsonb
) LANGUAGE plpgsql AS $$
BEGIN
  SELECT clock_timestamp(),
         (SELECT array_agg(nextval('orders_number')) FROM generate_series(1, p_orders)),
         (SELECT jsonb_agg(jsonb_build_object('id', s.id, 'code', s.code, 'currency', s.currency,
                   'reservation_minutes', s.reservation_minutes, 'version', s.version))
            FROM orders_storefront s
           WHERE s.account_id = p_account AND s.code = ANY (p_storefronts)),
         (SELECT jsonb_agg(jsonb_build_object(
                   'id', p.id, 'sku', p.sku, 'name', p.name, 'price', p.price,
                   'currency', p.currency, 'is_active', p.is_active))
            FROM orders_product p WHERE p.account_id = p_account AND p.sku = ANY (p_skus))
    INTO at, numbers, storefronts, products;
END $$;

-- orders_place for each document of the array `p`, in this order: each stands or falls by itself. The stock
-- of all of them is locked first and in id order, as everybody locks it: so no two calls, and no call and
-- no single order, wait for each other in a circle.
CREATE FUNCTION orders_place_bulk(p jsonb, p_payloads bytea[], OUT outcomes jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  v_document jsonb;
  v_nth bigint;
  v_outcome jsonb;
BEGIN
  PERFORM count(*) FROM (
    SELECT FROM orders_stock s
     WHERE s.product_id IN (
       SELECT (l->>'product_id')::uuid
         FROM jsonb_array_elements(p) AS d, jsonb_array_elements(d->'lines') AS l)
     ORDER BY s.product_id FOR NO KEY UPDATE) held;

  outcomes := '[]';
  FOR v_document, v_nth IN SELECT * FROM jsonb_array_elements(p) WITH ORDINALITY LOOP
    SELECT to_jsonb(o) INTO v_outcome FROM orders_place(v_document, p_payloads[v_nth], NULL, 0) o;
    outcomes := outcomes || v_outcome;
  END LOOP;
END $$;
