"""The back office's pages of orders: all can be read, state changes by actions alone."""

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.orders.models import OrderChange, Product, ProductImport, StockDrift, StockMovement
from tests.orders.conftest import BASE, Shop, movements, stock
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db


@pytest.fixture
def office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_every_page_can_be_read_and_searched(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    order = shop.advance(shop.order(("MUG", 2), shipping_address={"city": "Rome"}), "confirmed")
    shop.ship(order, ("MUG", 1), tracking_number="1Z")
    shop.take_back(order, ("MUG", 1, False), reason="broken")
    shop.try_pay(order, "captured", 1250, "pi_1")
    StockDrift.objects.create(
        product=Product.objects.get(), on_hand=1, reserved=0, ledger_on_hand=0, ledger_reserved=0
    )

    for model in site._registry:
        if model._meta.app_label != "orders" or model is ProductImport:  # test_imports has those
            continue
        path = f"/admin/orders/{model._meta.model_name}/"
        row = model._default_manager.all()[0]
        for query in ("", f"?q={row.pk}", "?q=MUG", "?q=%22x%00", f"?q={order['number']}"):
            assert office.get(path + query).status_code == 200, path + query
        assert office.get(f"{path}{row.pk}/change/").status_code == 200
        assert office.get(f"{path}{row.pk}/delete/").status_code == 403
        assert office.get(f"{path}add/").status_code == 403


def test_an_order_is_found_by_its_number(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    first, second = shop.order(customer_id="ada"), shop.order(customer_id="bob")

    page = office.get(f"/admin/orders/order/?q={first['number']}").content.decode()

    assert "ada" in page
    assert "bob" not in page
    assert office.get(f"/admin/orders/order/?q={'9' * 40}").status_code == 200
    assert second["id"] not in page


def test_actions_take_the_steps_of_the_table(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.order(("MUG", 3))

    refused = act(office, "orders/order", "ship", order["id"])
    for action in ("confirm", "ship", "complete", "take_back"):
        act(office, "orders/order", action, order["id"])

    assert "cannot become shipped" in refused
    assert shop.api.get(f"{BASE}/orders/{order['id']}").json()["status"] == "returned"
    assert stock("MUG") == (10, 0)
    last = OrderChange.objects.filter(order=order["id"]).latest("pk")
    assert last.actor["kind"] == "user"
    assert last.actor["label"] == "operator"


def test_the_page_of_an_order_shows_all_that_happened_to_it(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    shop.ship(order, ("MUG", 2), tracking_company="DHL", tracking_number="1Z999")
    shop.take_back(order, ("MUG", 1, False), reason="broken on the way")
    shop.try_pay(order, "captured", 123456, "pi_4711")

    page = office.get(f"/admin/orders/order/{order['id']}/change/").content.decode()

    for shown in (
        "2 of MUG",
        "1Z999",
        "1 of MUG, written off",
        "broken on the way",
        "1,234.56 EUR",
        "pi_4711",
        "order.confirmed",
        "adjusted",
    ):
        assert shown in page, shown


def test_shipping_a_partly_shipped_order_ships_the_rest(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    shop.ship(order, ("MUG", 1))

    refused = act(office, "orders/order", "cancel", order["id"])
    act(office, "orders/order", "ship", order["id"])

    assert "Record their return first" in refused
    assert shop.read(order)["status"] == "shipped"
    assert stock("MUG") == (7, 0)


def test_a_deleted_order_is_restored(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=3)
    order = shop.order(("MUG", 3))
    shop.delete(order)
    other = shop.order(("MUG", 1))

    refused = act(office, "orders/order", "restore", order["id"])
    act(office, "orders/order", "cancel", other["id"])
    done = act(office, "orders/order", "restore", order["id"])

    assert "3 of MUG were asked for, 2 are available" in refused
    assert "is back" in done
    assert stock("MUG") == (3, 3)


def test_stock_is_adjusted_with_a_reason(office: Client, shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    shop.order(("MUG", 4))

    act(office, "orders/product", "adjust_stock", mug["id"], delta="-2", reason="broken")
    refused = act(office, "orders/product", "adjust_stock", mug["id"], delta="-5", reason="broken")
    silent = act(office, "orders/product", "adjust_stock", mug["id"], delta="-1")

    assert "reserved for orders" in refused
    assert "This field is required." in silent
    assert stock("MUG") == (8, 4)
    assert movements("MUG")[-1] == ("adjusted", -2, 0)
    assert StockMovement.objects.latest("pk").actor["label"] == "operator"


def test_a_page_of_orders_counts_nothing(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    shop.order()

    with CaptureQueriesContext(connection) as queries:
        office.get("/admin/orders/order/")

    assert not [query for query in queries if "COUNT(" in query["sql"]]
