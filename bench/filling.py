"""A month of a busy installation, written set-wise into an empty database: for benchmarks of reading.

Times follow the day: each table has fewer rows at night. Rows are what the app writes, without the checks
that a foreign key makes and without what is derived from them (ledgers, histories, feeds).
"""

import sys
import time
from collections.abc import Mapping

from django.core.management import call_command
from django.db import connection, transaction
from psycopg import sql

from apps.common.partitions import maintain_partitions

CHUNK = 250_000

# `moment` of row `g` of `n`: over 30 days, thinner at night; `back` is how long ago that is.
_MOMENT = """
  SELECT (days * 86400 - s + 0.6 * 86400 / (2 * pi()) * sin(2 * pi() * s / 86400))
         * interval '1 second'
    FROM (VALUES (30.0)) span(days), LATERAL (SELECT days * 86400 * g / {n} AS s) x
"""

_BASICS = """
INSERT INTO accounts_account (id, slug, name, legal_name, address, email, tax_id, tax_rate, version)
SELECT uuidv7(), 'account-' || g, 'Account ' || g, '', '', '', '', 0, 1 FROM generate_series(1, 40) g;
INSERT INTO orders_storefront (id, account_id, code, name, currency, version)
SELECT uuidv7(), a.id, code, initcap(code), CASE WHEN n > 9 THEN 'USD' ELSE 'EUR' END, 1
  FROM unnest(ARRAY['web','app','berlin','paris','outlet','b2b','market','kiosk','events','ny','la',
                    'phone']) WITH ORDINALITY AS s(code, n)
  JOIN accounts_account a ON a.slug = 'account-' || n;
INSERT INTO orders_product (id, account_id, sku, name, price, currency, is_active, version)
SELECT uuidv7(), a.id, 'SKU-' || g, 'Mug of series ' || g, 1250, 'EUR', true, 1
  FROM generate_series(1, {products}) g JOIN accounts_account a ON a.slug = 'account-' || (1 + g % 12);
INSERT INTO orders_stock (product_id, on_hand, reserved, low_stock_threshold, is_low)
SELECT id, CASE WHEN low THEN n % 9 ELSE 500 END, CASE WHEN low THEN n % 3 * (n % 9 > 2)::int ELSE 20 END,
       10, low
  FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM orders_product) p,
       LATERAL (SELECT n <= 40 AS low) l;
INSERT INTO webhooks_endpoint (id, account_id, url, event_types, description, status, disabled_reason,
                               secret, backlog_stale, version)
SELECT uuidv7(), a.id, 'https://hooks-' || g || '.example.com/tradepost', '{{*}}', '',
       CASE WHEN g % 70 = 0 THEN 'failing' ELSE 'enabled' END, '', '', false, 1
  FROM generate_series(1, 300) g JOIN accounts_account a ON a.slug = 'account-' || (1 + g % 40);
INSERT INTO webhooks_pace (endpoint_id, failures, failing_since, failed_at)
SELECT id, 7, now() - interval '95 minutes', now() - interval '50 seconds' FROM webhooks_endpoint
 WHERE status = 'failing';
INSERT INTO datafetch_stream (id, account_id, name, url, interval_seconds, cron, records_path,
  pagination, auth, headers, params, secret_headers, secret_params, secrets, state, version)
SELECT uuidv7(), a.id, (ARRAY['prices','stock levels','invoices','parcels','leads'])[1 + g % 5] || ' ' || g,
       'https://api.example.com/' || g, 300, '', '', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '',
       CASE WHEN g % 10 = 0 THEN 'stopped' ELSE 'running' END, 1
  FROM generate_series(1, 300) g JOIN accounts_account a ON a.slug = 'account-' || (1 + g % 40);
INSERT INTO datafetch_consumer (id, stream_id, name, "offset")
SELECT uuidv7(), id, c.name, c.at FROM datafetch_stream,
       (VALUES ('warehouse', 900000), ('reports', 899000)) c(name, at);
INSERT INTO crm_portal (key, hub_id, recent, rate_limit, interval_seconds, daily_limit, daily_remaining,
                        status, failures, error_reason, error_detail, calls, changed)
VALUES ('bench', 4711, '{{}}', 100, 10, 250000, 181422, 'ok', 0, '', '', 20400, 2000000);
INSERT INTO common_heartbeat (worker, queue) VALUES ('fast@bench', 'fast'), ('slow@bench', 'slow');
INSERT INTO events_consumer (name, position, failures, error)
SELECT 'bench.' || g, 5000000, 0, '' FROM generate_series(1, 6) g;
"""

_ORDERS = """
WITH placed AS (
  INSERT INTO orders_order (
    id, account_id, storefront_id, number, external_id, customer_id, status, currency, total, metadata,
    version, created_at, updated_at)
  SELECT uuidv7(-back), s.account_id, s.id, g, 'ext-' || g, 'customer-' || g % 200000,
         (ARRAY['completed', 'shipped', 'confirmed', 'pending', 'canceled', 'expired'])
           [1 + (g % 10 > 6)::int + (g % 20 > 15)::int + (g % 40 > 36)::int + (g % 50 = 0)::int * 2],
         s.currency, 1000 + g * 7919 % 9000, '{{}}', 1, now() - back, now() - back
    FROM generate_series({first}::bigint, {last}) g
    CROSS JOIN LATERAL ({moment}) m(back)
    JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS n FROM orders_storefront) s
      ON s.n = least(g * 7919 % 12, g * 104729 % 12)
  RETURNING id, number, total
)
INSERT INTO orders_orderline (id, order_id, product_id, sku, name, quantity, shipped, returned, unit_price)
SELECT uuidv7(), placed.id, p.id, p.sku, p.name, 1, 0, 0, total
  FROM placed JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM orders_product LIMIT 1000) p
    ON p.n = 1 + number % (SELECT least(count(*), 1000) FROM orders_product)
"""

_EVENTS = """
INSERT INTO events_event (id, position, type, account_id, readers, subject, actor, request_id, payload,
                          version, occurred_at)
SELECT uuidv7(-back), g, 'order.created', a.id, '{{}}', uuidv7(-back), '{{"kind": "key", "id": "1"}}',
       'request', convert_to('{{"data": {{"object": {{"pad": "' || repeat('x', 550) || '"}}}}}}', 'UTF8'), 1, now() - back
  FROM generate_series({first}::bigint, {last}) g
  CROSS JOIN LATERAL ({moment}) m(back)
  JOIN accounts_account a ON a.slug = 'account-' || (1 + g % 40)
"""

_DELIVERIES = """
WITH delivered AS (
  INSERT INTO webhooks_delivery (id, endpoint_id, event_id, event_type, subject, status, reason,
                                 attempt_count, retry_step, last_status_code, created_at, updated_at)
  SELECT uuidv7(now() - back - clock_timestamp()), e.id, uuidv7(-back), 'order.created', uuidv7(-back),
         CASE WHEN g % 997 = 0 THEN 'failed' ELSE 'delivered' END,
         CASE WHEN g % 997 = 0 THEN 'exhausted' ELSE '' END, 1, 0, 200, now() - back, now() - back
    FROM generate_series({first}::bigint, {last}) g
    CROSS JOIN LATERAL ({moment}) m(back)
    JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM webhooks_endpoint) e ON e.n = 1 + g % 300
  RETURNING id, created_at, status
)
INSERT INTO webhooks_attempt (id, delivery_id, number, url, started_at, duration_ms, status_code, error,
                              request_headers, response_headers, response_body)
SELECT uuidv7(created_at + took - clock_timestamp()), id, 1, 'https://hooks.example.com/tradepost', created_at,
       extract(epoch FROM took) * 1000, CASE WHEN status = 'failed' THEN 500 ELSE 204 END, '',
       jsonb_build_object('webhook-id', id, 'webhook-signature', repeat('s', 60)),
       jsonb_build_object('content-type', 'application/json'), convert_to(repeat('b', 200), 'UTF8')
  FROM delivered,
       LATERAL (SELECT exp(3.2 + 0.9 * sqrt(-2 * ln(random() + 1e-9)) * cos(2 * pi() * random())
                           + 0 * extract(epoch FROM created_at)) * interval '1 ms' AS took) t
"""

_DEALS = """
INSERT INTO deals_deal (id, seller_id, name, status, currency, total_price, discount_type,
                        discount_amount, final_price, auction_ends_at, auction_minimum,
                        auction_increment, auction_extension_seconds, version, created_at, updated_at)
SELECT uuidv7(-back), a.id, 'Seat ' || g, CASE WHEN is_live THEN 'available' ELSE 'sold' END, 'EUR', 9000,
       '', 0, 9000, x.ends, x.one, x.one, x.one, 1, now() - back, now() - back
  FROM generate_series({first}::bigint, {last}) g
  CROSS JOIN LATERAL ({moment}) m(back)
  JOIN accounts_account a ON a.slug = 'account-' || (1 + g % 40)
  CROSS JOIN LATERAL (SELECT back < interval '12 hours' OR g % 400 = 0 AS is_live) l
  LEFT JOIN LATERAL (SELECT now() + g % 86400 * interval '1 second' AS ends, 100 AS one) x
    ON is_live AND g % 4 = 0
"""

_DEALS_AND_BIDS = f"""
WITH offered AS ({_DEALS} RETURNING id, status, created_at)
INSERT INTO deals_bid (id, deal_id, bidder_id, status, amount, offered, maximum, version, actor)
SELECT uuidv7(d.created_at - now()), d.id, a.id,
       CASE WHEN d.status = 'available' THEN 'active' ELSE 'rejected' END, 100 + n, 100 + n, 100 + n, 1, '{{{{}}}}'
  FROM offered d, generate_series(1, 2) n JOIN accounts_account a ON a.slug = 'account-' || n
"""

_CUSTOMERS = """
WITH known AS (
  INSERT INTO crm_customer (id, account_id, email, properties, version)
  SELECT uuidv7(-back), a.id, 'customer-' || g || '@example.com', '{{}}', 1
    FROM generate_series({first}::bigint, {last}) g
    CROSS JOIN LATERAL ({moment}) m(back)
    JOIN accounts_account a ON a.slug = 'account-' || (1 + g % 4)
  RETURNING id, account_id, hashtext(email) AS h
), contact AS (
  INSERT INTO crm_contact (id, account_id, state, revision, synced_revision, portal_key, due_at,
                           acknowledged, failures, error_code, error_reason, error_property, error_detail,
                           claims)
  SELECT id, account_id, CASE WHEN h % 900 = 0 THEN 'failed' WHEN h % 3000 = 1 THEN 'pending'
         ELSE 'synced' END, 2, 1, '', CASE WHEN h % 900 <> 0 AND h % 3000 = 1 THEN now() END,
         '{{}}', 0, '', '', '', '', 0 FROM known
)
INSERT INTO crm_syncattempt (id, account_id, customer_id, call, outcome, revision, status, code, property,
                             detail, correlation_id, batch_size, duration_ms)
SELECT uuidv7(uuid_extract_timestamp(id) - now()), account_id, id, 'update',
       CASE WHEN h % 60 = 0 THEN 'rejected' ELSE 'synced' END, 1, 200, '', '', '', '', 100, 90
  FROM known, generate_series(1, 2)
"""

_RUNS = """
INSERT INTO datafetch_run (id, stream_id, trigger, status, full_refresh, started_at, ended_at, pages,
  requests, bytes, records_new, records_changed, records_unchanged, records_deleted, records_rejected,
  deletes_held_back, allow_deletes, checkpoint, actor)
SELECT uuidv7(-back), s.id, 'schedule', CASE WHEN g % 90 = 0 THEN 'failed' ELSE 'succeeded' END, false,
       now() - back, now() - back, 3, 3, 4096, g % 40, g % 7, 100, 0, 0, 0, false, '{{}}', '{{}}'
  FROM generate_series({first}::bigint, {last}) g
  CROSS JOIN LATERAL ({moment}) m(back)
  JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM datafetch_stream) s ON s.n = 1 + g % 300
"""

# Written in one piece after the rows, which is many times faster than row by row.
_INDEXES = """
SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
  FROM pg_index
 WHERE indrelid = ANY(%s::regclass[]) AND NOT indisprimary
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_TABLES = [
    "orders_order",
    "orders_orderline",
    "events_event",
    "webhooks_delivery",
    "webhooks_attempt",
    "deals_deal",
    "deals_bid",
    "crm_customer",
    "crm_contact",
    "crm_syncattempt",
    "datafetch_run",
]

_ENDING = """
INSERT INTO datafetch_progress (id, account_id, stop_requested, attempt, last_offset, record_count, failures,
                                claims, last_run_id, succeeded_at)
SELECT s.id, s.account_id, false, 0, 900000 + n * 37, 5000 + n, (n % 80 = 1)::int * 4, 0,
       (SELECT r.id FROM datafetch_run r WHERE r.stream_id = s.id ORDER BY r.id DESC LIMIT 1), now()
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM datafetch_stream) s;
INSERT INTO webhooks_due (id, endpoint_id, due_at, ready, claims)
SELECT uuidv7(), e.id, now() + g * interval '1 second', false, 0
  FROM generate_series(1, 20) g, webhooks_endpoint e WHERE e.status = 'failing';
SELECT setval('orders_number', (SELECT max(number) FROM orders_order));
INSERT INTO events_counter (id, position) SELECT 1, max(position) FROM events_event
    ON CONFLICT (id) DO UPDATE SET position = excluded.position;
UPDATE events_consumer SET position = (SELECT max(position) FROM events_event);
"""

Kinds = Mapping[str, tuple[str, float]]

# Each kind, and how many rows of it there are for an order: all that a month leaves, what the long lists show, and
# what orders and deliveries are added to.
MONTH: Kinds = {
    "orders of one line": (_ORDERS, 1.0),
    "events": (_EVENTS, 1.0),
    "deliveries with an attempt each": (_DELIVERIES, 2.0),
    "deals with two bids each": (_DEALS_AND_BIDS, 0.1),
    "customers with two attempts each": (_CUSTOMERS, 0.1),
    "runs of streams": (_RUNS, 0.1),
}
LISTS: Kinds = {
    "orders of one line": (_ORDERS, 1.0),
    "events": (_EVENTS, 1.0),
    "deals": (_DEALS, 1.0),
}
GROWTH: Kinds = {
    "orders of one line": (_ORDERS, 1.0),
    "events": (_EVENTS, 1.0),
    "deliveries with an attempt each": (_DELIVERIES, 1.0),
}


def fill(orders: int, kinds: Kinds = MONTH) -> None:
    """Make the tables and fill them."""
    call_command("migrate", verbosity=0)
    maintain_partitions()
    fill_tables(orders, kinds)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("RESET statement_timeout")


def fill_tables(orders: int, kinds: Kinds = MONTH) -> None:
    """So many orders, and of each kind its share of that; says how long each took.

    All in one transaction that empties the tables first: so nothing is written to the log as well, where
    `wal_level` is minimal, as it is on throw-away services.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # It is only many: no checks, no hurry.
        cursor.execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL session_replication_role = replica"
        )
        cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
        cursor.execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
        cursor.execute(sql.SQL(_BASICS).format(products=sql.Literal(orders // 10)))
        cursor.execute(_INDEXES, [_TABLES])
        indexes = cursor.fetchall()
        for index, _ in indexes:
            cursor.execute(f"DROP INDEX {index}")
        for name, (statement, share) in kinds.items():
            count, started = int(orders * share), time.perf_counter()
            for first in range(1, count + 1, CHUNK):
                last = min(first + CHUNK - 1, count)
                cursor.execute(_chunk(statement, first, last, count))
            _say(f"{count:,} {name}", started)
        started = time.perf_counter()
        for _, definition in indexes:
            cursor.execute(definition)
        _say(f"{len(indexes)} indexes", started)
        cursor.execute(_ENDING)


def _say(what: str, started: float) -> None:
    print(f"{what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def _chunk(statement: str, first: int, last: int, count: int) -> sql.Composed:
    moment = sql.SQL(_MOMENT).format(n=sql.Literal(count))
    return sql.SQL(statement).format(
        first=sql.Literal(first), last=sql.Literal(last), moment=moment
    )
