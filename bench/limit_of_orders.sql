-- What PostgreSQL can take: the rows of one order of two lines, as one prepared statement of pgbench.
-- The tables are copies in the schema `bench` (same columns, indexes and checks, without foreign keys).
\set first random(1, :products)
\set second 1 + (:first % :products)
WITH held AS MATERIALIZED (
  SELECT s.product_id FROM bench.orders_stock s
   WHERE s.product_id IN (SELECT id FROM bench.product WHERE n IN (:first, :second))
   ORDER BY s.product_id FOR NO KEY UPDATE
), moved AS (
  UPDATE bench.orders_stock s SET reserved = reserved + 1 FROM held h
   WHERE s.product_id = h.product_id RETURNING s.product_id
), placed AS (
  INSERT INTO bench.orders_order (
    id, account_id, storefront_id, number, customer_id, status, currency, total, metadata, version,
    created_at, updated_at)
  SELECT uuidv7(), '01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02'::uuid, '01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b01', nextval('bench.number'), 'customer-1', 'pending', 'EUR',
         2500, '{}', 1, now(), now()
  RETURNING id
), lines AS (
  INSERT INTO bench.orders_orderline (id, order_id, product_id, sku, name, quantity, unit_price)
  SELECT uuidv7(), placed.id, product_id, 'BENCH-0001', 'Benchmark 1', 1, 1250 FROM placed, moved
), ledger AS (
  INSERT INTO bench.orders_stockmovement (
    id, product_id, order_id, kind, on_hand, reserved, reason, actor, created_at)
  SELECT uuidv7(), product_id, placed.id, 'reserved', 0, 1, '',
         '{"kind": "api_key", "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02", "label": "tp_x4k9m2qa"}',
         now()
    FROM placed, moved
), history AS (
  INSERT INTO bench.orders_orderchange (id, order_id, version, type, changes, actor, request_id, at)
  SELECT uuidv7(), placed.id, 1, 'order.created', '{"status": [null, "pending"]}', '{}', '', now()
    FROM placed
)
INSERT INTO bench.events_event (
  id, type, version, account_id, readers, subject, actor, request_id, payload, occurred_at)
SELECT uuidv7(), 'order.created', 1, '01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02'::uuid, '{}', placed.id, '{}', '',
       convert_to(repeat('x', 1100), 'UTF8'), now()
  FROM placed;
