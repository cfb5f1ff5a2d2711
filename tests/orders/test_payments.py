"""Payments: recorded once by their reference, summed on the order."""

from typing import Any

import pytest

from apps.common.money import MAX_AMOUNT
from apps.orders.models import Payment
from tests.orders.conftest import BASE, Shop, event_types
from tests.support import concurrently

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(shop: Shop) -> dict[str, Any]:
    shop.product("MUG", stock=10)
    return shop.order(("MUG", 2))


def test_payments_are_summed_by_kind(shop: Shop, order: dict[str, Any]) -> None:
    assert order["payments"] == {"authorized": 0, "captured": 0, "refunded": 0}

    recorded = shop.try_pay(order, "authorized", 2500, "pi_1")
    shop.try_pay(order, "captured", 1500, "pi_1")
    shop.try_pay(order, "captured", 1000, "pi_2")
    shop.try_pay(order, "refunded", 700, "re_1")

    assert recorded.status_code == 201
    body = recorded.json()
    assert (body["kind"], body["amount"], body["currency"]) == ("authorized", 2500, "EUR")
    present = shop.read(order)
    assert present["payments"] == {"authorized": 2500, "captured": 2500, "refunded": 700}
    assert present["version"] == 5
    assert present["status"] == "pending"
    assert event_types(order["id"])[1:] == ["order.updated"] * 4
    listed = shop.api.get(f"{BASE}/orders/{order['id']}/payments").json()["results"]
    assert [row["reference"] for row in listed] == ["re_1", "pi_2", "pi_1", "pi_1"]
    assert listed[-1] == body


def test_a_reference_counts_once(shop: Shop, order: dict[str, Any]) -> None:
    first = shop.try_pay(order, "captured", 1500, "pi_1")
    again = shop.try_pay(order, "captured", 1500, "pi_1")
    other = shop.try_pay(order, "captured", 1600, "pi_1")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert other.status_code == 409
    assert other.json()["code"] == "reference_taken"
    assert other.json()["errors"][0]["pointer"] == "/reference"
    assert shop.read(order)["payments"]["captured"] == 1500
    assert event_types(order["id"]) == ["order.created", "order.updated"]


def test_two_orders_may_have_one_reference(shop: Shop, order: dict[str, Any]) -> None:
    other = shop.order(("MUG", 1))

    codes = [shop.try_pay(each, "captured", 5, "pi_1").status_code for each in (order, other)]

    assert codes == [201, 201]


def test_no_more_is_refunded_than_was_captured(shop: Shop, order: dict[str, Any]) -> None:
    shop.try_pay(order, "authorized", 5000, "pi_1")
    shop.try_pay(order, "captured", 1000, "pi_1")
    shop.try_pay(order, "refunded", 600, "re_1")

    answer = shop.try_pay(order, "refunded", 401, "re_2")

    assert (answer.status_code, answer.json()["code"]) == (409, "refund_too_large")
    assert "400 can be refunded" in answer.json()["detail"]
    assert shop.try_pay(order, "refunded", 400, "re_2").status_code == 201


@pytest.mark.parametrize("state", ["confirmed", "canceled"])
def test_money_moves_in_every_state(shop: Shop, order: dict[str, Any], state: str) -> None:
    shop.try_pay(order, "captured", 2500)
    shop.change(order, status=state)

    assert shop.try_pay(order, "refunded", 2500).status_code == 201
    assert shop.read(order)["status"] == state


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"kind": "stolen"}, "/kind", "invalid_choice"),
        ({"amount": 0}, "/amount", "min_value"),
        ({"amount": -5}, "/amount", "min_value"),
        ({"amount": "5"}, "/amount", "invalid"),
        ({"amount": MAX_AMOUNT + 1}, "/amount", "max_value"),
        ({"reference": ""}, "/reference", "blank"),
        ({"reference": "x" * 201}, "/reference", "max_length"),
        ({"currency": "USD"}, "/currency", "unknown_field"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    shop: Shop, order: dict[str, Any], change: dict[str, Any], pointer: str, code: str
) -> None:
    body = {"kind": "captured", "amount": 5, "reference": "pi_1", **change}

    answer = shop.api.post(f"{BASE}/orders/{order['id']}/payments", body)

    assert answer.status_code == 400
    faults = [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]
    assert faults == [(pointer, code)]


def test_a_sum_that_is_no_amount_is_refused(shop: Shop, order: dict[str, Any]) -> None:
    assert shop.try_pay(order, "authorized", MAX_AMOUNT, "pi_1").status_code == 201

    answer = shop.try_pay(order, "authorized", 1, "pi_2")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "total_too_large"


def test_a_deleted_order_takes_no_payment(shop: Shop, order: dict[str, Any]) -> None:
    shop.delete(order)

    assert shop.try_pay(order, "captured", 5).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_one_reference_sent_at_once_counts_once(shop: Shop, order: dict[str, Any]) -> None:
    answers = concurrently(10, lambda _: shop.try_pay(order, "captured", 700, "pi_1"))

    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert Payment.objects.count() == 1
    assert shop.read(order)["payments"]["captured"] == 700
