"""PATCH and DELETE /orders/{id}, restoring, and what each leaves behind."""

from typing import Any

import pytest

from apps.common.actor import Actor, ActorKind
from apps.common.errors import NotFound
from apps.events.models import Event
from apps.orders.enums import OrderStatus
from apps.orders.errors import ExternalIdTaken, InsufficientStock
from apps.orders.models import Order
from apps.orders.services.orders import restore_order
from apps.orders.states import TRANSITIONS
from tests.orders.conftest import (
    BASE,
    MakeShop,
    Shop,
    assert_ledger_agrees,
    event_types,
    movements,
    stock,
)

pytestmark = pytest.mark.django_db

OPERATOR = Actor(kind=ActorKind.USER, id="1", label="operator")

# How to get a fresh order into each state.
WAYS: dict[str, tuple[str, ...]] = {
    "pending": (),
    "confirmed": ("confirmed",),
    "shipped": ("confirmed", "shipped"),
    "completed": ("confirmed", "shipped", "completed"),
    "canceled": ("canceled",),
    "returned": ("confirmed", "shipped", "returned"),
}
ALLOWED = {(step.source.value, step.target.value) for step in TRANSITIONS} - {
    ("pending", "expired")  # by itself, not on request
}


@pytest.mark.parametrize("source", WAYS)
@pytest.mark.parametrize("target", OrderStatus.values)
def test_the_state_machine_allows_what_its_table_says(shop: Shop, source: str, target: str) -> None:
    shop.product("MUG")
    order = shop.advance(shop.order(("MUG", 2)), *WAYS[source])
    told = len(event_types(order["id"]))

    answer = shop.try_change(order, status=target)

    if source == target:
        assert answer.status_code == 200
        assert answer.json() == order
        assert len(event_types(order["id"])) == told
    elif (source, target) in ALLOWED:
        assert answer.status_code == 200
        assert answer.json()["status"] == target
        assert answer.json()["version"] == order["version"] + 1
        assert event_types(order["id"])[told:] == [f"order.{target}"]
    else:
        assert answer.status_code == 409
        assert answer.json()["code"] == "invalid_transition"
        assert len(event_types(order["id"])) == told
    assert_ledger_agrees()


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (("confirmed",), (10, 4)),
        (("canceled",), (10, 0)),
        (("confirmed", "canceled"), (10, 0)),
        (("confirmed", "shipped"), (6, 0)),
        (("confirmed", "shipped", "completed"), (6, 0)),
        (("confirmed", "shipped", "returned"), (10, 0)),
        (("confirmed", "shipped", "completed", "returned"), (10, 0)),
    ],
)
def test_stock_follows_the_status(
    shop: Shop, way: tuple[str, ...], expected: tuple[int, int]
) -> None:
    shop.product("MUG", stock=10)

    shop.advance(shop.order(("MUG", 4)), *way)

    assert stock("MUG") == expected
    assert_ledger_agrees()


def test_tracking_is_kept_as_sent_and_told_with_the_step(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.advance(shop.order(), "confirmed")

    shipped = shop.change(
        order,
        status="shipped",
        tracking_company="DHL",
        tracking_number=" 00340 434 ",
        tracking_link="https://dhl.example/track?id=1",
    )

    assert shipped["tracking_number"] == " 00340 434 "
    assert event_types(order["id"])[-1] == "order.shipped"
    *_, last = shop.history(order)
    assert last["changes"]["status"] == ["confirmed", "shipped"]
    assert last["changes"]["tracking_company"] == [None, "DHL"]


@pytest.mark.parametrize(
    "link",
    ["ftp://x.example/1", "javascript:alert(1)", "dhl.example", "http://", 5, "https://a b.c/"],
)
def test_a_tracking_link_is_http(shop: Shop, link: Any) -> None:
    shop.product("MUG")

    answer = shop.try_change(shop.order(), tracking_link=link)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/tracking_link"


def test_items_change_and_stock_with_them(shop: Shop) -> None:
    for sku in ("A", "B", "C"):
        shop.product(sku, stock=10, price=100)
    order = shop.order(("A", 3), ("B", 3))
    kept = order["items"][0]["id"]

    changed = shop.change(order, items=[{"sku": "A", "quantity": 5}, {"sku": "C", "quantity": 2}])

    assert [(item["sku"], item["quantity"]) for item in changed["items"]] == [("A", 5), ("C", 2)]
    assert changed["items"][0]["id"] == kept
    assert changed["total"] == 700
    assert [stock(sku) for sku in ("A", "B", "C")] == [(10, 5), (10, 0), (10, 2)]
    assert movements("B")[-1] == ("released", 0, -3)
    assert event_types(order["id"])[-1] == "order.updated"
    old, new = shop.history(order)[-1]["changes"]["items"]
    assert (old, new) == (order["items"], changed["items"])
    assert shop.api.get(f"{BASE}/orders/{order['id']}").json() == changed


def test_a_sku_that_stays_keeps_its_price_even_when_it_is_off_sale(shop: Shop) -> None:
    mug = shop.product("MUG", price=100)
    order = shop.order(("MUG", 1))
    shop.api.patch(f"{BASE}/products/{mug['id']}", {"price": 999, "active": False})

    changed = shop.change(order, items=[{"sku": "MUG", "quantity": 2}])

    assert changed["total"] == 200


def test_items_that_are_short_change_nothing(shop: Shop) -> None:
    shop.product("A", stock=10)
    shop.product("B", stock=5)
    order = shop.order(("A", 3), ("B", 3))

    answer = shop.try_change(
        order, items=[{"sku": "A", "quantity": 4}, {"sku": "B", "quantity": 6}]
    )

    assert answer.status_code == 409
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], fault["requested"], fault["available"]) == ("/items/1", 6, 5)
    assert (stock("A"), stock("B")) == ((10, 3), (5, 3))
    assert shop.api.get(f"{BASE}/orders/{order['id']}").json() == order


@pytest.mark.parametrize("state", ["shipped", "completed", "canceled", "returned"])
def test_items_are_fixed_later(shop: Shop, state: str) -> None:
    shop.product("MUG")
    order = shop.advance(shop.order(), *WAYS[state])

    answer = shop.try_change(order, items=[{"sku": "MUG", "quantity": 2}])

    assert answer.status_code == 409
    assert answer.json()["code"] == "order_not_editable"


def test_items_and_a_step_are_one_change_with_one_event(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 1)), "confirmed")

    shipped = shop.change(order, items=[{"sku": "MUG", "quantity": 3}], status="shipped")

    assert shipped["version"] == order["version"] + 1
    assert event_types(order["id"]) == ["order.created", "order.confirmed", "order.shipped"]
    assert stock("MUG") == (7, 0)
    assert_ledger_agrees()


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"items": [{"sku": "NONE", "quantity": 1}]}, "/items/0/sku", "unknown_sku"),
        ({"items": [{"sku": "MUG"}]}, "/items/0/quantity", "required"),
        ({"items": []}, "/items", "min_length"),
        ({"items": None}, "/items", "null"),
        ({"status": "sold"}, "/status", "invalid_choice"),
        ({"status": None}, "/status", "null"),
        ({"number": 7}, "/number", "read_only"),
        ({"external_id": "x"}, "/external_id", "read_only"),
        ({"colour": "red"}, "/colour", "unknown_field"),
        ({"metadata": None}, "/metadata", "null"),
        ({"tracking_number": ""}, "/tracking_number", "blank"),
        ({"shipping_address": {"zip": "1"}}, "/shipping_address/zip", "unknown_field"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    shop: Shop, change: dict[str, Any], pointer: str, code: str
) -> None:
    shop.product("MUG")

    answer = shop.try_change(shop.order(), **change)

    assert answer.status_code == 400, answer.content
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [
        (pointer, code)
    ]


def test_what_get_shows_can_be_sent_back(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order(
        external_id="x", metadata={"a": 1}, shipping_address={"city": "Rome", "country": "IT"}
    )

    answer = shop.try_change(order, **order)

    assert answer.status_code == 200, answer.content
    assert answer.json() == order
    assert event_types(order["id"]) == ["order.created"]


def test_if_match_guards_a_change(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order()
    tag = shop.api.get(f"{BASE}/orders/{order['id']}").headers["ETag"]

    fresh = shop.try_change(order, headers={"If-Match": tag}, metadata={"a": 1})
    stale = shop.try_change(order, headers={"If-Match": tag}, metadata={"a": 2})
    gone = shop.api.delete(f"{BASE}/orders/{order['id']}", headers={"If-Match": tag})

    assert (fresh.status_code, stale.status_code, gone.status_code) == (200, 412, 412)
    assert stale.json()["code"] == "stale_version"


def test_a_get_that_is_current_is_304(shop: Shop) -> None:
    shop.product("MUG")
    path = f"{BASE}/orders/{shop.order()['id']}"
    tag = shop.api.get(path).headers["ETag"]

    assert shop.api.get(path, headers={"If-None-Match": tag}).status_code == 304
    shop.api.patch(path, {"metadata": {"a": 1}})
    assert shop.api.get(path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("pending", (10, 0)),
        ("confirmed", (10, 0)),
        ("shipped", (7, 0)),
        ("completed", (7, 0)),
        ("canceled", (10, 0)),
        ("returned", (10, 0)),
    ],
)
def test_deleting_releases_what_is_still_held(
    shop: Shop, state: str, expected: tuple[int, int]
) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), *WAYS[state])

    assert shop.delete(order).status_code == 204

    path = f"{BASE}/orders/{order['id']}"
    assert stock("MUG") == expected
    assert shop.api.get(path).status_code == 404
    assert shop.api.get(f"{path}/history").status_code == 404
    assert shop.try_change(order, status="confirmed").status_code == 404
    assert shop.api.get(f"{BASE}/orders").json()["results"] == []
    assert shop.delete(order).status_code == 404
    assert event_types(order["id"])[-1] == "order.deleted"
    assert_ledger_agrees()


@pytest.mark.parametrize("state", WAYS)
def test_restoring_brings_an_order_back_as_it_was(make_shop: MakeShop, state: str) -> None:
    shop = make_shop(reservation_minutes=5)
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), *WAYS[state])
    before = stock("MUG")
    shop.delete(order)

    restore_order(order_id=order["id"], actor=OPERATOR)

    restored = shop.api.get(f"{BASE}/orders/{order['id']}").json()
    assert restored["status"] == state
    assert restored["items"] == order["items"]
    assert (restored["reservation_expires_at"] is None) == (state != "pending")
    assert stock("MUG") == before
    assert event_types(order["id"])[-1] == "order.updated"
    last = shop.history(order)[-1]
    assert last["actor"]["label"] == "operator"
    assert_ledger_agrees()


def test_restoring_is_refused_when_the_stock_is_gone(shop: Shop) -> None:
    shop.product("MUG", stock=3)
    order = shop.order(("MUG", 3))
    shop.delete(order)
    shop.order(("MUG", 1))

    with pytest.raises(InsufficientStock):
        restore_order(order_id=order["id"], actor=OPERATOR)

    assert stock("MUG") == (3, 1)
    assert Order.objects.get(pk=order["id"]).deleted_at is not None


def test_restoring_is_refused_when_the_external_id_is_used_again(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order(external_id="x")
    shop.delete(order)
    shop.order(external_id="x")

    with pytest.raises(ExternalIdTaken):
        restore_order(order_id=order["id"], actor=OPERATOR)


def test_restoring_what_is_not_deleted_is_refused(shop: Shop) -> None:
    shop.product("MUG")

    with pytest.raises(NotFound):
        restore_order(order_id=shop.order()["id"], actor=OPERATOR)


def test_history_tells_everything_from_the_creation_on(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order(shipping_address={"city": "Rome"})
    shop.change(order, shipping_address={"city": "Pisa"})
    shop.advance(order, "confirmed", "canceled")

    rows = shop.history(order)

    assert [row["type"] for row in rows] == [
        "order.created",
        "order.updated",
        "order.confirmed",
        "order.canceled",
    ]
    assert [row["version"] for row in rows] == [1, 2, 3, 4]
    assert rows[1]["changes"] == {"shipping_address": [{"city": "Rome"}, {"city": "Pisa"}]}
    assert rows[2]["changes"] == {"status": ["pending", "confirmed"]}
    assert {row["actor"]["id"] for row in rows} == {str(shop.api.key.id)}


def test_no_event_tells_the_address_or_the_metadata(shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order(shipping_address={"city": "Secretville"}, metadata={"note": "classified"})
    shop.change(order, shipping_address={"city": "Secretburg"}, metadata={"note": "classified2"})
    shop.delete(order)

    told = b"".join(bytes(event.payload) for event in Event.objects.all())

    assert told
    for secret in (b"Secret", b"classified", b"shipping_address", b"metadata"):
        assert secret not in told
