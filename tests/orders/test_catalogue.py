"""Storefronts and products: made, found, changed, counted."""

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from apps.orders.models import Product, Stock, StockMovement
from tests.orders.conftest import BASE, MakeShop, Shop, assert_ledger_agrees, movements, stock
from tests.support.currencies import NO_CURRENCY

pytestmark = pytest.mark.django_db

MUG: dict[str, Any] = {"name": "Mug", "price": 1250, "currency": "EUR"}


def test_a_storefront_can_be_read_and_changed(shop: Shop) -> None:
    path = f"{BASE}/storefronts/{shop.storefront['id']}"

    changed = shop.api.patch(path, {"name": "Shop", "reservation_minutes": 15})

    assert changed.status_code == 200
    assert changed.json() == shop.api.get(path).json()
    assert (changed.json()["name"], changed.json()["version"]) == ("Shop", 2)
    assert shop.api.get(f"{BASE}/storefronts").json()["results"] == [changed.json()]
    tag = changed.headers["ETag"]
    assert shop.api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert shop.api.patch(path, {"name": "X"}, headers={"If-Match": '"1"'}).status_code == 412
    assert shop.api.patch(path, {"name": "Shop"}).json()["version"] == 2


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"code": "a b"}, "/code"),
        ({"code": "a\n"}, None),
        ({"code": ""}, "/code"),
        ({"currency": "EURO"}, "/currency"),
        ({"currency": NO_CURRENCY}, "/currency"),
        ({"reservation_minutes": 0}, "/reservation_minutes"),
        ({"reservation_minutes": 10**12}, "/reservation_minutes"),
        ({"reservation_minutes": 1.5}, "/reservation_minutes"),
    ],
)
def test_a_storefront_that_makes_no_sense_is_400(
    shop: Shop, change: dict[str, Any], pointer: str | None
) -> None:
    body = {"code": "new", "name": "New", "currency": "EUR"} | change

    answer = shop.api.post(f"{BASE}/storefronts", body)

    if pointer is None:
        assert answer.status_code == 201
        assert answer.json()["code"] == "a"
    else:
        assert answer.status_code == 400
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def test_a_code_is_taken_once_per_account(shop: Shop, make_shop: MakeShop) -> None:
    again = shop.api.post(f"{BASE}/storefronts", {"code": "web", "name": "Web", "currency": "EUR"})

    assert again.status_code == 409
    assert again.json()["code"] == "code_taken"
    make_shop(code="web")


def test_the_code_of_a_storefront_stays(shop: Shop) -> None:
    answer = shop.api.patch(f"{BASE}/storefronts/{shop.storefront['id']}", {"code": "other"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "read_only"


def test_a_product_shows_its_stock(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    shop.order(("MUG", 3))

    found = shop.api.get(f"{BASE}/products/{mug['id']}").json()

    assert found["stock"] == {"on_hand": 10, "reserved": 3, "available": 7}
    assert (found["active"], found["low_stock_threshold"]) == (True, None)


def test_the_tag_of_a_product_follows_its_stock_but_guards_only_what_clients_write(
    shop: Shop,
) -> None:
    mug = shop.product("MUG")
    path = f"{BASE}/products/{mug['id']}"
    tag = shop.api.get(path).headers["ETag"]
    assert shop.api.get(path, headers={"If-None-Match": tag}).status_code == 304

    shop.order(("MUG", 1))

    assert shop.api.get(path, headers={"If-None-Match": tag}).status_code == 200
    assert shop.api.patch(path, {"price": 5}, headers={"If-Match": tag}).status_code == 200
    assert shop.api.patch(path, {"price": 6}, headers={"If-Match": tag}).status_code == 412


def test_a_sku_is_taken_once_per_account(shop: Shop, make_shop: MakeShop) -> None:
    shop.product("MUG")

    again = shop.api.post(f"{BASE}/products", MUG | {"sku": "MUG"})

    assert again.status_code == 409
    assert again.json()["code"] == "sku_taken"
    make_shop().product("MUG")


def test_products_are_found_by_start_of_sku_words_and_filters(shop: Shop) -> None:
    shop.product("MUG-BLUE", name="Blue mug")
    shop.product("MUG-RED", name="Red mug", active=False)
    shop.product("100%_TEA", name="Earl Grey", currency="GBP")

    def skus(**query: Any) -> list[str]:
        rows = shop.api.get(f"{BASE}/products", **query).json()["results"]
        return [row["sku"] for row in rows]

    assert skus() == ["100%_TEA", "MUG-RED", "MUG-BLUE"]
    assert skus(q="MUG-") == ["MUG-RED", "MUG-BLUE"]
    assert skus(q="earl") == ["100%_TEA"]
    assert skus(q="%") == []
    assert skus(q="100%_") == ["100%_TEA"]
    assert skus(sku="MUG-RED") == ["MUG-RED"]
    assert skus(active="true", q="mug") == ["MUG-BLUE"]
    assert skus(currency="GBP") == ["100%_TEA"]
    assert skus(limit=1) == ["100%_TEA"]


@pytest.mark.parametrize(
    ("q", "is_found"),
    [
        ("Blue", True),
        ("mug blu", True),
        ("GRÖß", True),
        ("x'y\\z:* & |", True),
        ("mug-blue/x'y\\", True),
        ("blue red", False),
        ("lue", False),
        ("!", False),
        ("' | 'blue", True),
        ("@", False),
        ("=mug", True),
        ("ø 😀", False),
    ],
)
def test_a_search_takes_words_and_signs_as_they_are(
    shop: Shop, make_shop: MakeShop, q: str, is_found: bool
) -> None:
    shop.product("MUG-BLUE/X'Y\\Z:*", name="Größe L, 3.5 dl")
    shop.product("TEA", name="Green tea")
    make_shop().product("MUG-BLUE", name="Größe XYZ")

    rows = shop.api.get(f"{BASE}/products", q=q).json()["results"]

    assert [row["sku"] for row in rows] == ["MUG-BLUE/X'Y\\Z:*"] * is_found


def test_put_by_sku_makes_then_replaces(shop: Shop) -> None:
    path = f"{BASE}/products/by-sku/A/B 1"

    made = shop.api.put(path, MUG | {"stock": 5, "low_stock_threshold": 2})
    replaced = shop.api.put(path, MUG | {"price": 1})
    counted = shop.api.put(path, MUG | {"price": 1, "stock": 3})
    same = shop.api.put(path, MUG | {"price": 1, "stock": 3})

    assert (made.status_code, replaced.status_code) == (201, 200)
    assert made.json()["sku"] == "A/B 1"
    assert made.json()["id"] == replaced.json()["id"]
    assert replaced.json()["price"] == 1
    assert replaced.json()["low_stock_threshold"] is None
    assert replaced.json()["stock"]["on_hand"] == 5
    assert counted.json()["stock"]["on_hand"] == 3
    assert same.json() == counted.json()
    assert movements("A/B 1") == [("received", 5, 0), ("adjusted", -2, 0)]


def test_put_by_sku_takes_back_what_get_shows(shop: Shop) -> None:
    mug = shop.product("MUG", low_stock_threshold=3)

    answer = shop.api.put(f"{BASE}/products/by-sku/MUG", mug)
    renamed = shop.api.put(f"{BASE}/products/by-sku/CUP", mug)

    assert answer.status_code == 200, answer.content
    assert answer.json() == mug
    assert renamed.status_code == 400


def test_put_by_sku_with_if_match_makes_nothing(shop: Shop) -> None:
    answer = shop.api.put(f"{BASE}/products/by-sku/MUG", MUG, headers={"If-Match": '"1"'})

    assert answer.status_code == 412
    assert not Product.objects.exists()


@pytest.mark.parametrize("sku", ["%00", "a%00b", "x" * 101, "%20", "%FF%FE"])
def test_a_sku_that_cannot_be_is_400_or_harmless(shop: Shop, sku: str) -> None:
    answer = shop.api.put(f"{BASE}/products/by-sku/{sku}", MUG)

    assert answer.status_code in (201, 400, 404)


def test_stock_is_adjusted_and_counted_with_a_ledger(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    path = f"{BASE}/products/{mug['id']}"
    shop.order(("MUG", 4))

    received = shop.api.post(f"{path}/stock-adjustments", {"delta": 5, "reason": "delivery"})
    broken = shop.api.post(f"{path}/stock-adjustments", {"delta": -3, "reason": "broken"})
    counted = shop.api.put(f"{path}/stock", {"on_hand": 8})
    same = shop.api.put(f"{path}/stock", {"on_hand": 8})

    assert received.status_code == broken.status_code == 201
    assert received.json()["stock"] == {"on_hand": 15, "reserved": 4, "available": 11}
    assert counted.status_code == 200
    assert counted.json()["stock"] == {"on_hand": 8, "reserved": 4, "available": 4}
    assert same.json()["version"] == counted.json()["version"]
    ledger = shop.api.get(f"{path}/stock-movements").json()["results"]
    assert [(row["kind"], row["on_hand"], row["reserved"], row["reason"]) for row in ledger] == [
        ("adjusted", -4, 0, "counted"),
        ("adjusted", -3, 0, "broken"),
        ("received", 5, 0, "delivery"),
        ("reserved", 0, 4, ""),
        ("received", 10, 0, "first stock"),
    ]
    assert_ledger_agrees()


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("stock-adjustments", {"delta": -7, "reason": "broken"}),
        ("stock", {"on_hand": 3}),
    ],
)
def test_stock_stays_at_what_orders_hold(shop: Shop, call: str, body: dict[str, Any]) -> None:
    mug = shop.product("MUG", stock=10)
    shop.order(("MUG", 4))
    method = "POST" if call == "stock-adjustments" else "PUT"

    answer = shop.api.request(method, f"{BASE}/products/{mug['id']}/{call}", body)

    assert answer.status_code == 409
    assert answer.json()["code"] == "stock_reserved"
    assert stock("MUG") == (10, 4)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"delta": 0, "reason": "x"}, "/delta"),
        ({"delta": 10**9 - 5, "reason": "x"}, "/delta"),
        ({"delta": 1.0, "reason": "x"}, "/delta"),
        ({"delta": 1}, "/reason"),
        ({"delta": 1, "reason": ""}, "/reason"),
        ({"delta": 1, "reason": "x" * 201}, "/reason"),
    ],
)
def test_an_adjustment_that_makes_no_sense_is_400(
    shop: Shop, body: dict[str, Any], pointer: str
) -> None:
    mug = shop.product("MUG", stock=10)

    answer = shop.api.post(f"{BASE}/products/{mug['id']}/stock-adjustments", body)

    assert answer.status_code == 400
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def test_counting_respects_if_match(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    path = f"{BASE}/products/{mug['id']}"
    tag = shop.api.get(path).headers["ETag"]
    shop.api.post(f"{path}/stock-adjustments", {"delta": 1, "reason": "found"})

    answer = shop.api.put(f"{path}/stock", {"on_hand": 10}, headers={"If-Match": tag})

    assert answer.status_code == 412
    assert stock("MUG") == (11, 0)


def test_an_adjustment_can_be_retried(shop: Shop) -> None:
    path = f"{BASE}/products/{shop.product('MUG')['id']}/stock-adjustments"
    body = {"delta": 5, "reason": "delivery"}

    first = shop.api.post(path, body, idempotency_key="k")
    second = shop.api.post(path, body, idempotency_key="k")

    assert second.content == first.content
    assert stock("MUG") == (15, 0)


def test_the_database_refuses_what_services_never_do(shop: Shop) -> None:
    shop.product("MUG", stock=10)

    for values in ({"reserved": 11}, {"reserved": -1}, {"on_hand": -1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Stock.objects.update(**values)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        StockMovement.objects.update(on_hand=5)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        StockMovement.objects.all()._raw_delete("default")
    with pytest.raises(IntegrityError), transaction.atomic():
        StockMovement.objects.create(
            product=Product.objects.get(), kind="released", on_hand=0, reserved=1, actor={}
        )
