"""Shipments and returns in parts."""

from typing import Any

import pytest

from apps.orders import enums
from apps.orders.models import Shipment
from apps.orders.services import fulfillment
from tests.orders.conftest import (
    BASE,
    Shop,
    assert_ledger_agrees,
    event_types,
    movements,
    stock,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def confirmed(shop: Shop) -> dict[str, Any]:
    """Three mugs and two teas, of ten each."""
    shop.product("MUG", stock=10)
    shop.product("TEA", stock=10)
    return shop.advance(shop.order(("MUG", 3), ("TEA", 2)), "confirmed")


def quantities(order: dict[str, Any], member: str) -> dict[str, int]:
    return {item["sku"]: item[member] for item in order["items"]}


def test_an_order_ships_in_parts(shop: Shop, confirmed: dict[str, Any]) -> None:
    assert confirmed["fulfillment"] == "none"
    assert confirmed["shipments"] == []

    part = shop.ship(confirmed, ("MUG", 2), tracking_company="DHL", tracking_number="1")

    assert (part["status"], part["fulfillment"]) == ("confirmed", "partial")
    assert part["version"] == confirmed["version"] + 1
    assert quantities(part, "shipped") == {"MUG": 2, "TEA": 0}
    assert (stock("MUG"), stock("TEA")) == ((8, 1), (10, 2))
    assert movements("MUG")[-1] == ("shipped", -2, -2)
    assert event_types(part["id"])[-1] == "order.updated"
    changes = shop.history(part)[-1]["changes"]
    assert changes["fulfillment"] == ["none", "partial"]
    assert changes["shipment"] == [None, part["shipments"][0]]

    whole = shop.ship(confirmed, ("MUG", 1), ("TEA", 2), tracking_number="2")

    assert (whole["status"], whole["fulfillment"]) == ("shipped", "full")
    assert [one["tracking_number"] for one in whole["shipments"]] == ["1", "2"]
    assert whole["shipments"][1]["items"] == [
        {"sku": "MUG", "quantity": 1},
        {"sku": "TEA", "quantity": 2},
    ]
    assert (whole["tracking_number"], whole["tracking_company"]) == ("2", None)
    assert (stock("MUG"), stock("TEA")) == ((7, 0), (8, 0))
    assert event_types(whole["id"])[-1] == "order.shipped"
    assert shop.read(confirmed) == whole
    assert_ledger_agrees()


def test_the_answer_is_tagged_and_the_shipments_are_listed(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    answer = shop.try_ship(confirmed, ("MUG", 1))
    shop.ship(confirmed, ("TEA", 1), tracking_link="https://dhl.example/2")
    path = f"{BASE}/orders/{confirmed['id']}"

    listed = shop.api.get(f"{path}/shipments").json()["results"]

    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
    assert listed == shop.read(confirmed)["shipments"][::-1]
    assert listed[0]["items"] == [{"sku": "TEA", "quantity": 1}]
    (found,) = shop.api.get(f"{BASE}/orders").json()["results"]
    assert found == shop.read(confirmed)


def test_without_items_all_that_is_left_is_shipped(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed, ("MUG", 1))

    whole = shop.ship(confirmed)

    assert whole["status"] == "shipped"
    assert whole["shipments"][1]["items"] == [
        {"sku": "MUG", "quantity": 2},
        {"sku": "TEA", "quantity": 2},
    ]


def test_patching_to_shipped_ships_the_rest_as_a_shipment(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.ship(confirmed, ("MUG", 3), tracking_company="DHL", tracking_number="1")

    whole = shop.change(confirmed, status="shipped", tracking_number="2")

    first, second = whole["shipments"]
    assert (first["tracking_company"], first["tracking_number"]) == ("DHL", "1")
    assert (second["tracking_company"], second["tracking_number"]) == (None, "2")
    assert second["items"] == [{"sku": "TEA", "quantity": 2}]
    assert event_types(whole["id"])[-2:] == ["order.updated", "order.shipped"]


def test_tracking_given_before_goes_with_the_first_shipment(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.change(confirmed, tracking_company="DHL")

    (shipment,) = shop.change(confirmed, status="shipped", tracking_number="7")["shipments"]

    assert (shipment["tracking_company"], shipment["tracking_number"]) == ("DHL", "7")


def test_tracking_that_comes_later_goes_to_the_newest_shipment(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.ship(confirmed, ("MUG", 3), tracking_number="1")
    shop.ship(confirmed)

    changed = shop.change(confirmed, tracking_number="2")

    assert [one["tracking_number"] for one in changed["shipments"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("body", "status", "pointer", "code"),
    [
        ({"items": []}, 400, "/items", "min_length"),
        ({"items": [{"sku": "MUG", "quantity": 0}]}, 400, "/items/0/quantity", "min_value"),
        ({"items": [{"sku": "NONE", "quantity": 1}]}, 400, "/items/0/sku", "not_in_order"),
        ({"items": [{"sku": "MUG", "quantity": 4}]}, 409, "/items/0", "more_than_left"),
        ({"items": [{"sku": "MUG", "quantity": 2}] * 2}, 409, "/items/0", "more_than_left"),
        ({"tracking_link": "ftp://x.example"}, 400, "/tracking_link", "invalid"),
        ({"status": "shipped"}, 400, "/status", "unknown_field"),
    ],
)
def test_a_shipment_that_is_wrong_ships_nothing(
    shop: Shop, confirmed: dict[str, Any], body: Any, status: int, pointer: str, code: str
) -> None:
    answer = shop.api.post(f"{BASE}/orders/{confirmed['id']}/shipments", body)

    assert answer.status_code == status, answer.content
    faults = [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]
    assert faults == [(pointer, code)]
    assert shop.read(confirmed) == confirmed
    assert stock("MUG") == (10, 3)


def test_too_much_is_told_with_what_is_left(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed, ("TEA", 1))

    answer = shop.try_ship(confirmed, ("MUG", 1), ("TEA", 2))

    assert answer.json()["code"] == "more_than_left"
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], fault["sku"]) == ("/items/1", "TEA")
    assert (fault["requested"], fault["left"]) == (2, 1)
    assert stock("MUG") == (10, 3)


@pytest.mark.parametrize(
    "way", [(), ("canceled",), ("confirmed", "shipped"), ("confirmed", "shipped", "completed")]
)
def test_only_a_confirmed_order_ships(shop: Shop, way: tuple[str, ...]) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), *way)
    before = stock("MUG")

    whole, part = shop.try_ship(order), shop.try_ship(order, ("MUG", 1))

    assert {whole.status_code, part.status_code} == {409}
    assert whole.json()["code"] == "invalid_transition"
    assert stock("MUG") == before


def test_items_never_fall_below_what_is_shipped(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed, ("MUG", 2), ("TEA", 1))

    answer = shop.try_change(confirmed, items=[{"sku": "MUG", "quantity": 1}])

    assert answer.status_code == 409
    assert answer.json()["code"] == "already_shipped"
    faults = {fault["sku"]: fault for fault in answer.json()["errors"]}
    assert (faults["MUG"]["pointer"], faults["MUG"]["shipped"]) == ("/items/0", 2)
    assert (faults["TEA"]["pointer"], faults["TEA"]["requested"]) == ("/items", 0)
    assert stock("MUG") == (8, 1)


def test_items_change_after_a_part_was_shipped(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.product("POT", stock=5)
    shop.ship(confirmed, ("MUG", 2))
    items = [("MUG", 4), ("POT", 1)]

    changed = shop.change(confirmed, items=shop.body(*items)["items"])

    assert quantities(changed, "quantity") == {"MUG": 4, "POT": 1}
    assert quantities(changed, "shipped") == {"MUG": 2, "POT": 0}
    assert [stock(sku) for sku in ("MUG", "TEA", "POT")] == [(8, 2), (10, 0), (5, 1)]
    assert_ledger_agrees()


def test_a_shortage_counts_what_was_shipped_before(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed, ("MUG", 2))

    answer = shop.try_change(confirmed, items=[{"sku": "MUG", "quantity": 11}])

    assert answer.json()["code"] == "insufficient_stock"
    (fault,) = answer.json()["errors"]
    assert (fault["requested"], fault["available"]) == (11, 10)


def test_items_cut_down_to_what_is_shipped_ship_the_order(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.ship(confirmed, ("MUG", 2))

    changed = shop.change(confirmed, items=[{"sku": "MUG", "quantity": 2}])

    assert (changed["status"], changed["fulfillment"]) == ("shipped", "full")
    assert event_types(changed["id"])[-1] == "order.shipped"
    assert [stock(sku) for sku in ("MUG", "TEA")] == [(8, 0), (10, 0)]
    assert_ledger_agrees()


def test_such_a_cut_takes_no_second_step(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed, ("MUG", 2))
    items = [{"sku": "MUG", "quantity": 2}]

    assert shop.try_change(confirmed, items=items, status="completed").status_code == 409
    assert shop.change(confirmed, items=items, status="shipped")["status"] == "shipped"


def test_what_came_back_whole_is_canceled_not_cut(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed, ("MUG", 2))
    shop.take_back(confirmed)

    cut = shop.try_change(confirmed, items=[{"sku": "MUG", "quantity": 2}])
    canceled = shop.change(confirmed, status="canceled")

    assert (cut.status_code, cut.json()["code"]) == (409, "order_not_editable")
    assert canceled["status"] == "canceled"
    assert [stock(sku) for sku in ("MUG", "TEA")] == [(10, 0), (10, 0)]


def test_deleting_a_partly_shipped_order_releases_the_rest(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.ship(confirmed, ("MUG", 2))

    assert shop.delete(confirmed).status_code == 204

    assert (stock("MUG"), stock("TEA")) == ((8, 0), (10, 0))
    assert shop.try_ship(confirmed).status_code == 404
    assert shop.try_return(confirmed).status_code == 404
    assert_ledger_agrees()


def test_a_return_goes_back_into_stock_or_is_written_off(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.ship(confirmed)

    part = shop.take_back(confirmed, ("MUG", 1), ("MUG", 1, False), reason="one is broken")

    assert part["status"] == "shipped"
    assert quantities(part, "returned") == {"MUG": 2, "TEA": 0}
    assert stock("MUG") == (8, 0)
    assert sorted(movements("MUG")[-3:]) == [
        ("adjusted", -1, 0),
        ("returned", 1, 0),
        ("returned", 1, 0),
    ]
    assert event_types(part["id"])[-1] == "order.updated"
    (listed,) = shop.api.get(f"{BASE}/orders/{confirmed['id']}/returns").json()["results"]
    assert listed["reason"] == "one is broken"
    assert listed["items"] == [
        {"sku": "MUG", "quantity": 1, "restock": True},
        {"sku": "MUG", "quantity": 1, "restock": False},
    ]
    change = shop.history(part)[-1]["changes"]["return"]
    assert change == [None, {"id": listed["id"], "items": listed["items"]}]
    assert_ledger_agrees()


@pytest.mark.parametrize("state", ["shipped", "completed"])
def test_the_order_is_returned_when_all_of_it_is(
    shop: Shop, confirmed: dict[str, Any], state: str
) -> None:
    shop.advance(confirmed, "shipped", *(["completed"] if state == "completed" else []))
    shop.take_back(confirmed, ("MUG", 3))

    returned = shop.take_back(confirmed, ("TEA", 2, False))

    assert returned["status"] == "returned"
    assert event_types(returned["id"])[-2:] == ["order.updated", "order.returned"]
    assert (stock("MUG"), stock("TEA")) == ((10, 0), (8, 0))
    again = shop.try_return(confirmed)
    assert (again.status_code, again.json()["code"]) == (409, "more_than_left")


def test_patching_to_returned_takes_back_what_is_out(shop: Shop, confirmed: dict[str, Any]) -> None:
    shop.ship(confirmed)
    shop.take_back(confirmed, ("MUG", 2, False))

    returned = shop.change(confirmed, status="returned")

    assert quantities(returned, "returned") == {"MUG": 3, "TEA": 2}
    assert (stock("MUG"), stock("TEA")) == ((8, 0), (10, 0))


def test_a_part_comes_back_before_the_rest_is_shipped(
    shop: Shop, confirmed: dict[str, Any]
) -> None:
    shop.ship(confirmed, ("MUG", 2))

    back = shop.take_back(confirmed)

    assert (back["status"], back["fulfillment"]) == ("confirmed", "partial")
    assert stock("MUG") == (10, 1)
    assert shop.change(confirmed, status="shipped")["status"] == "shipped"
    assert stock("MUG") == (9, 0)
    assert shop.take_back(confirmed)["status"] == "returned"
    assert stock("MUG") == (10, 0)
    assert_ledger_agrees()


@pytest.mark.parametrize(
    ("body", "status", "pointer", "code"),
    [
        ({"items": [{"sku": "NONE", "quantity": 1}]}, 400, "/items/0/sku", "not_in_order"),
        ({"items": [{"sku": "MUG", "quantity": 3}]}, 409, "/items/0", "more_than_left"),
        ({"items": [{"sku": "TEA", "quantity": 1}]}, 409, "/items/0", "more_than_left"),
        (
            {"items": [{"sku": "MUG", "quantity": 1, "restock": "no"}]},
            400,
            "/items/0/restock",
            "invalid",
        ),
        ({"reason": "x" * 201}, 400, "/reason", "max_length"),
    ],
)
def test_a_return_that_is_wrong_changes_nothing(
    shop: Shop, confirmed: dict[str, Any], body: Any, status: int, pointer: str, code: str
) -> None:
    part = shop.ship(confirmed, ("MUG", 2))

    answer = shop.api.post(f"{BASE}/orders/{confirmed['id']}/returns", body)

    assert answer.status_code == status, answer.content
    faults = [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]
    assert faults == [(pointer, code)]
    assert shop.read(confirmed) == part


@pytest.mark.parametrize("way", [(), ("confirmed",), ("canceled",)])
def test_nothing_comes_back_that_was_not_shipped(shop: Shop, way: tuple[str, ...]) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 1)), *way)

    answer = shop.try_return(order)

    assert (answer.status_code, answer.json()["code"]) == (409, "more_than_left")


def test_a_retried_shipment_ships_once(shop: Shop, confirmed: dict[str, Any]) -> None:
    path = f"{BASE}/orders/{confirmed['id']}/shipments"
    body = {"items": [{"sku": "MUG", "quantity": 1}]}

    first, again = (shop.api.post(path, body, idempotency_key="one") for _ in range(2))

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert Shipment.objects.count() == 1
    assert stock("MUG") == (9, 2)


def test_the_last_shipment_that_fits_must_ship_the_rest(
    shop: Shop, confirmed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert enums.MAX_SHIPMENTS == 100
    monkeypatch.setattr(fulfillment, "MAX_SHIPMENTS", 2)
    shop.ship(confirmed, ("MUG", 1))

    answer = shop.try_ship(confirmed, ("MUG", 1))

    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_shipments")
    assert shop.ship(confirmed)["status"] == "shipped"
