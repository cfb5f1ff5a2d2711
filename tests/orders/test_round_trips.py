"""An order costs two round trips to the database, however many lines it has, and one where they are known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from apps.common.together import Together
from apps.orders.models import Order, Product, Stock
from apps.orders.services import placing
from tests.orders.conftest import BASE, Shop, stock
from tests.support import background, concurrently, wait_until
from tests.support.concurrency import somebody_waits_for_a_lock
from tests.support.trips import traced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("lines", [1, 2, 50])
@pytest.mark.parametrize("key", [None, "a-key"])
def test_placing_takes_two_round_trips_and_one_of_known_products(
    shop: Shop, lines: int, key: str | None
) -> None:
    shop.product("OTHER")
    for number in range(lines):
        shop.product(f"SKU-{number}")
    items = [(f"SKU-{number}", 1) for number in range(lines)]
    # The key of the API is in this process's memory from here on, and prepared is what places short and long ones.
    shop.order(("OTHER", 1))
    shop.order(("OTHER", 1), metadata={"note": "x" * placing.LONGEST_TOGETHER})

    with traced() as first:
        assert shop.try_order(*items, key=key).status_code == 201
    with traced() as second:
        assert shop.try_order(*items, key=key and f"{key}-2").status_code == 201

    assert (first.count, second.count) == (2, 1)


def test_a_replay_and_a_shortage_take_no_more(shop: Shop) -> None:
    shop.product("MUG", stock=1)
    placed = shop.try_order(("MUG", 1), key="k")

    with traced() as replayed:
        again = shop.try_order(("MUG", 1), key="k")
    with traced() as short:
        assert shop.try_order(("MUG", 1)).status_code == 409

    assert (again.status_code, again.content) == (201, placed.content)
    assert again.headers["Location"] == placed.headers["Location"]
    assert (replayed.count, short.count) == (1, 1)


@contextmanager
def before_each_write(act: Callable[[int], Any]) -> Iterator[list[int]]:
    """Call `act(n)` right before the nth time that an order is sent; yields those numbers. What it does is done as
    in another process: in this one, orders wait for the one that is on its way."""
    writes: list[int] = []
    ours = placing._together

    def between(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "FROM orders_post_" in sql:
            writes.append(len(writes) + 1)
            placing._together = Together(
                placing._post_some, most=placing.MOST_TOGETHER, patience=placing.PATIENCE
            )
            concurrently(1, lambda _: act(writes[-1]))
            placing._together = ours
        return execute(sql, params, many, context)

    with connection.execute_wrapper(between):
        yield writes


def test_a_price_that_moves_between_the_trips_is_read_again(shop: Shop) -> None:
    mug = shop.product("MUG", price=1000)

    def raise_price(attempt: int) -> None:
        if attempt == 1:
            shop.api.patch(f"{BASE}/products/{mug['id']}", {"price": 2000})

    with before_each_write(raise_price) as writes:
        order = shop.order(("MUG", 1))

    assert writes == [1, 2]
    assert order["total"] == 2000
    assert stock("MUG") == (10, 1)


def test_a_product_switched_off_between_the_trips_is_refused(shop: Shop) -> None:
    shop.product("MUG")

    with before_each_write(lambda _: Product.objects.update(is_active=False)):
        answer = shop.try_order(("MUG", 1))

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "inactive_product"
    assert stock("MUG") == (10, 0)


def test_a_storefront_that_moves_between_the_trips_is_read_again(shop: Shop) -> None:
    shop.product("MUG")
    path = f"{BASE}/storefronts/{shop.storefront['id']}"

    def limit(attempt: int) -> None:
        if attempt == 1:
            shop.api.patch(path, {"reservation_minutes": 5})

    with before_each_write(limit) as writes:
        order = shop.order(("MUG", 1))

    assert writes == [1, 2]
    assert order["reservation_expires_at"] is not None


def test_products_that_never_rest_are_503(shop: Shop) -> None:
    mug = shop.product("MUG")
    path = f"{BASE}/products/{mug['id']}"

    with before_each_write(lambda n: shop.api.patch(path, {"price": 2000 + n})) as writes:
        answer = shop.try_order(("MUG", 1))

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert len(writes) < 10
    assert stock("MUG") == (10, 0)


def test_an_answer_stored_between_the_trips_is_replayed(shop: Shop) -> None:
    shop.product("MUG")
    first: list[Any] = []

    def overtake(attempt: int) -> None:
        if not first:
            first.append(None)
            first[0] = shop.try_order(("MUG", 1), key="k")

    with before_each_write(overtake):
        answer = shop.try_order(("MUG", 1), key="k")

    assert first[0].status_code == answer.status_code == 201
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.content == first[0].content
    assert stock("MUG") == (10, 1)


def test_stock_sold_between_the_trips_is_a_shortage(shop: Shop) -> None:
    shop.product("MUG", stock=1)

    with before_each_write(lambda n: n == 1 and shop.try_order(("MUG", 1))):
        answer = shop.try_order(("MUG", 1))

    assert answer.status_code == 409
    assert answer.json()["errors"][0]["available"] == 0


def test_stock_sold_while_the_order_waits_for_it_is_a_shortage(shop: Shop) -> None:
    """The order has found enough and has written all its rows: they are undone."""
    shop.product("MUG", stock=1)
    taken: list[bool] = []

    def take() -> None:
        with transaction.atomic():
            Stock.objects.update(reserved=1)
            taken.append(True)
            wait_until(somebody_waits_for_a_lock, seconds=30)

    with background(take):
        wait_until(lambda: taken, seconds=30)
        answer = shop.try_order(("MUG", 1))

    assert answer.status_code == 409
    assert answer.json()["errors"][0]["available"] == 0
    assert not Order.objects.exists()
    assert stock("MUG") == (1, 1)


def test_a_deadlock_is_tried_again(shop: Shop) -> None:
    shop.product("MUG")
    refused: list[str] = []

    def refuse_once(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "FROM orders_post_" in sql and len(refused) < 2:  # at once, and alone
            refused.append(sql)
            sql = "DO $$ BEGIN RAISE EXCEPTION 'victim' USING ERRCODE = '40P01'; END $$"
            params = None
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_once):
        answer = shop.try_order(("MUG", 1))

    assert len(refused) == 2
    assert answer.status_code == 201
    assert stock("MUG") == (10, 1)
