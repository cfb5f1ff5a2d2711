-- What PostgreSQL can take: the rows of one deal of one item, as one prepared statement of pgbench.
-- The tables are copies in the schema `bench` (same columns, indexes and checks, without foreign keys).
WITH offered AS (
  INSERT INTO bench.deals_deal (
    id, seller_id, name, status, currency, total_price, discount_type, discount_amount, final_price,
    version, created_at, updated_at)
  VALUES (uuidv7(), '01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02', 'bench', 'available', 'EUR', 1000, '', 0, 1000,
          1, now(), now())
  RETURNING id
), items AS (
  INSERT INTO bench.deals_dealitem (id, deal_id, position, name, price)
  SELECT uuidv7(), id, 0, 'one', 1000 FROM offered
), history AS (
  INSERT INTO bench.deals_dealhistory (id, deal_id, type, actor, request_id, changes, at)
  SELECT uuidv7(), id, 'deal.created',
         '{"kind": "api_key", "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02", "label": "tp_x4k9m2qa"}', '',
         '{"name": [null, "bench"], "items": [[], [{"id": "01a1ff06-a621-7626-9281-8035ef22ab38", "name": "one", "price": 1000, "position": 0}]], "status": [null, "available"], "currency": [null, "EUR"], "final_price": [null, 1000], "total_price": [null, 1000]}',
         now()
    FROM offered
)
INSERT INTO bench.events_event (
  id, type, version, account_id, channel_id, readers, subject, actor, request_id, payload, occurred_at)
SELECT uuidv7(), 'deal.created', 1, '01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02',
       '01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b03', '{}', id,
       '{"kind": "api_key", "id": "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02", "label": "tp_x4k9m2qa"}', '',
       convert_to(repeat('x', 620), 'UTF8'), now()
  FROM offered;
