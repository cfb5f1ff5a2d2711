"""A retried POST /orders has one effect."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.common.idempotency import Retryable, take_lock
from apps.common.models import IdempotencyKey
from apps.orders.models import Order
from tests.orders.conftest import MakeShop, Shop, event_types, stock
from tests.support import background, concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_key_and_body_is_answered_again(shop: Shop) -> None:
    shop.product("MUG")

    first = shop.try_order(("MUG", 2), key="k")
    second = shop.try_order(("MUG", 2), key="k")

    assert second.status_code == 201
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert stock("MUG") == (10, 2)
    assert event_types() == ["order.created"]


def test_the_same_key_with_another_body_is_422(shop: Shop) -> None:
    shop.product("MUG")
    shop.try_order(("MUG", 2), key="k")

    answer = shop.try_order(("MUG", 3), key="k")

    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"


def test_a_key_belongs_to_its_account(shop: Shop, make_shop: MakeShop) -> None:
    other = make_shop()
    for one in (shop, other):
        one.product("MUG")

    assert shop.try_order(("MUG", 1), key="k").status_code == 201
    answer = other.try_order(("MUG", 1), key="k")

    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers


def test_a_refusal_is_not_remembered(shop: Shop) -> None:
    product = shop.product("MUG", stock=0)
    assert shop.try_order(("MUG", 1), key="k").status_code == 409

    shop.api.put(f"/api/v1/products/{product['id']}/stock", {"on_hand": 5})

    assert shop.try_order(("MUG", 1), key="k").status_code == 201


def test_a_key_is_forgotten_after_a_day(shop: Shop) -> None:
    shop.product("MUG")
    first = shop.try_order(("MUG", 1), key="k")
    IdempotencyKey.objects.update(created_at=Now() - timedelta(hours=24, seconds=1))

    second = shop.try_order(("MUG", 1), key="k")
    third = shop.try_order(("MUG", 1), key="k")

    assert first.json()["id"] != second.json()["id"]
    assert third.content == second.content
    assert IdempotencyKey.objects.count() == 1


def test_a_key_in_flight_is_409_at_once(shop: Shop) -> None:
    shop.product("MUG")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            take_lock(Retryable(shop.api.account.id, "k", ""))
            held.set()
            done.wait(10)

    with background(hold):
        held.wait(10)
        answer = shop.try_order(("MUG", 1), key="k")
        other = shop.try_order(("MUG", 1), key="other")
        done.set()

    assert answer.status_code == 409
    assert answer.json()["code"] == "request_in_flight"
    assert other.status_code == 201
    assert shop.try_order(("MUG", 1), key="k").status_code == 201


def test_simultaneous_retries_place_one_order(shop: Shop) -> None:
    shop.product("MUG", stock=100)

    answers = concurrently(20, lambda _: shop.try_order(("MUG", 1), key="k"))

    placed = {answer.content for answer in answers if answer.status_code == 201}
    refused = [answer.json()["code"] for answer in answers if answer.status_code != 201]
    assert len(placed) == 1
    assert set(refused) <= {"request_in_flight"}
    assert Order.objects.count() == 1
    assert stock("MUG") == (100, 1)
    assert event_types() == ["order.created"]


def test_a_lock_that_is_held_too_long_is_503(shop: Shop) -> None:
    shop.product("MUG")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT FROM orders_stock FOR UPDATE")
            held.set()
            done.wait(10)

    with background(hold):
        held.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        answer = shop.try_order(("MUG", 1), key="k")
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        done.set()

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert shop.try_order(("MUG", 1), key="k").status_code == 201
