"""Reading at size: on 200,000 orders every list, object and history is read by an index, and little of it."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from apps.common import clock
from apps.orders import selectors
from apps.orders.models import Order
from tests.orders.conftest import BASE, Shop

ORDERS = 200_000
# Of what is read for a page of 50; a filter that few rows pass may have to look at more.
MOST_ROWS = ORDERS / 20
BIG = ("orders_order", "orders_orderline", "orders_orderchange", "orders_shipment")

_GENERATE = """
WITH storefront AS (
  SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, account_id FROM orders_storefront
), product AS (
  SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, sku FROM orders_product
), placed AS (
  INSERT INTO orders_order (
    id, account_id, storefront_id, number, external_id, customer_id, status, currency, total, metadata,
    version, created_at, updated_at)
  SELECT uuidv7(shift.back), s.account_id, s.id, g, 'ext-' || g, 'customer-' || g %% 20000,
         (ARRAY['pending', 'confirmed', 'shipped', 'returned'])[1 + (g %% 1000 < 20)::int
           + (g %% 1000 < 10)::int + (g %% 1000 < 1)::int],
         'EUR', 1250, '{}', 1, now() + shift.back, now()
    FROM generate_series(1, %s) g
    CROSS JOIN LATERAL (SELECT (g - %s) * interval '1 minute' AS back) shift
    JOIN storefront s ON s.n = g * 7919 %% 4
  RETURNING id, number
), line AS (
  INSERT INTO orders_orderline (id, order_id, product_id, sku, name, quantity, unit_price)
  SELECT uuidv7(), o.id, p.id, p.sku, 'N', 1, 1250
    FROM placed o JOIN product p ON p.n = o.number * 104729 %% 40
)
INSERT INTO orders_orderchange (id, order_id, version, type, changes, actor, request_id, at)
SELECT uuidv7(), id, 1, 'order.created', '{}', '{}', '', now() FROM placed
"""

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def big(shop: Shop) -> Shop:
    """A shop of four storefronts and forty products with many orders, and their statistics."""
    for code in ("a", "b", "c"):
        Shop(shop.api, code)
    for number in range(40):
        shop.product(f"SKU-{number}")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL session_replication_role = replica")  # no checks: it is only many
        cursor.execute(_GENERATE, [ORDERS, ORDERS])
        for table in BIG:
            cursor.execute(f"ANALYZE {table}")
    return shop


def filters() -> list[dict[str, Any]]:
    """Each one, and each two of different kinds."""
    now = clock.now()
    kinds: list[list[dict[str, Any]]] = [
        [{"status": "pending"}, {"status": "returned"}],
        [{"storefront": "a"}],
        [{"customer_id": "customer-7"}],
        [{"external_id": "ext-777"}],
        [{"sku": "SKU-7"}],
        [
            {"created_after": now - timedelta(days=1)},
            {"created_before": now - timedelta(days=100)},
        ],
    ]
    singles = list(itertools.chain(*kinds))
    pairs = [
        one | two
        for first, second in itertools.combinations(kinds, 2)
        for one in first
        for two in second
    ]
    return [{}, *singles, *pairs]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def assert_reads_little(rows: "QuerySet[Any]", what: object) -> None:
    said = rows.explain(format="json", analyze=True)
    (explained,) = orjson.loads(said) if isinstance(said, str) else said
    for node in nodes(explained["Plan"]):
        if node.get("Relation Name") in BIG:
            assert node["Node Type"] != "Seq Scan", (what, said)
            removed = node.get("Rows Removed by Filter", 0)
            read = (node["Actual Rows"] + removed) * node["Actual Loops"]
            assert read <= MOST_ROWS, (what, said)


def test_every_list_is_read_by_an_index(big: Shop) -> None:
    account = big.api.account.id
    middle = Order.objects.get(number=ORDERS // 2).pk

    for chosen in filters():
        rows = selectors.orders(account, **chosen)
        assert_reads_little(rows.order_by("-pk")[:51], chosen)
        if "external_id" not in chosen:
            assert_reads_little(rows.filter(pk__lt=middle).order_by("-pk")[:51], ("next", chosen))


def test_an_order_and_its_history_are_read_by_an_index(big: Shop) -> None:
    order = Order.objects.get(number=ORDERS // 2)
    account = order.account_id

    assert_reads_little(selectors.orders(account).filter(pk=order.pk), "order")
    assert_reads_little(order.lines.all(), "lines")
    assert_reads_little(selectors.history(account, order.pk).order_by("-pk")[:51], "history")


def test_an_order_that_has_not_changed_is_one_narrow_select(shop: Shop) -> None:
    shop.product("MUG")
    path = f"{BASE}/orders/{shop.order()['id']}"
    tag = shop.api.get(path).headers["ETag"]

    with CaptureQueriesContext(connection) as queries:
        answer = shop.api.get(path, headers={"If-None-Match": tag})

    assert answer.status_code == 304
    (asked,) = [query["sql"] for query in queries]
    assert asked.startswith(
        'SELECT "orders_order"."version" AS "version" FROM "orders_order" WHERE'
    )
    assert "JOIN" not in asked
