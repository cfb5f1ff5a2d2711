"""POST /orders: what is answered, what is written, what is refused."""

from typing import Any

import pytest

from apps.orders.models import Order, StockMovement
from tests.orders.conftest import BASE, MakeShop, Shop, event_types, movements, stock

pytestmark = pytest.mark.django_db


def test_an_order_is_answered_as_the_contract_says(shop: Shop) -> None:
    shop.product("MUG", price=1250)
    shop.product("TEA", price=400)

    answer = shop.try_order(
        ("MUG", 2),
        ("TEA", 1),
        external_id="web-1",
        shipping_address={"name": "Ada", "line1": "1 Street", "country": "GB"},
        metadata={"gift": True},
    )

    assert answer.status_code == 201
    order = answer.json()
    assert order["status"] == "pending"
    assert order["storefront"] == "web"
    assert order["external_id"] == "web-1"
    assert order["customer_id"] == "customer-1"
    assert (order["currency"], order["total"], order["version"]) == ("EUR", 2900, 1)
    assert [
        (item["sku"], item["quantity"], item["unit_price"], item["total"])
        for item in order["items"]
    ] == [("MUG", 2, 1250, 2500), ("TEA", 1, 400, 400)]
    assert order["shipping_address"] == {"name": "Ada", "line1": "1 Street", "country": "GB"}
    assert order["metadata"] == {"gift": True}
    assert order["reservation_expires_at"] is None
    assert answer.headers["Location"] == f"{BASE}/orders/{order['id']}"
    assert shop.api.get(answer.headers["Location"]).json() == order


def test_placing_reserves_stock_and_leaves_a_ledger_a_history_and_an_event(shop: Shop) -> None:
    shop.product("MUG", stock=10)

    order = shop.order(("MUG", 3))

    assert stock("MUG") == (10, 3)
    assert movements("MUG") == [("received", 10, 0), ("reserved", 0, 3)]
    assert event_types(order["id"]) == ["order.created"]
    (created,) = shop.history(order)
    assert created["type"] == "order.created"
    assert created["actor"]["label"] == shop.api.key.prefix
    assert created["changes"]["status"] == [None, "pending"]
    assert created["at"] == order["created_at"]


def test_numbers_increase(shop: Shop) -> None:
    shop.product("MUG")

    assert shop.order()["number"] < shop.order()["number"]


def test_an_order_of_what_is_not_known_yet_draws_one_number(shop: Shop) -> None:
    for sku in ("MUG", "CUP"):
        shop.product(sku)
    mug, cup = (shop.order((sku, 1)) for sku in ("MUG", "CUP"))

    assert cup["number"] == mug["number"] + 1


def test_lines_of_one_sku_are_summed(shop: Shop) -> None:
    shop.product("MUG", stock=10)

    order = shop.order(("MUG", 2), ("MUG", 3))

    assert [(item["sku"], item["quantity"]) for item in order["items"]] == [("MUG", 5)]
    assert stock("MUG") == (10, 5)


def test_a_shortage_names_each_short_item_and_reserves_nothing(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    shop.product("TEA", stock=2)
    shop.product("CUP", stock=4)

    answer = shop.try_order(("MUG", 1), ("TEA", 2), ("CUP", 5), ("TEA", 1))

    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "insufficient_stock"
    assert [
        {name: fault[name] for name in ("pointer", "code", "sku", "requested", "available")}
        for fault in problem["errors"]
    ] == [
        {
            "pointer": "/items/1",
            "code": "insufficient_stock",
            "sku": "TEA",
            "requested": 3,
            "available": 2,
        },
        {
            "pointer": "/items/2",
            "code": "insufficient_stock",
            "sku": "CUP",
            "requested": 5,
            "available": 4,
        },
    ]
    assert stock("MUG") == (10, 0)
    assert stock("TEA") == (2, 0)
    assert not Order.objects.exists()
    assert not StockMovement.objects.filter(kind="reserved").exists()
    assert event_types() == []


def test_an_external_id_is_unique_in_its_storefront(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    shop.order(external_id="a-1")
    Shop(shop.api, "till")

    again = shop.try_order(("MUG", 1), external_id="a-1")
    elsewhere = shop.try_order(("MUG", 1), external_id="a-1", storefront="till")

    assert again.status_code == 409
    assert again.json()["code"] == "external_id_taken"
    assert elsewhere.status_code == 201
    assert stock("MUG") == (10, 2)


def test_the_external_id_of_a_deleted_order_is_free_again(shop: Shop) -> None:
    shop.product("MUG")
    shop.delete(shop.order(external_id="a-1"))

    assert shop.try_order(("MUG", 1), external_id="a-1").status_code == 201


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"items": [{"sku": "NONE", "quantity": 1}]}, "/items/0/sku", "unknown_sku"),
        ({"items": [{"sku": "YEN", "quantity": 1}]}, "/items/0/sku", "wrong_currency"),
        ({"items": [{"sku": "OLD", "quantity": 1}]}, "/items/0/sku", "inactive_product"),
        ({"items": [{"sku": "MUG", "quantity": 0}]}, "/items/0/quantity", "min_value"),
        ({"items": [{"sku": "MUG", "quantity": "1"}]}, "/items/0/quantity", "invalid"),
        ({"items": [{"sku": "MUG", "quantity": True}]}, "/items/0/quantity", "invalid"),
        ({"items": [{"sku": "MUG", "quantity": 10**7}]}, "/items/0/quantity", "max_value"),
        ({"items": [{"sku": "MUG"}]}, "/items/0/quantity", "required"),
        ({"items": [{"sku": "MUG", "quantity": 1, "price": 1}]}, "/items/0/price", "unknown_field"),
        ({"items": [{"sku": "GOLD", "quantity": 10**6}]}, "/items", "total_too_large"),
        ({"items": []}, "/items", "min_length"),
        ({"items": [None]}, "/items/0", "null"),
        ({"items": {"sku": "MUG"}}, "/items", "not_a_list"),
        ({"storefront": "nowhere"}, "/storefront", "unknown_storefront"),
        ({"storefront": 5}, "/storefront", "invalid"),
        ({"customer_id": ""}, "/customer_id", "blank"),
        ({"customer_id": "x" * 101}, "/customer_id", "max_length"),
        ({"status": "shipped"}, "/status", "unknown_field"),
        ({"shipping_address": {"planet": "Mars"}}, "/shipping_address/planet", "unknown_field"),
        ({"shipping_address": {"country": "Germany"}}, "/shipping_address/country", None),
        ({"shipping_address": "Mars"}, "/shipping_address", "invalid"),
        ({"metadata": []}, "/metadata", "not_a_dict"),
        ({"metadata": {"x": "y" * 20_000}}, "/metadata", "too_large"),
        ({"metadata": {"x": [1e300]}}, "/metadata", "number_too_large"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    shop: Shop, change: dict[str, Any], pointer: str, code: str | None
) -> None:
    shop.product("MUG")
    shop.product("YEN", currency="JPY")
    shop.product("OLD", active=False)
    shop.product("GOLD", price=10**15 - 1)

    answer = shop.api.post(f"{BASE}/orders", shop.body(("MUG", 1)) | change)

    assert answer.status_code == 400, answer.content
    faults = {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}
    assert pointer in faults, faults
    assert code is None or faults[pointer] == code
    assert stock("MUG") == (10, 0)


def test_prices_are_copied(shop: Shop) -> None:
    mug = shop.product("MUG", price=1000)
    order = shop.order()

    shop.api.patch(f"{BASE}/products/{mug['id']}", {"price": 5000, "name": "New"})

    (item,) = shop.api.get(f"{BASE}/orders/{order['id']}").json()["items"]
    assert (item["unit_price"], item["name"]) == (1000, "Mug")


def test_a_storefront_with_reservation_minutes_gives_the_reservation_an_end(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(reservation_minutes=30)
    shop.product("MUG")

    order = shop.order()

    stored = Order.objects.get(pk=order["id"])
    assert stored.reservation_expires_at is not None
    assert (stored.reservation_expires_at - stored.created_at).total_seconds() == 1800


def test_another_accounts_products_and_storefronts_are_unknown(
    shop: Shop, make_shop: MakeShop
) -> None:
    make_shop(code="theirs").product("THEIRS")
    shop.product("MUG")

    sku = shop.try_order(("THEIRS", 1))
    storefront = shop.try_order(("MUG", 1), storefront="theirs")

    assert sku.json()["errors"][0]["code"] == "unknown_sku"
    assert storefront.json()["errors"][0]["code"] == "unknown_storefront"


def test_metadata_comes_back_as_it_was_sent(shop: Shop) -> None:
    shop.product("MUG")
    metadata = {"a": [1, 2.5, None, True, {"b": "ü"}], "big": 2**63 - 1, "small": 1e-300, "": ""}

    order = shop.order(metadata=metadata)

    assert shop.api.get(f"{BASE}/orders/{order['id']}").json()["metadata"] == metadata
