"""POST /orders/bulk: each order by itself, the whole once, in few round trips, racing single orders."""

import itertools
from collections import Counter
from typing import Any

import pytest
from django.db import connection

from apps.common.models import IdempotencyKey
from apps.orders.models import Order, Product, Stock
from apps.orders.services import bulk
from tests.orders.conftest import (
    BASE,
    MakeShop,
    Shop,
    assert_ledger_agrees,
    event_types,
    movements,
    stock,
)
from tests.support import concurrently
from tests.support.trips import traced

pytestmark = pytest.mark.django_db(transaction=True)


def try_bulk(shop: Shop, *orders: Any, key: str | None = None) -> Any:
    return shop.api.post(f"{BASE}/orders/bulk", {"orders": list(orders)}, idempotency_key=key)


def statuses(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [one["status"] for one in answer.json()["results"]]


def test_each_order_stands_or_falls_by_itself(shop: Shop) -> None:
    shop.product("MUG", stock=5)
    shop.product("OLD", stock=5, active=False)

    answer = try_bulk(
        shop,
        shop.body(("MUG", 2), external_id="a"),
        shop.body(("MUG", 9)),
        shop.body(("MUG", 0)),
        shop.body(("NONE", 1)),
        shop.body(("OLD", 1)),
        shop.body(("MUG", 1), external_id="a"),
        {**shop.body(("MUG", 1)), "storefront": "nowhere"},
        "not an order",
        shop.body(("MUG", 2), ("MUG", 1)),
        shop.body(("MUG", 1)),
    )

    assert statuses(answer) == [201, 409, 400, 400, 400, 409, 400, 400, 201, 409]
    report = answer.json()
    assert (report["placed"], report["refused"]) == (2, 8)
    codes = [one["problem"]["code"] for one in report["results"] if "problem" in one]
    assert codes == [
        "insufficient_stock",
        "invalid",
        "invalid",
        "invalid",
        "external_id_taken",
        "invalid",
        "invalid",
        "insufficient_stock",
    ]
    short = report["results"][1]["problem"]["errors"][0]
    assert (short["pointer"], short["requested"], short["available"]) == ("/items/0", 9, 3)
    assert report["results"][2]["problem"]["errors"][0]["pointer"] == "/items/0/quantity"
    assert report["results"][9]["problem"]["errors"][0]["available"] == 0
    assert stock("MUG") == (5, 5)
    assert_ledger_agrees()


def test_what_is_answered_is_what_was_stored(shop: Shop) -> None:
    shop.product("MUG", stock=10)

    answer = try_bulk(shop, *(shop.body(("MUG", 1), metadata={"n": n}) for n in range(3)))

    told = [one["order"] for one in answer.json()["results"]]
    stored = [shop.api.get(f"{BASE}/orders/{order['id']}").json() for order in told]
    assert stored == told
    assert [order["metadata"]["n"] for order in told] == [0, 1, 2]
    assert [order["id"] for order in told] == sorted(order["id"] for order in told)
    for order in told:
        assert event_types(order["id"]) == ["order.created"]
        assert [row["type"] for row in shop.history(order)] == ["order.created"]


@pytest.mark.parametrize(
    "body", [{}, {"orders": []}, {"orders": {}}, {"orders": [{}] * 1001}, {"orders": None}, []]
)
def test_a_body_that_is_no_list_of_orders_is_400(shop: Shop, body: Any) -> None:
    assert shop.api.post(f"{BASE}/orders/bulk", body).status_code == 400


def test_a_retry_is_answered_as_the_first_time(shop: Shop) -> None:
    shop.product("MUG", stock=3)
    orders = [shop.body(("MUG", 2)), shop.body(("MUG", 2)), shop.body(("MUG", 1))]

    first = try_bulk(shop, *orders, key="k")
    again = try_bulk(shop, *orders, key="k")
    other = try_bulk(shop, *orders[:1], key="k")

    assert statuses(first) == [201, 409, 201]
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["k"]
    assert stock("MUG") == (3, 3)


def test_a_request_that_broke_off_goes_on_where_it_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK_ORDERS", 2)
    shop.product("MUG", stock=10)
    orders = [shop.body(("MUG", 1), customer_id=f"c{n}") for n in range(5)]
    writes = itertools.count()

    def die_in_the_second_chunk(
        execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if "orders_place_bulk_v3(" in sql and next(writes) == 1:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with connection.execute_wrapper(die_in_the_second_chunk), pytest.raises(KeyboardInterrupt):
        try_bulk(shop, *orders, key="k")
    assert Order.objects.count() == 2
    other = try_bulk(shop, *orders[::-1], key="k")
    answer = try_bulk(shop, *orders, key="k")

    assert other.status_code == 422
    assert statuses(answer) == [201] * 5
    assert sorted(Order.objects.values_list("customer_id", flat=True)) == [
        f"c{n}" for n in range(5)
    ]
    assert stock("MUG") == (10, 5)
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["k"]


def test_the_same_request_at_the_same_time_is_done_once(shop: Shop) -> None:
    shop.product("MUG", stock=1000)
    orders = [shop.body(("MUG", 1)) for _ in range(20)]

    answers = concurrently(8, lambda _: try_bulk(shop, *orders, key="k"))

    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) <= {200, 409}
    assert codes[200] >= 1
    assert Order.objects.count() == 20
    assert stock("MUG") == (1000, 20)


def test_round_trips_do_not_grow_with_the_orders_of_a_chunk(shop: Shop) -> None:
    for number in range(5):
        shop.product(f"SKU-{number}", stock=1000)
    shop.order(("SKU-0", 1))

    def trips(orders: int, lines: int) -> int:
        items = [(f"SKU-{number}", 1) for number in range(lines)]
        with traced() as counted:
            assert statuses(try_bulk(shop, *[shop.body(*items)] * orders)) == [201] * orders
        return counted.count

    # BEGIN, read, write, COMMIT.
    assert trips(1, 1) == trips(60, 5) == 4


def test_a_price_that_moves_between_the_calls_is_read_again(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    shop.product("TEA", stock=10)
    writes: list[int] = []

    def raise_price(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "orders_place_bulk_v3(" in sql:
            writes.append(1)
            if len(writes) == 1:
                path = f"{BASE}/products/{mug['id']}"
                concurrently(1, lambda _: shop.api.patch(path, {"price": 2000}))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(raise_price):
        answer = try_bulk(shop, shop.body(("TEA", 1)), shop.body(("MUG", 1)))

    assert statuses(answer) == [201, 201]
    totals = [one["order"]["total"] for one in answer.json()["results"]]
    assert totals == [1250, 2000]
    assert len(writes) == 2
    assert movements("TEA")[1:] == movements("MUG")[1:] == [("reserved", 0, 1)]


def test_bulk_races_single_orders_without_overselling_or_deadlock(shop: Shop) -> None:
    skus = [f"SKU-{number}" for number in range(6)]
    for sku in skus:
        shop.product(sku, stock=150)
    baskets = [[(sku, 1) for sku in basket] for basket in itertools.permutations(skus, 4)]

    def act(thread: int) -> list[int]:
        mine = baskets[thread::16][:20]
        if thread % 2:
            return [shop.try_order(*basket).status_code for basket in mine]
        return statuses(try_bulk(shop, *(shop.body(*basket) for basket in mine)))

    outcomes = Counter(itertools.chain(*concurrently(16, act)))

    assert set(outcomes) <= {201, 409}
    assert sum(outcomes.values()) == 16 * 20
    assert Order.objects.count() == outcomes[201]
    assert sum(row.reserved for row in Stock.objects.all()) == outcomes[201] * 4
    assert_ledger_agrees()


def test_another_accounts_storefront_and_products_are_unknown(
    shop: Shop, make_shop: MakeShop
) -> None:
    stranger = make_shop(code="theirs")
    stranger.product("THEIRS")
    shop.product("MUG")

    answer = try_bulk(
        shop, shop.body(("THEIRS", 1)), {**shop.body(("MUG", 1)), "storefront": "theirs"}
    )

    assert statuses(answer) == [400, 400]
    assert Product.objects.filter(stock__reserved__gt=0).count() == 0
