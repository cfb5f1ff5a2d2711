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
from apps.common.keyset import newer, older
from apps.orders import selectors
from apps.orders.models import Order, Storefront
from tests.orders.conftest import BASE, MakeShop, Shop

ORDERS = 200_000
PAGE = 51  # the one more tells whether there is a next page
# No index of orders has a product: beside a storefront or a status, the rows of one or the other are
# looked through.
MOST_LOOKED_THROUGH = ORDERS / 20
# A short range of ids is read whole and sorted, which costs less than as many steps in another index.
MOST_IN_RANGE = 2_000
BIG = (
    "orders_order",
    "orders_orderline",
    "orders_orderchange",
    "orders_shipment",
)
# What is read of these is bounded, by whichever filters.
BOUNDED = (*BIG, "orders_product")

_GENERATE = """
WITH storefront AS (
  SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, account_id FROM orders_storefront
), product AS (
  SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, account_id, sku FROM orders_product
), placed AS (
  INSERT INTO orders_order (
    id, account_id, storefront_id, number, external_id, customer_id, status, currency, total, metadata,
    version, created_at, updated_at)
  SELECT uuidv7(shift.back), s.account_id, s.id, g, 'ext-' || g, 'customer-' || g %% 20000,
         (ARRAY['pending', 'confirmed', 'shipped', 'returned'])[1 + (g %% 1000 < 20)::int
           + (g %% 1000 < 10)::int + (g %% 1000 < 1)::int],
         'EUR', 1250, '{}', 1, now() + shift.back, now()
    FROM generate_series(1, %(orders)s) g
    CROSS JOIN LATERAL (SELECT (g - %(orders)s) * interval '1 minute' AS back) shift
    -- The last storefront, which is of another account, and the one before it had nothing new for long.
    JOIN storefront s ON s.n = g * 7919 %% CASE WHEN g < %(orders)s / 3 THEN 5 ELSE 3 END
  RETURNING id, account_id, number
), line AS (
  INSERT INTO orders_orderline (id, order_id, product_id, sku, name, quantity, unit_price)
  SELECT uuidv7(), o.id, p.id, p.sku, 'N', 1, 1250
    FROM placed o
    JOIN product p ON p.account_id = o.account_id
     AND p.n = o.number / 7 %% CASE WHEN o.number < %(orders)s / 3 THEN 40 ELSE 30 END
)
INSERT INTO orders_orderchange (id, order_id, version, type, changes, actor, request_id, at)
SELECT uuidv7(), id, 1, 'order.created', '{}', '{}', '', now() FROM placed
"""

_PRODUCTS = """
WITH made AS (
  INSERT INTO orders_product (id, account_id, sku, name, price, currency, is_active, version)
  SELECT uuidv7(), %s, 'SKU-' || g, 'Mug of series ' || g, 1250, 'EUR', true, 1
    FROM generate_series(1, %s) g
  RETURNING id
)
INSERT INTO orders_stock (product_id, on_hand, reserved, is_low) SELECT id, 1, 0, false FROM made
"""

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def big(shop: Shop, make_shop: MakeShop) -> Shop:
    """A shop of four storefronts and forty products with many orders, one of another account, and their
    statistics. `silent` and SKU-39 have had no order for long."""
    with connection.cursor() as cursor:
        # New files, without the dead rows that earlier tests left, which a planner takes into account.
        cursor.execute(f"TRUNCATE {', '.join(BIG)} CASCADE")
    for code in ("a", "b", "silent"):
        Shop(shop.api, code)
    make_shop(code="other")
    for number in range(40):
        shop.product(f"SKU-{number}")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL session_replication_role = replica")  # no checks: it is only many
        cursor.execute(_GENERATE, {"orders": ORDERS})
        # The whole table is the sample, so that the plans of one run are those of the next.
        cursor.execute("SET LOCAL default_statistics_target = 2000")
        # And locked by that until the end: autovacuum would count none of what is not committed.
        for table in (*BOUNDED, "orders_storefront"):
            cursor.execute(f"ANALYZE {table}")
    return shop


def filters() -> list[dict[str, Any]]:
    """Each one, and each two of different kinds."""
    now = clock.now()
    kinds: list[list[dict[str, Any]]] = [
        [{"status": "pending"}, {"status": "returned"}],
        [{"storefront": "a"}, {"storefront": "silent"}],
        [{"customer_id": "customer-7"}],
        [{"external_id": "ext-777"}],
        [{"sku": "SKU-7"}, {"sku": "SKU-39"}],
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


def most_rows(chosen: dict[str, Any]) -> float:
    if "sku" in chosen and chosen.keys() & {"storefront", "status"}:
        return MOST_LOOKED_THROUGH
    return MOST_IN_RANGE if "created_after" in chosen else PAGE


def assert_reads_little(rows: "QuerySet[Any]", what: object, most: float = PAGE) -> None:
    """That no table is read but by an index, and `most` of its rows at the most, passed over or not."""
    said = rows.explain(format="json", analyze=True)
    (explained,) = orjson.loads(said) if isinstance(said, str) else said
    for node in nodes(explained["Plan"]):
        if node.get("Relation Name") in BOUNDED:
            assert node["Node Type"] != "Seq Scan", (what, said)
            removed = node.get("Rows Removed by Filter", 0)
            read = (node["Actual Rows"] + removed) * node["Actual Loops"]
            assert read <= most, (what, said)


def test_every_list_is_read_by_an_index(big: Shop) -> None:
    account = big.api.account.id
    other = Storefront.objects.get(code="other").account_id
    middle = Order.objects.get(number=ORDERS // 6).pk

    for chosen in filters():
        rows, most = selectors.orders(account, **chosen), most_rows(chosen)
        assert_reads_little(older(rows)[:PAGE], chosen, most)
        if "external_id" not in chosen:
            assert_reads_little(older(rows, middle)[:PAGE], ("next", chosen), most)
            assert_reads_little(newer(rows, middle)[:PAGE], ("previous", chosen), most)
    few: list[dict[str, Any]] = [{}, {"status": "pending"}, {"storefront": "other"}]
    for chosen in few:
        rows = older(selectors.orders(other, **chosen))[:PAGE]
        assert len(rows) == PAGE
        assert_reads_little(rows, ("other", chosen))


def test_an_order_and_its_history_are_read_by_an_index(big: Shop) -> None:
    order = Order.objects.get(number=ORDERS // 2)
    account = order.account_id

    assert_reads_little(selectors.orders(account).filter(pk=order.pk), "order")
    assert_reads_little(order.lines.all(), "lines")
    assert_reads_little(selectors.history(account, order.pk).order_by("-pk")[:51], "history")


def test_a_search_for_products_is_read_by_an_index(shop: Shop) -> None:
    account = shop.api.account.id
    with connection.cursor() as cursor:
        cursor.execute(_PRODUCTS, [account, 50_000])
        cursor.execute("ANALYZE orders_product")

    for q, found in (("sku-777", 11), ("mug 4711", 11), ("nothing", 0), ("sku-77777", 0)):
        rows = older(selectors.products(account, q=q))[:PAGE]
        assert len(rows) == found, q
        assert_reads_little(rows, q, most=1000)


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
