"""Erasing a customer: the personal data goes from orders and history, the totals stay."""

from typing import Any
from uuid import UUID

import orjson
import pytest
from django.db import transaction

from apps.common.actor import system
from apps.common.clock import now
from apps.common.ids import uuid7
from apps.events.catalogue import EventType
from apps.events.models import Consumer, Event
from apps.events.publishing import draft, publish
from apps.orders.handlers import ERASURE
from apps.orders.models import Erasure, Order, OrderChange, Return, Shipment
from apps.orders.services import erasing
from apps.orders.services.erasing import erase_some, owe_erasure
from apps.orders.services.orders import restore_order
from tests.orders.conftest import BASE, MakeShop, Shop, event_types, stock
from tests.orders.test_changes import OPERATOR
from tests.support import concurrently, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)

# As crm publishes it, whether crm is installed or not.
ERASED = EventType("customer.erased", "", {})
ADDRESS = {"name": "Ada Secretname", "city": "Secretville", "email": "secret@example.com"}


def erase_customer(shop: Shop, external_id: str | None) -> None:
    """What crm does, from the orders' side."""
    with transaction.atomic():
        publish(
            draft(
                ERASED,
                account_id=shop.api.account.id,
                subject=uuid7(),
                object={"id": str(uuid7()), "external_id": external_id, "email": None},
                actor=system("crm"),
                at=now(),
            )
        )


def full_order(shop: Shop, **fields: Any) -> dict[str, Any]:
    """An order with everything personal in every place."""
    order = shop.order(("MUG", 3), shipping_address=ADDRESS, metadata={"note": "secret"}, **fields)
    shop.change(order, shipping_address={**ADDRESS, "line1": "secret lane"}, status="confirmed")
    shop.change(order, metadata={"note": "secret 2"}, tracking_number="secret-0")
    link = "https://dhl.example/secret"
    shop.ship(order, ("MUG", 2), tracking_number="secret-1", tracking_link=link)
    shop.take_back(order, ("MUG", 1), reason="secret illness")
    shop.try_pay(order, "captured", 3750, "pi_1")
    return shop.read(order)


def stored(order: dict[str, Any]) -> str:
    """All that the tables of orders hold of an order, as text."""
    pk = order["id"]
    rows = [
        *Order.objects.filter(pk=pk).values(),
        *OrderChange.objects.filter(order=pk).values(),
        *Shipment.objects.filter(order=pk).values(),
        *Return.objects.filter(order=pk).values(),
    ]
    return str(rows)


def is_owed() -> bool:
    return Erasure.objects.filter(due_at__isnull=False).exists()


def test_an_erased_customer_leaves_the_orders_and_their_history(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order, other = full_order(shop), full_order(shop, customer_id="customer-2")
    before = stock("MUG")
    assert "secret" in stored(order).lower()

    erase_customer(shop, "customer-1")
    run_jobs()

    assert "secret" not in stored(order).lower()
    history = shop.api.get(f"{BASE}/orders/{order['id']}/history")
    assert b"ecret" not in history.content
    present = shop.read(order)
    assert (present["shipping_address"], present["metadata"]) == (None, {})
    assert present["version"] == order["version"] + 1
    for name in ("total", "items", "payments", "status", "customer_id", "number"):
        assert present[name] == order[name]
    assert stock("MUG") == before
    assert shop.read(other) == other
    assert not is_owed()


def test_history_keeps_that_something_changed_and_who_did_it(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = full_order(shop)
    before = shop.history(order)

    erase_customer(shop, "customer-1")
    run_jobs()

    *kept, last = shop.history(order)
    assert [row["type"] for row in kept] == [row["type"] for row in before]
    assert [row["changes"].keys() for row in kept] == [row["changes"].keys() for row in before]
    assert kept[1]["changes"]["shipping_address"] == [None, None]
    assert kept[1]["changes"]["status"] == ["pending", "confirmed"]
    assert last["actor"]["id"] == "orders.erase"
    assert last["changes"].keys() == {
        "shipping_address",
        "metadata",
        "tracking_number",
        "tracking_link",
    }
    told = orjson.loads(bytes(Event.objects.filter(subject=order["id"]).latest("sequence").payload))
    assert told["type"] == "order.updated"
    assert told["data"]["changes"] == {
        "tracking_number": [None, None],
        "tracking_link": [None, None],
    }


def test_deleted_orders_are_erased_without_a_word_and_can_be_restored(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = full_order(shop)
    shop.delete(order)

    erase_customer(shop, "customer-1")
    run_jobs()

    assert "secret" not in stored(order).lower()
    assert event_types(order["id"])[-1] == "order.deleted"
    restore_order(order_id=UUID(order["id"]), actor=OPERATOR)
    assert shop.read(order)["shipping_address"] is None


def test_an_order_without_personal_data_stays_as_it_is(shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.order()

    erase_customer(shop, "customer-1")
    run_jobs()

    assert shop.read(order) == order
    assert event_types(order["id"]) == ["order.created"]


def test_the_same_customer_id_of_another_account_is_another_customer(make_shop: MakeShop) -> None:
    mine, theirs = make_shop(), make_shop()
    orders = []
    for shop in (mine, theirs):
        shop.product("MUG", stock=10)
        orders.append(shop.order(shipping_address=ADDRESS))

    erase_customer(mine, "customer-1")
    run_jobs()

    assert mine.read(orders[0])["shipping_address"] is None
    assert theirs.read(orders[1]) == orders[1]


@pytest.mark.parametrize("external_id", [None, "", "x" * 300, "nobody"])
def test_a_customer_that_orders_do_not_know_erases_nothing(
    shop: Shop, external_id: str | None
) -> None:
    shop.product("MUG", stock=10)
    order = shop.order(shipping_address=ADDRESS)

    erase_customer(shop, external_id)
    run_jobs()

    assert shop.read(order) == order
    assert not is_owed()
    assert Consumer.objects.get(pk=ERASURE).failures == 0


def test_erasing_goes_on_where_a_killed_worker_stopped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "ERASE_BATCH", 2)
    shop.product("MUG", stock=10)
    orders = [shop.order(shipping_address=ADDRESS) for _ in range(5)]
    owe_erasure(account_id=shop.api.account.id, customer_id="customer-1")

    def die_before_the_commit() -> None:
        with transaction.atomic():
            assert erase_some()
            raise RuntimeError("killed")

    def versions() -> list[int]:
        return [shop.read(order)["version"] for order in orders]

    assert erase_some()
    with pytest.raises(RuntimeError, match="killed"):
        die_before_the_commit()
    assert versions() == [2, 2, 1, 1, 1]
    while erase_some():
        pass

    assert versions() == [2] * 5
    assert [shop.read(order)["shipping_address"] for order in orders] == [None] * 5


def test_workers_side_by_side_erase_each_order_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "ERASE_BATCH", 2)
    shop.product("MUG", stock=20)
    orders = [shop.order(shipping_address=ADDRESS) for _ in range(9)]
    owe_erasure(account_id=shop.api.account.id, customer_id="customer-1")

    def work(_: int) -> None:
        while is_owed():
            erase_some()

    concurrently(4, work)

    assert [shop.read(order)["version"] for order in orders] == [2] * 9
