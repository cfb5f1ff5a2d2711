"""When others hold the rows: 503 after a while, and a deadlock is tried again, in every service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction

from apps.orders.models import Order, Stock
from apps.orders.services import erasing, fulfillment, orders, payments, placing, products
from tests.orders.conftest import BASE, Shop, assert_ledger_agrees, stock
from tests.support import background, holding, wait_until
from tests.support.concurrency import somebody_waits_for_a_lock
from tests.support.problems import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

Call = Callable[[Shop, dict[str, Any]], Any]

# Calls on a confirmed order of which one mug of three is shipped: each moves its stock.
CALLS: dict[str, Call] = {
    "items": lambda shop, order: shop.try_change(order, items=[{"sku": "MUG", "quantity": 2}]),
    "the rest": lambda shop, order: shop.try_change(order, status="shipped"),
    "shipment": lambda shop, order: shop.try_ship(order, ("MUG", 1)),
    "shipment with a key": lambda shop, order: shop.api.post(
        f"{BASE}/orders/{order['id']}/shipments", {}, idempotency_key="one"
    ),
    "return": lambda shop, order: shop.try_return(order),
    "delete": lambda shop, order: shop.delete(order),
}


@pytest.fixture
def order(shop: Shop) -> dict[str, Any]:
    shop.product("MUG", stock=10)
    return shop.ship(shop.advance(shop.order(("MUG", 3)), "confirmed"), ("MUG", 1))


@contextmanager
def impatient(**limits: str) -> Iterator[None]:
    """This thread's connection with other limits than the product's."""
    with connection.cursor() as cursor:
        for name, value in limits.items():
            cursor.execute(f"SET {name} = '{value}'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for name in limits:
                cursor.execute(f"RESET {name}")


def test_the_product_waits_four_seconds() -> None:
    assert "lock_timeout=4000" in settings.DATABASES["default"]["OPTIONS"]["options"]


@pytest.mark.parametrize("table", ["orders_order", "orders_stock"])
@pytest.mark.parametrize("call", CALLS)
def test_who_waits_too_long_is_told_to_come_back(
    shop: Shop, order: dict[str, Any], call: str, table: str
) -> None:
    with holding(f"SELECT FROM {table} FOR UPDATE"), impatient(lock_timeout="50ms"):
        answer = CALLS[call](shop, order)

    assert_problem(answer, 503, "busy")
    assert answer.headers["Retry-After"] == "1"
    assert shop.read(order) == order
    assert stock("MUG") == (9, 2)
    assert CALLS[call](shop, order).status_code in (200, 201, 204)
    assert_ledger_agrees()


def test_a_payment_and_an_order_wait_no_longer(shop: Shop, order: dict[str, Any]) -> None:
    with holding("SELECT FROM orders_order FOR UPDATE"), impatient(lock_timeout="50ms"):
        assert_problem(shop.try_pay(order, "captured", 5), 503, "busy")
    with holding("SELECT FROM orders_stock FOR UPDATE"), impatient(lock_timeout="50ms"):
        assert_problem(shop.try_order(("MUG", 1)), 503, "busy")

    assert shop.try_pay(order, "captured", 5).status_code == 201
    assert shop.try_order(("MUG", 1)).status_code == 201


@pytest.mark.parametrize("call", CALLS)
def test_a_deadlock_is_tried_again(shop: Shop, order: dict[str, Any], call: str) -> None:
    """With somebody who locks the other way round, as nothing of ours does."""

    def lock_the_other_way_round() -> None:
        # Who looks for a deadlock first is its victim: the call, after PostgreSQL's usual second.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '30s'; SET LOCAL lock_timeout = '30s'")
            Stock.objects.select_for_update().get(product__sku="MUG")
            held.append(True)
            wait_until(somebody_waits_for_a_lock, seconds=30)
            Order.objects.select_for_update().get(pk=order["id"])

    held: list[bool] = []
    with impatient(lock_timeout="30s"), background(lock_the_other_way_round):
        wait_until(lambda: held, seconds=30)
        answer = CALLS[call](shop, order)

    assert answer.status_code in (200, 201, 204), answer.content
    assert_ledger_agrees()


def test_every_service_that_writes_is_retried() -> None:
    """By its outermost wrapper; what only inserts rows of its own waits for nobody."""
    services = [
        (module.__name__, name)
        for module in (erasing, fulfillment, orders, payments, placing, products)
        for name, function in vars(module).items()
        if not name.startswith("_")
        and getattr(function, "__module__", "") == module.__name__
        and hasattr(function, "__wrapped__")
        and not _is_retried(function)
    ]

    assert services == [("apps.orders.services.products", "create_product")]


def _is_retried(function: Any) -> bool:
    return "retries.py" in function.__code__.co_filename


@pytest.mark.parametrize("note", ["short", "x" * placing.LONGEST_TOGETHER], ids=["short", "long"])
def test_one_new_external_id_in_bulk_and_singly_is_taken_once(shop: Shop, note: str) -> None:
    """The bulk call locks its stock first and the single order last, and yet they never wait for each other: a
    deadlock would not be noticed, and end in a 503."""
    shop.product("MUG", stock=10)
    shop.product("TEA", stock=10)

    def in_bulk() -> int:
        orders = [shop.body(("MUG", 1), external_id="one"), shop.body(("TEA", 1))]
        with impatient(lock_timeout="30s", deadlock_timeout="60s"):
            answer = shop.api.post(f"{BASE}/orders/bulk", {"orders": orders})
        assert answer.json()["results"][1]["status"] == 201
        status: int = answer.json()["results"][0]["status"]
        return status

    def singly() -> int:
        with impatient(lock_timeout="30s", deadlock_timeout="60s"):
            answer = shop.try_order(("MUG", 1), external_id="one", metadata={"note": note})
        status: int = answer.status_code
        return status

    with ExitStack() as stack, holding(f"{_STOCK_OF} 'TEA' FOR UPDATE OF s"):
        bulk = stack.enter_context(background(in_bulk))
        wait_until(lambda: waiting() == 1)  # has the mugs, and waits for tea
        single = stack.enter_context(background(singly))
        wait_until(lambda: waiting() == 2)

    assert (bulk.result(), single.result()) == (201, 409)
    assert (stock("MUG"), stock("TEA")) == ((10, 1), (10, 1))
    assert Order.objects.filter(external_id="one").count() == 1
    assert_ledger_agrees()


def test_two_bulk_calls_with_the_same_external_ids_wait_for_each_other_in_one_order(
    shop: Shop,
) -> None:
    shop.product("MUG", stock=10)
    shop.product("TEA", stock=10)

    def post(sku: str, *external_ids: str) -> list[int]:
        orders = [shop.body((sku, 1), external_id=one) for one in external_ids]
        with impatient(lock_timeout="30s", deadlock_timeout="60s"):
            answer = shop.api.post(f"{BASE}/orders/bulk", {"orders": orders})
        return [one["status"] for one in answer.json()["results"]]

    with ExitStack() as stack, holding(f"{_STOCK_OF} 'TEA' FOR UPDATE OF s"):
        first = stack.enter_context(background(lambda: post("TEA", "one", "two")))
        wait_until(lambda: waiting() == 1)  # has both, and waits for tea
        second = stack.enter_context(background(lambda: post("MUG", "two", "one")))
        wait_until(lambda: waiting() == 2)

    assert (first.result(), second.result()) == ([201, 201], [409, 409])
    assert (stock("MUG"), stock("TEA")) == ((10, 0), (10, 2))


_STOCK_OF = "SELECT FROM orders_stock s JOIN orders_product p ON p.id = s.product_id WHERE p.sku ="


def waiting() -> int:
    """How many connections of this test's database wait for another's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])
