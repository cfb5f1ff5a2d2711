"""What happens by itself: expiry, news of low stock, the comparison with the ledger."""

import logging
from datetime import timedelta
from typing import Any

import jsonschema
import orjson
import pytest
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from apps.events.catalogue import event_types as catalogue
from apps.events.models import Event
from apps.orders.models import Order, Stock, StockCheck, StockDrift
from apps.orders.services import reconciling
from apps.orders.services.reconciling import drifted, reconcile_stock
from tests.orders.conftest import BASE, MakeShop, Shop, event_types, stock
from tests.support import run_jobs

pytestmark = pytest.mark.django_db(transaction=True)


def run_out(order: dict[str, Any]) -> None:
    Order.objects.filter(pk=order["id"]).update(
        reservation_expires_at=Now() - timedelta(milliseconds=1)
    )


def test_a_reservation_that_ran_out_is_released_once(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=1)
    shop.product("MUG", stock=10)
    due, later = shop.order(("MUG", 2)), shop.order(("MUG", 3))
    confirmed = shop.advance(shop.order(("MUG", 1)), "confirmed")
    run_out(due)

    run_jobs()
    run_jobs()

    assert stock("MUG") == (10, 4)
    states = {str(order.pk): order.status for order in Order.objects.all()}
    assert states == {due["id"]: "expired", later["id"]: "pending", confirmed["id"]: "confirmed"}
    assert event_types(due["id"]) == ["order.created", "order.expired"]
    last = shop.history(due)[-1]
    assert (last["actor"]["kind"], last["actor"]["id"]) == ("system", "orders.expire")
    assert last["changes"]["status"] == ["pending", "expired"]


def test_confirming_ends_the_reservation_clock(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=1)
    shop.product("MUG")
    order = shop.order()

    assert order["reservation_expires_at"] is not None
    assert shop.advance(order, "confirmed")["reservation_expires_at"] is None


def test_an_expired_order_goes_nowhere(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=1)
    shop.product("MUG")
    order = shop.order()
    run_out(order)
    run_jobs()

    answer = shop.try_change(order, status="confirmed")

    assert answer.status_code == 409
    assert answer.json()["code"] == "invalid_transition"


def test_expiry_is_swept_every_two_seconds() -> None:
    assert settings.JOBS["orders.expire"].every_seconds == 2.0
    assert settings.JOBS["orders.expire"].queue == "slow"


def test_low_stock_is_told_once_per_fall(shop: Shop) -> None:
    mug = shop.product("MUG", stock=10, low_stock_threshold=5)

    def told() -> int:
        run_jobs()
        return event_types(mug["id"]).count("product.stock_low")

    shop.order(("MUG", 4))
    assert told() == 0
    order = shop.order(("MUG", 1))
    assert told() == 1
    shop.order(("MUG", 1))
    assert told() == 1
    shop.change(order, status="canceled")
    shop.order(("MUG", 1))
    assert told() == 1
    shop.api.post(f"{BASE}/products/{mug['id']}/stock-adjustments", {"delta": 9, "reason": "new"})
    assert told() == 1
    shop.order(("MUG", 9))
    assert told() == 2


def test_low_stock_is_told_of_changed_items_and_of_adjustments(shop: Shop) -> None:
    a = shop.product("A", stock=10, low_stock_threshold=5)
    b = shop.product("B", stock=10, low_stock_threshold=5)
    order = shop.order(("A", 1))

    shop.change(order, items=[{"sku": "A", "quantity": 6}], status="confirmed")
    shop.api.put(f"{BASE}/products/{b['id']}/stock", {"on_hand": 5})
    run_jobs()

    assert event_types(a["id"]) == ["product.stock_low"]
    assert event_types(b["id"]) == ["product.stock_low"]
    body = orjson.loads(bytes(Event.objects.get(subject=b["id"]).payload))
    assert body["data"]["object"]["stock"]["available"] == 5


def test_without_a_threshold_nothing_is_told(shop: Shop) -> None:
    mug = shop.product("MUG", stock=1)
    shop.order(("MUG", 1))
    run_jobs()

    assert event_types(mug["id"]) == []


def test_a_threshold_set_above_what_there_is_tells_nothing_until_stock_falls_anew(
    shop: Shop,
) -> None:
    mug = shop.product("MUG", stock=10)
    path = f"{BASE}/products/{mug['id']}"

    shop.api.patch(path, {"low_stock_threshold": 20})
    shop.order(("MUG", 1))
    run_jobs()
    assert event_types(mug["id"]) == []

    shop.api.put(f"{path}/stock", {"on_hand": 40})
    shop.api.put(f"{path}/stock", {"on_hand": 10})
    assert event_types(mug["id"]) == ["product.stock_low"]


def test_every_event_keeps_to_its_schema(make_shop: MakeShop) -> None:
    shop = make_shop(reservation_minutes=5)
    shop.product("MUG", stock=50, low_stock_threshold=49)
    shop.advance(shop.order(), "confirmed", "shipped", "completed", "returned")
    shop.advance(shop.order(external_id="x"), "canceled")
    parted = shop.advance(shop.order(("MUG", 2)), "confirmed")
    shop.ship(parted, ("MUG", 1), tracking_number="1")
    shop.take_back(parted, ("MUG", 1, False))
    shop.try_pay(parted, "captured", 5)
    shop.change(shop.order(), items=[{"sku": "MUG", "quantity": 2}], metadata={"a": 1})
    shop.delete(shop.order())
    run_out(shop.order())
    run_jobs()
    schemas = {kind.name: kind.schema() for kind in catalogue()}

    for event in Event.objects.all():
        body = orjson.loads(bytes(event.payload))
        jsonschema.validate(
            body, schemas[event.type], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )

    assert set(event_types()) == {
        name for name in schemas if name.startswith(("order.", "product."))
    }


def test_a_drift_is_alarmed_and_not_repaired(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    mug = shop.product("MUG", stock=10)
    shop.order(("MUG", 2))
    assert reconcile_stock() is False
    assert not caplog.records
    assert not StockDrift.objects.exists()

    Stock.objects.update(reserved=F("reserved") + 1)
    with caplog.at_level(logging.ERROR):
        reconcile_stock()

    drift = StockDrift.objects.get()
    assert str(drift.product_id) == mug["id"]
    assert (drift.reserved, drift.ledger_reserved) == (3, 2)
    assert "stock_drifted" in caplog.text
    assert drifted._value.get() == 1
    assert stock("MUG") == (10, 3)

    Stock.objects.update(reserved=2)  # a person found out what it was
    reconcile_stock()
    assert not StockDrift.objects.exists()
    assert drifted._value.get() == 0


def test_the_comparison_goes_on_where_its_slice_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "BATCH", 2)
    for number in range(5):
        shop.product(f"SKU-{number}")
    Stock.objects.filter(product__sku="SKU-4").update(reserved=1)

    slices = [reconcile_stock(slice_seconds=0) for _ in range(3)]

    assert slices == [True, True, False]
    assert StockDrift.objects.get().product.sku == "SKU-4"
    check = StockCheck.objects.get()
    assert (check.after, check.ended_at is None) == (reconciling.START, False)
