"""Orders of products that this process remembers: as the products are, not as they were."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import connection

from apps.common.ids import uuid7_bounds
from apps.common.money import MAX_AMOUNT
from apps.events.models import Event
from apps.orders.models import Order, OrderChange, Product
from apps.orders.services import remembered
from tests.orders.conftest import BASE, MakeShop, Shop, stock

pytestmark = pytest.mark.django_db


@pytest.fixture
def known(shop: Shop) -> Shop:
    """A shop whose product has been ordered once."""
    shop.product("MUG", price=1000)
    shop.order(("MUG", 1))
    return shop


def test_a_new_price_and_name_hold_at_once(known: Shop) -> None:
    Product.objects.update(price=2000, name="Large mug")  # as another process would

    order = known.order(("MUG", 2))

    assert order["total"] == 4000
    assert order["items"][0]["name"] == "Large mug"


def test_a_product_off_sale_is_refused_and_back_on_sale_is_sold(known: Shop) -> None:
    Product.objects.update(is_active=False)
    refused = known.try_order(("MUG", 1))
    Product.objects.update(is_active=True)

    assert refused.json()["errors"][0]["code"] == "inactive_product"
    known.order(("MUG", 1))
    assert stock("MUG") == (10, 2)


def test_a_total_too_large_at_yesterdays_price_is_none(known: Shop) -> None:
    Product.objects.update(price=MAX_AMOUNT)
    refused = known.try_order(("MUG", 2))
    Product.objects.update(price=5)

    assert refused.json()["errors"][0]["code"] == "total_too_large"
    assert known.order(("MUG", 2))["total"] == 10


def test_new_reservation_minutes_hold_at_once(known: Shop) -> None:
    path = f"{BASE}/storefronts/{known.storefront['id']}"
    ends: list[Any] = []

    for minutes in (15, None, 15):
        known.api.patch(path, {"reservation_minutes": minutes})
        ends.append(known.order(("MUG", 1))["reservation_expires_at"])

    assert ends[1] is None
    assert ends[0] < ends[2]


def test_a_known_sku_of_another_account_is_not_sold(known: Shop, make_shop: MakeShop) -> None:
    other = make_shop()

    refused = other.try_order(("MUG", 1))

    assert refused.json()["errors"][0]["code"] == "unknown_sku"


def test_an_unknown_sku_beside_a_known_one_is_looked_for(known: Shop) -> None:
    assert known.try_order(("MUG", 1), ("TEA", 1)).status_code == 400
    known.product("TEA")

    assert len(known.order(("MUG", 1), ("TEA", 1))["items"]) == 2


def test_what_was_given_by_the_database_is_told_the_same_everywhere(known: Shop) -> None:
    """In the answer, in what is stored, in the event and in the answer to a retry."""
    known.api.patch(f"{BASE}/storefronts/{known.storefront['id']}", {"reservation_minutes": 15})
    known.order(("MUG", 1))

    answer = known.try_order(("MUG", 1), key="k")
    again = known.try_order(("MUG", 1), key="k")

    order = answer.json()
    event = Event.objects.get(subject=order["id"])
    told = orjson.loads(bytes(event.payload))
    stored = Order.objects.get(pk=order["id"])
    change = OrderChange.objects.get(order=stored)
    least, most = uuid7_bounds(stored.created_at)
    assert known.read(order) == order
    assert told["data"]["object"].items() <= order.items()
    assert told["timestamp"] == order["created_at"] == order["updated_at"]
    assert event.occurred_at == stored.created_at == stored.updated_at == change.at
    assert stored.reservation_expires_at == stored.created_at + timedelta(minutes=15)
    assert least < UUID(order["id"]) < most
    assert least < change.pk < most
    assert change.pk != stored.pk
    assert again.content == answer.content
    assert again.headers["Location"] == answer.headers["Location"] == f"{BASE}/orders/{stored.pk}"


def test_a_product_that_is_gone_is_unknown_and_is_sold_once_it_is_made_anew(known: Shop) -> None:
    """As after a failover to a standby that had not heard of it yet, which no process is told of."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # the ledger refuses it
        for table in ("orders_stockmovement", "orders_stock", "orders_product"):
            cursor.execute(f"DELETE FROM {table}")

    refused = known.try_order(("MUG", 1))
    known.product("MUG", price=1)

    assert refused.json()["errors"][0]["code"] == "unknown_sku"
    assert known.order(("MUG", 2))["total"] == 2


def test_a_full_memory_begins_anew(known: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LIMIT", 4)

    for number in range(5):
        known.product(f"SKU-{number}")
        known.order((f"SKU-{number}", 1))
        assert len(remembered._storefronts) + len(remembered._products) <= 4

    known.order(("MUG", 1))
    assert stock("MUG") == (10, 2)


def test_storefronts_fill_the_memory_as_products_do(
    known: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with orders of a product that there is not."""
    monkeypatch.setattr(remembered, "LIMIT", 4)

    for number in range(5):
        other = Shop(known.api, code=f"shop-{number}")
        assert other.try_order(("NONE", 1)).status_code == 400
        assert len(remembered._storefronts) + len(remembered._products) <= 4
