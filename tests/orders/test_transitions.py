"""The state machine: every step of its table, every other refused, and GET …/transitions tells which."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.common.actor import ActorKind, system
from apps.common.clock import now
from apps.orders.enums import OrderStatus
from apps.orders.errors import InvalidTransition
from apps.orders.models import Order
from apps.orders.selectors import lines_of
from apps.orders.services.orders import expire_orders
from apps.orders.states import TRANSITIONS, describe, transition
from config.settings.env import BASE_DIR
from tests.orders.conftest import BASE, MakeShop, Shop, assert_ledger_agrees, event_types

pytestmark = pytest.mark.django_db

Made = dict[str, Any]


def _through(*statuses: str) -> Callable[[Shop], Made]:
    return lambda shop: shop.advance(shop.order(("MUG", 3)), *statuses)


def _expired(shop: Shop) -> Made:
    order = shop.order(("MUG", 3))
    Order.objects.filter(pk=order["id"]).update(reservation_expires_at=Now() - timedelta(seconds=1))
    assert expire_orders() == 1
    return shop.read(order)


def _partly_shipped(shop: Shop) -> Made:
    return shop.ship(shop.advance(shop.order(("MUG", 3)), "confirmed"), ("MUG", 1))


def _partly_shipped_and_back(shop: Shop) -> Made:
    return shop.take_back(_partly_shipped(shop))


def _partly_returned(shop: Shop) -> Made:
    return shop.take_back(shop.advance(shop.order(("MUG", 3)), "confirmed", "shipped"), ("MUG", 1))


# Where an order can stand: how to get there, and where a client can take it from there.
STANDINGS: dict[str, tuple[Callable[[Shop], Made], set[str]]] = {
    "pending": (_through(), {"confirmed", "canceled"}),
    "confirmed": (_through("confirmed"), {"shipped", "canceled"}),
    "confirmed, partly shipped": (_partly_shipped, {"shipped"}),
    "confirmed, partly shipped and back": (_partly_shipped_and_back, {"shipped", "canceled"}),
    "shipped": (_through("confirmed", "shipped"), {"completed", "returned"}),
    "shipped, partly returned": (_partly_returned, {"completed", "returned"}),
    "completed": (_through("confirmed", "shipped", "completed"), {"returned"}),
    "canceled": (_through("canceled"), set()),
    "expired": (_expired, set()),
    "returned": (_through("confirmed", "shipped", "returned"), set()),
}


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("target", OrderStatus.values)
def test_every_step_goes_as_the_list_of_transitions_says(
    make_shop: MakeShop, standing: str, target: str
) -> None:
    shop = make_shop(reservation_minutes=30)
    shop.product("MUG")
    make, goes_to = STANDINGS[standing]
    order = make(shop)
    told = event_types(order["id"])
    listed = shop.api.get(f"{BASE}/orders/{order['id']}/transitions").json()

    answer = shop.try_change(order, status=target)

    assert listed["order_id"] == order["id"]
    assert listed["status"] == order["status"]
    ways = {way["to"]: way for way in listed["transitions"]}
    assert ways.keys() == set(OrderStatus.values) - {order["status"]}
    if target == order["status"]:
        assert (answer.status_code, answer.json()) == (200, order)
        assert event_types(order["id"]) == told
    elif target in goes_to:
        assert answer.status_code == 200, answer.content
        assert answer.json()["status"] == target
        assert answer.json()["version"] == order["version"] + 1
        assert event_types(order["id"]) == [*told, f"order.{target}"]
        assert (ways[target]["open"], ways[target]["reason"]) == (True, None)
        assert "api_key" in ways[target]["actors"]
    else:
        assert answer.status_code == 409
        assert answer.json()["code"] == "invalid_transition"
        assert shop.read(order) == order
        assert event_types(order["id"]) == told
        assert ways[target]["open"] is False
        assert ways[target]["reason"] == answer.json()["detail"]
    assert_ledger_agrees()


def test_each_reason_says_what_to_do(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=30)
    shop.product("MUG")

    def reasons(order: Made) -> dict[str, str]:
        ways = shop.api.get(f"{BASE}/orders/{order['id']}/transitions").json()["transitions"]
        return {way["to"]: way["reason"] for way in ways}

    pending = reasons(shop.order())
    assert "by itself" in pending["expired"]
    assert "it can become confirmed or canceled" in pending["shipped"]
    assert "Record their return first" in reasons(_partly_shipped(shop))["canceled"]
    assert "that is its end" in reasons(_through("canceled")(shop))["pending"]


@pytest.mark.parametrize("standing", STANDINGS)
def test_the_sweep_takes_its_own_steps_alone(make_shop: MakeShop, standing: str) -> None:
    shop = make_shop(reservation_minutes=30)
    shop.product("MUG")
    make, _ = STANDINGS[standing]
    order = Order.objects.get(pk=make(shop)["id"])
    own = {step.target for step in TRANSITIONS if ActorKind.SYSTEM in step.actors}

    for target in OrderStatus:
        if target in own and order.status == OrderStatus.PENDING:
            continue  # below
        with pytest.raises(InvalidTransition):
            transition(order, lines_of(order), target, system("test"), now())


def test_an_order_expires_when_its_reservation_has_run_out_and_not_before(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(reservation_minutes=30)
    shop.product("MUG")
    order = Order.objects.get(pk=shop.order()["id"])
    ends = order.reservation_expires_at
    assert ends is not None

    step = transition(order, lines_of(order), OrderStatus.EXPIRED, system("test"), ends)
    early = ends - timedelta(microseconds=1)
    with pytest.raises(InvalidTransition, match="lasts until"):
        transition(order, lines_of(order), OrderStatus.EXPIRED, system("test"), early)

    assert step.target is OrderStatus.EXPIRED


def test_the_page_in_docs_shows_the_table() -> None:
    assert describe() in (BASE_DIR / "docs" / "orders.md").read_text()
