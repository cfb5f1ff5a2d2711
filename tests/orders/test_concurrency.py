"""Never oversold, never stuck, and given back once, whoever races whom."""

import itertools
import threading
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.orders.models import Order, Stock, StockMovement
from apps.orders.services.orders import expire_orders
from tests.orders.conftest import (
    BASE,
    MakeShop,
    Shop,
    assert_ledger_agrees,
    event_types,
    movements,
    stock,
)
from tests.support import background, concurrently, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_600_tries_by_32_clients_on_a_stock_of_300_make_300_orders(shop: Shop) -> None:
    shop.product("MUG", stock=300)

    tries = iter(range(600))

    def buy(_: int) -> list[int]:
        return [shop.try_order(("MUG", 1)).status_code for _ in tries]

    outcomes = Counter(itertools.chain(*concurrently(32, buy)))

    assert outcomes == {201: 300, 409: 300}
    assert Order.objects.count() == 300
    assert stock("MUG") == (300, 300)
    assert event_types().count("order.created") == 300
    assert_ledger_agrees()


def someone_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def test_an_order_that_had_to_wait_decides_by_what_is_left(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    held = threading.Event()

    def reserve_the_rest() -> None:
        with transaction.atomic():
            Stock.objects.update(reserved=8)
            held.set()
            wait_until(someone_waits, what="the order to wait for the stock")

    with background(reserve_the_rest):
        held.wait(10)
        answer = shop.try_order(("MUG", 3))

    assert answer.status_code == 409
    assert answer.json()["errors"][0]["available"] == 2
    assert stock("MUG") == (10, 8)


def test_overlapping_baskets_in_any_order_do_not_deadlock(shop: Shop) -> None:
    skus = [f"SKU-{number}" for number in range(6)]
    for sku in skus:
        shop.product(sku, stock=200)
    baskets = list(itertools.permutations(skus, 4))

    def buy(thread: int) -> list[int]:
        chosen = baskets[thread::24][:10]
        return [shop.try_order(*((sku, 2) for sku in basket)).status_code for basket in chosen]

    outcomes = Counter(itertools.chain(*concurrently(24, buy)))

    assert set(outcomes) <= {201, 409}
    assert outcomes[201] > 0
    reserved = sum(stock(sku)[1] for sku in skus)
    assert reserved == outcomes[201] * 8
    assert_ledger_agrees()


def test_orders_race_with_changes_of_items_and_stock(shop: Shop) -> None:
    products = [shop.product(sku, stock=50) for sku in ("A", "B", "C")]
    orders = [shop.order(("A", 1), ("B", 1), ("C", 1)) for _ in range(6)]

    def act(thread: int) -> list[int]:
        codes = []
        for turn in range(8):
            if thread % 3 == 0:
                items = [(sku, turn + 1) for sku in ("C", "B", "A")]
                body = shop.body(*items)["items"]
                codes.append(shop.try_change(orders[thread % 6], items=body).status_code)
            elif thread % 3 == 1:
                codes.append(shop.try_order(("B", 2), ("A", 3)).status_code)
            else:
                path = f"{BASE}/products/{products[turn % 3]['id']}/stock-adjustments"
                body = {"delta": 1 if turn % 2 else -1, "reason": "count"}
                codes.append(shop.api.post(path, body).status_code)
        return codes

    outcomes = set(itertools.chain(*concurrently(18, act)))

    assert outcomes <= {200, 201, 409}
    assert_ledger_agrees()


def test_stock_is_given_back_once_when_delete_races_cancel_expiry_and_itself(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(reservation_minutes=5)
    shop.product("MUG", stock=10)

    def give_back(order: dict[str, Any], thread: int) -> None:
        if thread % 4 == 0:
            expire_orders()
        elif thread % 4 == 1:
            shop.try_change(order, status="canceled")
        else:
            shop.delete(order)

    for _ in range(5):
        order = shop.order(("MUG", 4))
        Order.objects.filter(pk=order["id"]).update(
            reservation_expires_at=Now() - timedelta(seconds=1)
        )

        concurrently(8, partial(give_back, order))

        assert stock("MUG") == (10, 0)
        released = StockMovement.objects.filter(order=order["id"], kind="released")
        assert [row.reserved for row in released] == [-4]
    assert_ledger_agrees()


def test_parts_shipped_at_once_are_never_more_than_there_are(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 7)), "confirmed")

    codes = concurrently(12, lambda _: shop.try_ship(order, ("MUG", 2)).status_code)

    assert sorted(codes) == [201] * 3 + [409] * 9
    assert stock("MUG") == (4, 1)
    assert movements("MUG").count(("shipped", -2, -2)) == 3
    assert_ledger_agrees()


def test_what_comes_back_at_once_comes_back_once(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 4)), "confirmed", "shipped")

    def take_back(thread: int) -> int:
        code: int = shop.try_return(order, *([("MUG", 4)] if thread % 2 else [])).status_code
        return code

    codes = concurrently(8, take_back)

    assert sorted(codes) == [201] + [409] * 7
    assert stock("MUG") == (10, 0)
    assert event_types(order["id"]).count("order.returned") == 1


def test_shipping_excludes_canceling_and_deleting(shop: Shop) -> None:
    shop.product("MUG", stock=50)

    def race(order: dict[str, Any], thread: int) -> int:
        calls = (
            lambda: shop.try_ship(order, ("MUG", 1)),
            lambda: shop.try_change(order, status="canceled"),
            lambda: shop.try_ship(order),
            lambda: shop.delete(order),
        )
        code: int = calls[thread % 4]().status_code
        return code

    for _ in range(5):
        order = shop.advance(shop.order(("MUG", 3)), "confirmed")

        codes = set(concurrently(8, partial(race, order)))

        assert codes <= {200, 201, 204, 404, 409}
        row = Order.objects.get(pk=order["id"])
        (line,) = row.lines.all()
        assert row.status != "canceled" or line.shipped == 0
        assert row.deleted_at is not None
        gone = StockMovement.objects.filter(order=row, kind="shipped")
        assert -sum(movement.on_hand for movement in gone) == line.shipped
    assert stock("MUG")[1] == 0
    assert_ledger_agrees()


def test_one_of_two_deletes_wins(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order(("MUG", 3))

    codes = concurrently(8, lambda _: shop.delete(order).status_code)

    assert sorted(codes) == [204] + [404] * 7
    assert stock("MUG") == (10, 0)
    assert event_types(order["id"]) == ["order.created", "order.deleted"]


def test_expiry_and_confirmation_exclude_each_other(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=5)
    shop.product("MUG", stock=100)

    def race(order: dict[str, Any], thread: int) -> Any:
        return expire_orders() if thread else shop.try_change(order, status="confirmed")

    for _ in range(8):
        order = shop.order(("MUG", 1))
        Order.objects.filter(pk=order["id"]).update(
            reservation_expires_at=Now() - timedelta(seconds=1)
        )

        confirmation, _ = concurrently(2, partial(race, order))

        status = Order.objects.get(pk=order["id"]).status
        if confirmation.status_code == 200:
            assert status == "confirmed"
            assert event_types(order["id"]) == ["order.created", "order.confirmed"]
        else:
            assert confirmation.json()["code"] == "invalid_transition"
            assert event_types(order["id"]) == ["order.created", "order.expired"]
    confirmed = Order.objects.filter(status="confirmed").count()
    assert stock("MUG") == (100, confirmed)
    assert_ledger_agrees()


def test_sweeps_side_by_side_expire_each_order_once(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=5)
    shop.product("MUG", stock=30)
    for _ in range(30):
        shop.order(("MUG", 1))
    Order.objects.update(reservation_expires_at=Now() - timedelta(seconds=1))

    expired = concurrently(6, lambda _: expire_orders())

    assert sum(expired) == 30
    assert event_types().count("order.expired") == 30
    assert stock("MUG") == (30, 0)
    assert movements("MUG").count(("released", 0, -1)) == 30


def test_an_external_id_is_taken_once(shop: Shop) -> None:
    shop.product("MUG", stock=100)

    answers = concurrently(12, lambda _: shop.try_order(("MUG", 1), external_id="one"))

    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] + [409] * 11
    assert stock("MUG") == (100, 1)


def test_simultaneous_upserts_make_one_product(shop: Shop) -> None:
    body = {"name": "Mug", "price": 1, "currency": "EUR", "stock": 7}

    answers = concurrently(12, lambda _: shop.api.put(f"{BASE}/products/by-sku/MUG", body))

    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert movements("MUG") == [("received", 7, 0)]


def test_stock_never_falls_below_what_is_reserved(shop: Shop) -> None:
    mug = shop.product("MUG", stock=20)

    def act(thread: int) -> int:
        if thread % 2:
            code: int = shop.try_order(("MUG", 3)).status_code
            return code
        path = f"{BASE}/products/{mug['id']}/stock-adjustments"
        return shop.api.post(path, {"delta": -3, "reason": "broken"}).status_code

    outcomes = concurrently(20, act)

    assert set(outcomes) <= {201, 409}
    on_hand, reserved = stock("MUG")
    assert 0 <= reserved <= on_hand
    assert on_hand - reserved < 3
    assert_ledger_agrees()
